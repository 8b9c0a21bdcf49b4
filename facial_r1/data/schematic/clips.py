"""One drawn clip as data, and its making: a face that moves, a voice, a sentence.

Ground truth decides which of the three carries the emotion (`carrier`): the face, the voice, the words, or all of them. What does not
carry it is neutral, so that the use that a model makes of each is measurable. A neutral clip is neutral throughout; its carrier only
says in whose share it counts, so that each share has all seven emotions equally often. Lips do not move with the voice: parted lips
and a dropped jaw are action units here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facial_r1.affect.emotions import SEVEN_EMOTIONS
from facial_r1.data.schematic.clip_words import SENTENCES
from facial_r1.data.schematic.drawing import SUPERSAMPLING, render
from facial_r1.data.schematic.faces import Face, face
from facial_r1.data.schematic.scene import background
from facial_r1.data.schematic.stream import Stream
from facial_r1.data.schematic.tones import look
from facial_r1.data.schematic.voice import Prosody, prosody, speaker
from facial_r1.data.schematic.voice_synthesis import speak

VERSION = 1
"""Raise when a seed draws, sounds or says something else than before; folders of another version are redone."""

CARRIERS = ("face", "voice", "words", "all")
EQUAL: Mapping[str, float] = dict.fromkeys(CARRIERS, 1.0)
SECONDS, FPS, SIZE = 1.6, 10.0, 112

_GOLDEN = 0.6180339887498949
_QUICK = {"surprise": 0.6, "fear": 0.8, "sadness": 1.3}
"""Factor on the time in which an expression rises."""

Clip = tuple[NDArray[np.uint8], NDArray[np.float32], str]


@dataclass(frozen=True, slots=True)
class Course:
    """How an expression comes and goes, in seconds: it begins at `onset`, is full from `apex` to `offset` and `rest` of it stays at `end`."""

    onset: float
    apex: float
    offset: float
    end: float
    rest: float

    def share(self, moment: float) -> float:
        """How much of the expression is there at a moment, in [0, 1]; smooth, nothing before the onset."""
        if moment < self.apex:
            return _smooth((moment - self.onset) / max(1e-6, self.apex - self.onset))
        return 1.0 - (1.0 - self.rest) * _smooth((moment - self.offset) / max(1e-6, self.end - self.offset))


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """A clip to draw and to describe.

    Attributes:
        face: The face at the apex; without action units where the face does not carry the emotion.
        emotion: One of the seven canonical nouns, the label.
        carrier: Which modality shows it, one of `CARRIERS`.
        course: When the expression rises and falls.
        sway: Amplitudes and phases of the head's slow movement: right, down, roll (degrees), and two phases.
        voice: How it is said.
        sentence: What is said.
        wording: Seed of the choice among equivalent wordings.
        size: Side of the picture in pixels.
        seconds, fps: Length, and frames a second.
    """

    face: Face
    emotion: str
    carrier: str
    course: Course
    sway: tuple[float, float, float, float, float]
    voice: Prosody
    sentence: str
    wording: int
    size: int
    seconds: float
    fps: float

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return max(2, round(self.seconds * self.fps))

    @property
    def action_units(self) -> tuple[str, ...]:
        """Codes at the apex, ordered by number."""
        return self.face.action_units

    def shows(self, modality: str) -> str:
        """The emotion that "face", "voice" or "words" show: the clip's, or neutral."""
        return self.emotion if self.carrier in (modality, "all") else "neutral"


