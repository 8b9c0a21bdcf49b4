"""The face of a picture or a clip as a file of its own; each file is whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facial_r1.data.faces.boxes import Box, largest, median_box, square
from facial_r1.data.faces.detectors import Finder
from facial_r1.data.images import open_image
from facial_r1.data.media.errors import MediaError
from facial_r1.data.media.opening import library
from facial_r1.data.media.probing import probe
from facial_r1.data.media.video import Timed, every_frame, frames
from facial_r1.data.schematic.clip_files import ENCODING, encoder

LOOKED = 12
"""Frames of a clip that are searched, at equal distances."""

_QUALITY = 95
_IN_ORDER = {"bf": "0"}
"""No frame is written before an earlier one: the length in the header is then that of the frames, at a variable rate too."""
_TICKS = 60_000
"""Ticks a second where a clip counts finer than MPEG-4 part 2 can (65,535)."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: the box, None without a face, and in how many of the searched pictures there was one."""

    box: Box | None
    hits: int
    looked: int


def cut_picture(source: str, target: Path, finder: Finder, margin: float, size: int) -> Found:
    """Write the largest face of a picture as JPEG of size x size pixels; nothing is written where there is none.

    Raises:
        ImageError: the picture cannot be read.
    """
    picture = open_image(source)
    box = largest(finder(np.asarray(picture)))
    if box is None:
        return Found(None, 0, 1)
    left, top, side = square(box, picture.width, picture.height, margin)
    face = picture.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.LANCZOS)
    partial = _beside(target)
    try:
        face.save(partial, "JPEG", quality=_QUALITY, subsampling=0)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return Found(box, 1, 1)


def cut_clip(source: str, target: Path, finder: Finder, margin: float, size: int) -> Found:
    """Write the face of a video as MP4 of size x size pixels without sound, every frame at its own time.

    One box serves all frames, so that the picture does not tremble: the median, over `LOOKED` frames, of the largest face of each.

    Raises:
        MediaError: the video cannot be read.
    """
    shown = frames(source, LOOKED)[0]
    boxes = [box for picture in shown if (box := largest(finder(picture))) is not None]
    if not boxes:
        return Found(None, 0, len(shown))
    box = median_box(boxes)
    partial = _beside(target)
    try:
        _encode(partial, _faces(source, box, margin, size), probe(source).video, size)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return Found(box, len(boxes), len(shown))


def _faces(source: str, box: Box, margin: float, size: int) -> Iterator[tuple[Timed, NDArray[np.uint8]]]:
    first: tuple[int, ...] | None = None
    for timed in every_frame(source):
        high, wide = timed.picture.shape[:2]
        first = first or (high, wide)
        if (high, wide) != first:
            raise MediaError(source, "the picture turns within the video", "save it again with one orientation")
        left, top, side = square(box, wide, high, margin)
        face = Image.fromarray(timed.picture[top : top + side, left : left + side])
        yield timed, np.asarray(face.resize((size, size), Image.Resampling.LANCZOS))


def _encode(partial: Path, faces: Iterator[tuple[Timed, NDArray[np.uint8]]], facts: object, size: int) -> None:
    av, codec = library(), encoder()
    rate = Fraction(getattr(facts, "rate", 0) or 25).limit_denominator(1001)
    with av.open(str(partial), "w", format="mp4") as container:
        stream = None
        lasting: dict[int, int] = {}

        def write(packets: list[Any]) -> None:
            for packet in packets:  # the encoder gives every frame the mean duration
                packet.duration = lasting.pop(packet.pts, 0) or packet.duration
                container.mux(packet)

        for timed, face in faces:
            if stream is None:
                base = timed.base if codec != "mpeg4" or timed.base.denominator <= 65_535 else Fraction(1, _TICKS)
                stream = container.add_stream(codec, rate=rate, options=ENCODING[codec] | _IN_ORDER)
                stream.width = stream.height = size
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = 1
                stream.codec_context.time_base = base
                scale = timed.base / base
            frame = av.VideoFrame.from_ndarray(face, format="rgb24")
            frame.time_base = base
            frame.pts = round(timed.pts * scale)
            lasting[frame.pts] = round(timed.duration * scale)
            write(stream.encode(frame))
        if stream is not None:
            write(stream.encode())


def _beside(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(f".{target.name}.{os.getpid()}.partial")
