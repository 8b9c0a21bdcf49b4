"""Stand-ins for clips and sounds: frames of noise, sums of tones."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from facial_r1.models.media import Clip
from tests.models.families import picture

RATE = 16_000


def clip(seed: int, frames: int = 4, side: int = 56, seconds: float = 1.0) -> Clip:
    """Frames of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, side, side, 3), dtype=np.uint8)
    return Clip(pixels, seconds)


def sound(seed: int, seconds: float = 1.0) -> np.ndarray:
    """Three tones and a little noise, at 16 kHz."""
    random = np.random.default_rng(1000 + seed)
    times = np.arange(int(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * pitch * times) for pitch in random.uniform(80, 2000, 3))
    return (0.2 * tones + 0.01 * random.standard_normal(len(times))).astype(np.float32)


def asked(text: str, *parts: str) -> list[dict[str, Any]]:
    """One user turn: parts by name ("image", "video", "audio", "clip" for a video with its sound), then the text."""
    content: list[dict[str, Any]] = [{"type": "video", "sound": True} if part == "clip" else {"type": part} for part in parts]
    return [{"role": "user", "content": [*content, {"type": "text", "text": text}]}]


class Opener:
    """Draws what a name stands for: 112 pixels a side, four frames, 1.6 seconds."""

    def __call__(self, name: str) -> Image.Image:
        return picture(112, 112, int(name))

    def clip(self, name: str) -> Clip:
        return clip(int(name), frames=4, side=112, seconds=1.6)

    def sound(self, name: str) -> np.ndarray:
        return sound(int(name), 1.6)
