"""The drawn clips of pre-training: which ones, what they show as the model takes it, and what is said of them.

Clips come from seeds and persons that no dataset uses. Eight frames of 1.6 s are drawn and no more, since that is what the model is shown.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from facial_r1.data.schematic.clip_words import KINDS
from facial_r1.data.schematic.clips import ClipSpec, draw_clip, random_spec
from facial_r1.data.schematic.language import neutral_description
from facial_r1.data.schematic.stream import Stream
from facial_r1.data.schematic.voice import SOUNDS
from facial_r1.models.tiny.faces import HELD_OUT_PEOPLE, PEOPLE, SIDE

SEED = 20_261_121
"""Seed of the pre-training clips; no dataset is drawn from it."""

HELD_OUT_SEED = 20_261_122

FRAMES = 8
SECONDS = 1.6
RATE = 16_000
CARRIERS = {"face": 0.15, "voice": 0.15, "words": 0.1, "all": 0.6}
"""Mostly all at once: every clip then teaches all three; the others keep them apart."""

VOICES = tuple(SOUNDS)
WORDS = tuple(KINDS)

QUESTIONS = (
    "Describe the clip.",
    "What do face, voice and words do?",
    "Say what you see and hear.",
    "Describe what you see, hear and read.",
    "Give a plain description of the person.",
)


@dataclass(frozen=True)
class Drawn:
    """A clip as the model is shown it.

    Attributes:
        frames: ``(8, 112, 112, 3)``, uint8.
        sound: ``(25600,)``, float32.
        spec: What was drawn.
    """

    frames: np.ndarray
    sound: np.ndarray
    spec: ClipSpec


def spec(index: int, held_out: bool = False) -> ClipSpec:
    """The clip of this number."""
    seed, people = (HELD_OUT_SEED, HELD_OUT_PEOPLE) if held_out else (SEED, PEOPLE)
    return random_spec(seed, index, people, carriers=CARRIERS, size=SIDE, seconds=SECONDS, fps=FRAMES / SECONDS)


def drawn(index: int, held_out: bool = False) -> Drawn:
    """Draw and speak a clip."""
    one = spec(index, held_out)
    frames, sound, _ = draw_clip(one)
    return Drawn(frames, sound, one)


def batch(first: int, size: int) -> list[Drawn]:
    """Clips of consecutive numbers, for `facial_r1.models.tiny.ahead`."""
    return [drawn(index) for index in range(first, first + size)]


def voice_of(one: ClipSpec) -> int:
    """Which of `VOICES` is heard."""
    return VOICES.index(one.shows("voice"))


def words_of(one: ClipSpec) -> int:
    """Which of `WORDS` is said."""
    return WORDS.index(one.shows("words"))


def plain_description(one: ClipSpec, seen: bool, heard: bool, read: bool) -> str:
    """Sentences about what is shown, one after the other: no code, no emotion, no tag."""
    stream = Stream(one.wording, 0xB0)
    parts = []
    if seen:
        parts.append(neutral_description(one.face))
    if heard:
        parts.append(f"{stream.choice(SOUNDS[one.shows('voice')])}.")
    if read:
        parts.append(f"{stream.choice(KINDS[one.shows('words')])}.")
    return " ".join(parts)


@lru_cache(maxsize=1)
def _sentences() -> tuple[dict[str, str], ...]:
    return tuple({f"{wording}.": kind for kind, wordings in table.items() for wording in wordings} for table in (SOUNDS, KINDS))


def said(text: str) -> tuple[str | None, str | None]:
    """Which voice and which kind of words a description names, None where none is."""
    return tuple(  # type: ignore[return-value]
        next((kind for sentence, kind in table.items() if sentence in text), None) for table in _sentences()
    )


def shown(chooser: random.Random) -> tuple[bool, bool, bool]:
    """Draw what of a batch of clips is seen, heard and read: mostly everything, at times one or two of the three."""
    if chooser.random() < 0.6:
        return True, True, True
    return chooser.choice(
        (
            (True, False, False),
            (False, True, False),
            (False, False, True),
            (True, True, False),
            (False, True, True),
            (True, False, True),
        )
    )