def random_spec(
    seed: int,
    index: int,
    people: Sequence[int],
    *,
    carriers: Mapping[str, float] = EQUAL,
    size: int = SIZE,
    seconds: float = SECONDS,
    fps: float = FPS,
) -> ClipSpec:
    """Clip `index` of a seed; depends on nothing but the arguments, unlimited in `index`.

    Emotions are balanced over every run of seven indices, carriers over the runs (their shares are met to within one run).

    Args:
        people: Identities to draw from, for example `facial_r1.data.schematic.PRETRAINING_PEOPLE`.
        carriers: Shares of `CARRIERS`; those left out are 0.
    """
    apex = face(seed, index, people)
    carrier = carrier_of(seed, index, carriers)
    stream = Stream(seed, index, 0xC11B)
    spoken = apex.emotion if carrier in ("voice", "all") else "neutral"
    worded = apex.emotion if carrier in ("words", "all") else "neutral"
    if carrier not in ("face", "all"):
        apex = replace(apex, intensities={}, foreign=())
    return ClipSpec(
        face=apex,
        emotion=apex.emotion,
        carrier=carrier,
        course=_course(apex.emotion, seconds, stream),
        sway=(
            round(stream.uniform(0.3, 1.3), 2),
            round(stream.uniform(0.2, 0.9), 2),
            round(stream.uniform(0.3, 1.6), 2),
            round(stream.uniform(0.0, math.tau), 3),
            round(stream.uniform(0.0, math.tau), 3),
        ),
        voice=prosody(spoken, stream),
        sentence=stream.choice(SENTENCES[worded]),
        wording=stream.integer(1 << 30),
        size=size,
        seconds=seconds,
        fps=fps,
    )


def carrier_of(seed: int, index: int, carriers: Mapping[str, float] = EQUAL) -> str:
    """The carrier of a clip: the same for a run of seven, spread over the runs as evenly as the shares allow."""
    run = index // len(SEVEN_EMOTIONS)
    start = Stream(seed, 0xCA44).uniform()
    point = (start + run * _GOLDEN) % 1.0 * sum(carriers.get(name, 0.0) for name in CARRIERS)
    for name in CARRIERS:
        point -= carriers.get(name, 0.0)
        if point < 0:
            return name
    return next(name for name in reversed(CARRIERS) if carriers.get(name, 0.0) > 0)


def draw_clip(spec: ClipSpec, rng: np.random.Generator | None = None) -> Clip:
    """Draw and speak a clip.

    Args:
        rng: Where grain, breath and other irregularities come from, to see one spec many times; None takes those of the spec, so
            that it gives the same clip each time.

    Returns:
        Frames, uint8 of shape (T, size, size, 3); the sound, float32 of shape (seconds * 16000,), in [-1, 1] on the grid of 16-bit
        numbers; and the sentence.
    """
    chance = spec.wording if rng is None else int(rng.integers(1 << 30))
    frames = np.empty((spec.frames, spec.size, spec.size, 3), np.uint8)
    nuisance, looks = spec.face.nuisance, look(spec.face)
    scene = background(nuisance, spec.size * SUPERSAMPLING)
    for place in range(spec.frames):
        moment = place / spec.fps
        share = spec.course.share(moment)
        pulls = {unit: (left * share, right * share) for unit, (left, right) in looks.pulls.items()} if share > 0.02 else {}
        posed = replace(
            nuisance,
            shift=(nuisance.shift[0] + _wave(spec, 0, moment, 0.7), nuisance.shift[1] + _wave(spec, 1, moment, 0.5)),
            roll=nuisance.roll + _wave(spec, 2, moment, 0.4),
            seed=(chance + place) % (1 << 30),
        )
        frames[place] = render(replace(looks, pulls=pulls), posed, spec.size, scene)
    sound = speak(spec.sentence, speaker(spec.face.person), spec.voice, spec.seconds, Stream(chance, 0x50))
    return frames, sound, spec.sentence


def _wave(spec: ClipSpec, which: int, moment: float, hertz: float) -> float:
    """A slow movement around the pose, nothing at the start."""
    phase = spec.sway[3 + which % 2]
    return spec.sway[which] * (math.sin(math.tau * hertz * moment + phase) - math.sin(phase))


def _course(emotion: str, seconds: float, stream: Stream) -> Course:
    onset = stream.uniform(0.06, 0.2)
    apex = onset + stream.uniform(0.2, 0.32) * _QUICK.get(emotion, 1.0)
    offset = apex + stream.uniform(0.2, 0.32)
    times = [round(part * seconds, 3) for part in (onset, apex, min(offset, 0.85), 1.0)]
    return Course(times[0], times[1], times[2], times[3], rest=round(stream.uniform(0.0, 0.3), 3))


def _smooth(part: float) -> float:
    """0 before 0, 1 after 1, and a cubic without corners between."""
    part = min(1.0, max(0.0, part))
    return part * part * (3.0 - 2.0 * part)
