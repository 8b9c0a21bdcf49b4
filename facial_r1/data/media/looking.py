"""A look at a file without decoding it whole: whether it opens, is complete, shows something and can be heard."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from facial_r1.data.images import digest
from facial_r1.data.media.audio import resampled
from facial_r1.data.media.crops import count_crops, is_crops, read_crops
from facial_r1.data.media.errors import MediaError
from facial_r1.data.media.opening import audio_stream, library, opened, video_stream
from facial_r1.data.media.probing import MediaFacts, facts_of, probe
from facial_r1.data.media.video import first_frames

if TYPE_CHECKING:
    from av import VideoFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

Kind = Literal["video", "audio"]

_FRAMES = 16
"""Frames that are compared before a video counts as still; nearly all differ at the second."""
_MORE = 256
"""Frames that are compared from the middle and from near the end, where the first ones were equal."""
_SAME = 2
"""Grey levels by which pixels of a still picture may differ after compression."""
_LISTENED = 1.0
"""Seconds listened to at the start, the middle and the end before a recording counts as silent."""
_RATE = 8000
_CUT = "it is cut off: copy it again, or remove its row"
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""Sizes in the header of a WAV file that was written as a stream."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a file found.

    Attributes:
        facts: Streams and length.
        digest: As for images, over size and both ends of the file; for a folder over those of its pictures.
        still: The picture never changed where it was looked at.
        silent: Every sample was zero where it was listened to.
    """

    facts: MediaFacts
    digest: str
    still: bool = False
    silent: bool = False


def look_at(path: str, kind: Kind, listen: bool = True) -> Look:
    """Open a file as a record's `video` or `audio` and look at its streams, first frames and first samples.

    Args:
        kind: What the record names it as: a `video` needs pictures, an `audio` sound.
        listen: Whether the sound of a video is used, and so listened to.

    Kept in memory until the file changes, so that counting what was found does not open it again.

    Raises:
        MediaError: missing, unreadable, cut off, without a frame or a sample, or too large.
    """
    try:
        state = Path(path).stat()
    except OSError:
        return _look_at(path, kind, listen, 0, 0)  # which says what is wrong
    return _look_at(path, kind, listen, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=65_536)
def _look_at(path: str, kind: Kind, listen: bool, size: int, changed: int) -> Look:
    if is_crops(path):
        if kind == "audio":
            raise MediaError(path, "these are pictures, not sound", 'name them by "video"')
        return Look(probe(path), _crops_digest(path))
    with opened(path) as container:
        _check_whole(path)
        facts = facts_of(path, container)
        video, audio = video_stream(container), audio_stream(container)
        if kind == "audio" and audio is None:
            raise MediaError(path, "it has no sound track", "give a file with sound, or leave audio out of data.modalities")
        if kind == "video" and video is None:
            raise MediaError(path, "it has no video, only sound", 'name it by "audio", not by "video"')
        still = _is_still(path, container, video, facts.seconds) if kind == "video" and video is not None else False
        heard = audio is not None and (kind == "audio" or listen)
        silent = _is_silent(path, container, audio, facts.seconds) if heard and audio is not None else False
    return Look(facts, digest(path), still, silent)


def _is_still(path: str, container: InputContainer, stream: VideoStream, seconds: float) -> bool:
    """Whether nothing moves: in the first frames, then at the middle and near the end."""
    stream.codec_context.thread_count = 1
    decoded = first_frames(path, container, stream)
    first = next(decoded, None)
    if first is None:
        raise MediaError(path, "the video has no frames", "replace the file, or remove its row")
    grey = _grey(first)
    if any(_differs(grey, _grey(frame)) for frame in islice(decoded, _FRAMES - 1)):
        return False
    for part in (0.5, 0.95):
        _go_to(container, part * seconds)
        if any(_differs(grey, _grey(frame)) for frame in islice(first_frames(path, container, stream), _MORE)):
            return False
    return True


def _grey(frame: VideoFrame) -> NDArray[np.int16]:
    width, height = min(frame.width, 128), min(frame.height, 128)
    return frame.reformat(width=width, height=height, format="gray", interpolation="AREA").to_ndarray().astype(np.int16)


def _differs(one: NDArray[np.int16], other: NDArray[np.int16]) -> bool:
    return one.shape != other.shape or int(np.abs(one - other).max()) > _SAME


def _is_silent(path: str, container: InputContainer, stream: AudioStream, seconds: float) -> bool:
    """Whether all samples are zero: at the start, then in the middle and at the end. Stops at the first that is not."""
    _go_to(container, 0.0)
    heard = 0
    for place, part in enumerate((0.0, 0.5, 0.95)):
        if place:
            if seconds <= _LISTENED:
                break
            _go_to(container, part * seconds)
        left = round(_LISTENED * _RATE)
        for samples in resampled(container, stream, _RATE):
            heard += len(samples)
            left -= len(samples)
            if np.any(samples):
                return False
            if left <= 0:
                break
    if not heard:
        raise MediaError(path, "the sound track has no samples", "replace the file, or remove its row")
    return True


def _go_to(container: InputContainer, second: float) -> None:
    """Go to the last place before `second` from which can be decoded; where that fails, stay."""
    av = library()
    try:
        container.seek(int(second * 1_000_000), backward=True)
    except av.error.FFmpegError:
        return


def _check_whole(path: str) -> None:
    """Raise MediaError when the file ends before its format says: what libav only finds out at that place."""
    size = os.path.getsize(path)  # noqa: PTH202
    with open(path, "rb") as stream:
        head = stream.read(12)
        if head[:4] == b"RIFF":
            promised = int.from_bytes(head[4:8], "little")
            if promised not in _UNKNOWN_SIZES and promised + 8 > size + 1:
                raise MediaError(path, f"the header promises {promised + 8:,} bytes, there are {size:,}", _CUT)
        if head[4:8] != b"ftyp":
            return
        for end in _box_ends(stream, size):
            if end > size:
                raise MediaError(path, f"its parts would take {end:,} bytes, there are {size:,}", _CUT)


def _box_ends(stream: BinaryIO, size: int) -> Iterator[int]:
    """Where each part of an MP4 or MOV file ends (ISO/IEC 14496-12, 4.2): size and name, a 64-bit size after size 1, 0 to the end."""
    place = 0
    while place + 8 <= size:
        stream.seek(place)
        head = stream.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:
            yield size
            return
        if length < 8:
            return  # no box: padding at the end
        place += length
        yield place


def _crops_digest(path: str) -> str:
    if path.lower().endswith(".npy"):
        return digest(path)
    count_crops(path)
    read_crops(path, [0])
    parts = [f"{entry.name}:{digest(entry.path)}" for entry in sorted(os.scandir(path), key=lambda entry: entry.name)]
    return hashlib.blake2b("\n".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
