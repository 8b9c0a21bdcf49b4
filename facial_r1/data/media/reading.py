"""A record's video and sound as `data.video` and `data.audio` ask for them, decoded once while they are in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facial_r1.data.media import cache
from facial_r1.data.media.audio import Waveform, waveform
from facial_r1.data.media.video import Frames, frames

if TYPE_CHECKING:
    from facial_r1.config.media_schema import Audio, Video


def see(path: str, settings: Video, held: cache.MediaCache | None = None) -> Frames:
    """`frames` of a record's `video`: uint8 (T, H, W, 3) and times (T,), not writable.

    Args:
        held: The cache; by default that of the process.
    """
    held = cache.shared if held is None else held
    rate = settings.rate if settings.sampling == "rate" else None
    key = cache.file_key(path, "video", settings.frames, rate, settings.max_frames, settings.max_seconds)
    return held.get(
        key,
        lambda: frames(path, settings.frames, rate, max_frames=settings.max_frames, seconds=settings.max_seconds),
    )


def hear(path: str, settings: Audio, held: cache.MediaCache | None = None) -> Waveform:
    """`waveform` of a record's `audio`: float32 (N,), not writable."""
    held = cache.shared if held is None else held
    key = cache.file_key(path, "audio", settings.rate, settings.max_seconds)
    return held.get(key, lambda: waveform(path, settings.rate, seconds=settings.max_seconds))
