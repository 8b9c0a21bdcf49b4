"""Tiny video and sound files, each with one property that a test is about."""

from __future__ import annotations

import wave
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 16_000


def grey(place: int, width: int = 32, height: int = 24) -> np.ndarray:
    """A picture whose grey says which one it is."""
    return np.full((height, width, 3), (place * 9) % 250, np.uint8)


def write_video(
    path: Path,
    count: int = 10,
    fps: float = 10.0,
    size: tuple[int, int] = (32, 24),
    *,
    picture: Callable[[int], np.ndarray] | None = None,
    times: Sequence[int] | None = None,
    sound: np.ndarray | None = None,
    rotation: int | None = None,
    gop: int | None = None,
    aspect: Fraction | None = None,
    container: dict[str, str] | None = None,
) -> Path:
    """`count` pictures, at `times` (in units of 1 / fps) or one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=container or {}) as file:
        stream = file.add_stream(
            "libx264", rate=Fraction(fps).limit_denominator(1000), options={"preset": "ultrafast", "crf": "4"}
        )
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.thread_count = 1
        if gop:
            stream.codec_context.gop_size = gop
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        track = None if sound is None else file.add_stream("aac", rate=RATE, layout="mono")
        for place in range(count):
            frame = av.VideoFrame.from_ndarray((picture or (lambda n: grey(n, *size)))(place), format="rgb24")
            frame.pts = place if times is None else times[place]
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
        if track is not None and sound is not None:
            frame = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            file.mux(track.encode(frame))
            file.mux(track.encode())
    return path


def tone(seconds: float = 1.0, hertz: float = 440.0, rate: int = RATE) -> np.ndarray:
    """A sine of half the full scale."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_sound(path: Path, sound: np.ndarray, rate: int = RATE, channels: int = 1) -> Path:
    """A 16-bit WAV; of several channels only the first carries the sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.zeros((len(sound), channels), "<i2")
    samples[:, 0] = np.round(sound * 32767)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path
