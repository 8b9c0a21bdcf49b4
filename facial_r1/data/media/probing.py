"""What a file says about itself: streams, length, size of the picture. Nothing is decoded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from facial_r1.data.media.crops import CROPS_RATE, count_crops, is_crops
from facial_r1.data.media.errors import MediaError
from facial_r1.data.media.opening import audio_stream, opened, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

_FACTS = 65_536
"""Files whose facts are kept; some 300 bytes each."""


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """A video stream: pixels as stored (before rotation), mean frames a second (0 where unknown), codec."""

    width: int
    height: int
    rate: float
    codec: str


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """A sound track: samples a second, channels, codec."""

    rate: int
    channels: int
    codec: str


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What a file holds.

    Attributes:
        seconds: length of the longest stream, as far as headers know it; 0 where they do not.
        video, audio: the streams that are used; None where there is none.
    """

    seconds: float
    video: VideoFacts | None
    audio: AudioFacts | None


def probe(path: str | os.PathLike[str]) -> MediaFacts:
    """Streams and length of a file, of a folder of pictures or of an array of crops (`facial_r1.data.media.crops`).

    Kept in memory until the file changes, so that asking again costs a `stat`.

    Raises:
        MediaError: the file cannot be opened, or holds neither video nor sound.
    """
    try:
        look = Path(path).stat()
    except OSError:
        return _probe(os.fspath(path), 0, 0)  # which says what is wrong
    return _probe(os.fspath(path), look.st_size, look.st_mtime_ns)


@lru_cache(maxsize=_FACTS)
def _probe(path: str, size: int, changed: int) -> MediaFacts:
    if is_crops(path):
        count, height, width = count_crops(path)
        return MediaFacts(count / CROPS_RATE, VideoFacts(width, height, CROPS_RATE, "crops"), None)
    with opened(path) as container:
        return facts_of(path, container)


def facts_of(path: str | os.PathLike[str], container: InputContainer) -> MediaFacts:
    """`probe` for a container that is open."""
    video, audio = video_stream(container), audio_stream(container)
    if video is None and audio is None:
        raise MediaError(path, "it holds neither video nor sound that can be decoded", "replace the file, or remove its row")
    seen = heard = None
    if video is not None:
        rate = float(video.average_rate or video.guessed_rate or 0)
        seen = VideoFacts(video.codec_context.width, video.codec_context.height, rate, video.codec_context.name)
    if audio is not None:
        heard = AudioFacts(audio.codec_context.sample_rate, audio.codec_context.channels, audio.codec_context.name)
    lengths = [seconds_of(container, stream) for stream in (video, audio) if stream is not None]
    return MediaFacts(max(lengths), seen, heard)


def seconds_of(container: InputContainer, stream: Stream) -> float:
    """Length of a stream by its header, else by that of the file; 0 where neither knows it."""
    if stream.duration is not None and stream.time_base is not None and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and container.duration > 0:
        return container.duration / 1_000_000
    return 0.0
