"""Frames of a video at chosen moments: upright RGB in bounded memory, whatever the length of the file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facial_r1.data.media.counting import decodes
from facial_r1.data.media.crops import CROPS_RATE, count_crops, is_crops, read_crops
from facial_r1.data.media.errors import MediaError
from facial_r1.data.media.opening import library, opened, video_stream
from facial_r1.data.media.probing import seconds_of
from facial_r1.data.media.sampling import sample_times

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

Frames = tuple[NDArray[np.uint8], NDArray[np.float64]]

MAX_BYTES = 192 * 1024 * 1024
"""Bytes of the frames of one call; larger pictures are reduced so that they fit (8 frames of 8 megapixels do, 64 of 4K do not)."""

PIXEL_LIMIT = 64 * 1024 * 1024
"""Larger frames are refused: libav holds several of them while it decodes."""

_SEEK = 4.0
"""Seconds that are cheaper to decode than to jump over (a group of pictures often lasts as long)."""
_EPSILON = 1e-4
_LATE = 1.0
"""Seconds that the last frame may end before the header's length; encoders round."""


def frames(
    path: str | os.PathLike[str],
    count: int | None = 8,
    rate: float | None = None,
    *,
    max_frames: int = 64,
    seconds: float | None = None,
    max_bytes: int = MAX_BYTES,
) -> Frames:
    """Frames of a video and their times.

    The frame of a moment is the one that is shown then, by presentation time; moments that show the same frame give it once, so
    that a short clip gives what it has. Between distant moments the file is jumped over. The rotation that a phone wrote into
    the file, and pixels that are not square, are applied.

    Args:
        path: A video file, a folder of pictures, or an array of crops (`facial_r1.data.media.crops`).
        count: Moments, the middles of as many equal parts of the clip; `rate` takes precedence.
        rate: Moments a second.
        max_frames: Most frames, whatever the rate.
        seconds: Only the first seconds are looked at; None for the whole.
        max_bytes: Pictures are reduced, all to one size, until the result fits.

    Returns:
        uint8 of shape (T, H, W, 3), and the frames' times in seconds from the start, float64 of shape (T,), ascending.

    Raises:
        MediaError: there is no video in the file, no frame, or damage.
    """
    decodes.add()
    if is_crops(path):
        return _crops(path, count, rate, max_frames, seconds)
    with opened(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(path, "the file has no video, only sound", 'name it by "audio", not by "video"')
        stream.codec_context.thread_count = 1  # memory that does not depend on the machine; workers are the parallel ones
        length = seconds_of(container, stream) or _measured(container, stream)
        if seconds is not None:
            length = min(length, seconds)
        times = sample_times(length, count, rate, max_frames)
        reader = _Reader(path, container, stream)
        size: tuple[int, int] | None = None
        pictures: list[NDArray[np.uint8]] = []
        shown: list[float] = []
        for moment, frame in reader.at(times):
            size = size or _size(path, frame, stream, max_bytes // (3 * len(times)))
            pictures.append(_picture(frame, size))
            shown.append(moment)
    if not pictures:
        raise MediaError(path, "the video has no frames", "replace the file, or remove its row")
    if any(picture.shape != pictures[0].shape for picture in pictures):
        raise MediaError(path, "the picture turns within the video", "save it again with one orientation")
    return np.stack(pictures), np.array(shown)


def first_frames(path: str | os.PathLike[str], container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Frames from the place where the container is, as they come. Raises MediaError for pictures that are too large."""
    for frame in container.decode(stream):
        if frame.width * frame.height > PIXEL_LIMIT:
            raise _too_large(path, frame)
        yield frame


@dataclass(frozen=True, slots=True)
class Timed:
    """A frame with its times in units of `base` seconds: `pts` from the start of the video, `duration` where the file says (else 0)."""

    picture: NDArray[np.uint8]
    pts: int
    duration: int
    base: Fraction


def every_frame(path: str | os.PathLike[str], seconds: float | None = None) -> Iterator[Timed]:
    """All frames of a video file one after the other, upright with square pixels, in the memory of a few.

    Args:
        seconds: Only the first seconds; None for the whole.

    Raises:
        MediaError: as for `frames`.
    """
    decodes.add()
    with opened(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(path, "the file has no video, only sound", 'name it by "audio", not by "video"')
        stream.codec_context.thread_count = 1
        base, start = stream.time_base or Fraction(1, 90_000), stream.start_time or 0
        step = round(1 / (base * (stream.average_rate or 25)))
        following = 0
        size: tuple[int, int] | None = None
        for frame in first_frames(path, container, stream):
            pts = following if frame.pts is None else frame.pts - start
            if seconds is not None and pts * base >= seconds:
                return
            size = size or _size(path, frame, stream, PIXEL_LIMIT)
            following = pts + (frame.duration or step)
            yield Timed(_picture(frame, size), pts, frame.duration or 0, base)


class _Reader:
    """Decodes a stream forwards, with jumps."""

    def __init__(self, path: str | os.PathLike[str], container: InputContainer, stream: VideoStream) -> None:
        self._path, self._container, self._stream = path, container, stream
        self._base = float(stream.time_base or 0)
        self._start = float((stream.start_time or 0) * self._base)
        self._frames: Iterator[VideoFrame] = first_frames(path, container, stream)
        self._ahead: tuple[float, VideoFrame] | None = None
        self._held: tuple[float, VideoFrame] | None = None
        self._worth = _SEEK

    def at(self, moments: Sequence[float]) -> Iterator[tuple[float, VideoFrame]]:
        """The frame that is shown at each of the ascending moments, with its own time, each frame once."""
        last = None
        for moment in moments:
            position = self._held[0] if self._held else 0.0
            if moment - position > self._worth:
                self._jump(moment, position)
            ended = self._advance(moment)
            if self._held is None:
                return
            if ended and self._until(self._held) + _LATE < moment:
                reason = f"the video stops at {self._held[0]:.1f} s, though its header promises more"
                raise MediaError(self._path, reason, "it is cut off: copy it again, or remove its row")
            if last is None or self._held[0] > last:
                yield self._held
            last = self._held[0]

    def _jump(self, moment: float, position: float) -> None:
        """Go on from the last key frame before `moment`; where that is not ahead, jumps so short are given up."""
        ahead, av = self._ahead, library()
        try:
            self._container.seek(int((moment + self._start) / self._base), stream=self._stream, backward=True)
            self._frames = first_frames(self._path, self._container, self._stream)
            self._ahead = self._next()
        except av.error.FFmpegError:  # a format that cannot seek
            self._ahead, self._worth = ahead, math.inf
            return
        landed = self._ahead[0] if self._ahead else position
        if self._ahead is None or landed > moment + _EPSILON:  # an index that is wrong: from the start, without jumps
            self._container.seek(0, backward=True)
            self._frames = first_frames(self._path, self._container, self._stream)
            self._ahead, self._worth = None, math.inf
        elif landed <= position:
            self._worth = max(self._worth, 2 * (moment - landed))
        self._held = None

    def _advance(self, moment: float) -> bool:
        """Hold the last frame that begins by `moment` (the first one when none does). True when the stream has ended."""
        while True:
            following = self._ahead or self._next()
            self._ahead = None
            if following is None:
                return True
            if following[0] > moment + _EPSILON and self._held is not None:
                self._ahead = following
                return False
            self._held = following

    def _next(self) -> tuple[float, VideoFrame] | None:
        frame = next(self._frames, None)
        if frame is None:
            return None
        if frame.pts is None:  # some raw streams: counted on
            step = 1 / float(self._stream.average_rate or 25)
            return (self._held[0] + step if self._held else 0.0), frame
        return frame.pts * self._base - self._start, frame

    def _until(self, held: tuple[float, VideoFrame]) -> float:
        """When a frame ends, as far as known."""
        return held[0] + float(held[1].duration or 0) * self._base


def _crops(path: str | os.PathLike[str], count: int | None, rate: float | None, most: int, seconds: float | None) -> Frames:
    length = count_crops(path)[0] / CROPS_RATE
    if seconds is not None:
        length = min(length, seconds)
    available = max(1, round(length * CROPS_RATE))
    moments = sample_times(length, count, rate, most)
    places = list(dict.fromkeys(min(available - 1, int(moment * CROPS_RATE)) for moment in moments))
    return read_crops(path, places), np.array(places) / CROPS_RATE


def _measured(container: InputContainer, stream: VideoStream) -> float:
    """Length by the packets, for files whose header says none (browser recordings): read once, not decoded."""
    base, start, end = float(stream.time_base or 0), stream.start_time or 0, 0.0
    for packet in container.demux(stream):
        if packet.pts is not None:
            end = max(end, (packet.pts - start + (packet.duration or 0)) * base)
    container.seek(0, backward=True)
    return end


def _size(path: str | os.PathLike[str], frame: VideoFrame, stream: VideoStream, pixels: int) -> tuple[int, int]:
    """Width and height (before rotation) at which frames are converted: square pixels, and no more than `pixels` of them."""
    aspect = stream.sample_aspect_ratio
    width, height = float(frame.width), float(frame.height)
    if aspect is not None and 0.1 < float(aspect) < 10:
        width *= float(aspect)
    shrink = min(1.0, math.sqrt(max(1, pixels) / (width * height)))
    if shrink * min(width, height) < 1:
        raise _too_large(path, frame)
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _picture(frame: VideoFrame, size: tuple[int, int]) -> NDArray[np.uint8]:
    interpolation = "AREA" if size[0] * size[1] < frame.width * frame.height else "BICUBIC"
    picture = frame.reformat(width=size[0], height=size[1], format="rgb24", interpolation=interpolation).to_ndarray()
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns))


def _too_large(path: str | os.PathLike[str], frame: VideoFrame) -> MediaError:
    reason = f"its pictures are too large: {frame.width}x{frame.height}, the limit is {PIXEL_LIMIT:,} pixels"
    return MediaError(path, reason, "save it smaller, or cut out the face")
