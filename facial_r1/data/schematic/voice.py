"""How drawn people sound: a voice for each person, and what a feeling does to it.

The directions (not the sizes, which are chosen to be heard in a second and a half) are those of reviews of vocal expression: Scherer
2003, table 1, and Juslin and Laukka 2003, table 7: high, loud, fast and sharp for anger; high, wide and bright for happiness; low,
soft, slow and breathy for sadness; high, narrow and trembling for fear; rising for surprise; low and creaking for disgust.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from facial_r1.data.schematic.people import person
from facial_r1.data.schematic.stream import Stream

_PURPOSE = 0x501CE
"""Key that keeps the voices of people apart from their looks."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """The voice of a person.

    Attributes:
        pitch: Usual pitch in Hz.
        tract: Factor on the formants; shorter throats have higher ones.
        breath: Share of breath noise.
        tilt: How fast higher harmonics weaken, as a power of their number.
    """

    pitch: float
    tract: float
    breath: float
    tilt: float


@dataclass(frozen=True, slots=True)
class Prosody:
    """How something is said, as changes to the speaker's plain way.

    Attributes:
        pitch: Factor on the pitch.
        span: Semitones between the lowest and the highest place of the melody.
        melody: Heights in [-0.5, 0.5] at equal distances, from the first syllable to the last.
        level: Root mean square of the loud parts, full scale 1.
        rate: Syllables a second.
        tilt: Added to the speaker's.
        breath: Added to the speaker's.
        tremor: Depth of a tremble of 8 Hz in pitch and loudness.
        creak: Depth of an irregular drop of every second pulse.
        attack: Seconds in which a syllable reaches its loudness.
    """

    pitch: float
    span: float
    melody: tuple[float, ...]
    level: float
    rate: float
    tilt: float
    breath: float
    tremor: float
    creak: float
    attack: float


PROSODY: dict[str, Prosody] = {
    "neutral": Prosody(1.00, 2.0, (0.1, 0.5, 0.2, -0.1, -0.5), 0.09, 5.0, 0.0, 0.00, 0.0, 0.0, 0.030),
    "anger": Prosody(1.30, 7.0, (0.3, 0.5, 0.2, 0.3, -0.5), 0.22, 6.2, -0.45, 0.00, 0.0, 0.1, 0.008),
    "happiness": Prosody(1.38, 9.0, (-0.4, 0.4, -0.1, 0.5, 0.1), 0.15, 5.8, -0.20, 0.00, 0.0, 0.0, 0.020),
    "sadness": Prosody(0.86, 1.6, (0.5, 0.2, 0.0, -0.3, -0.5), 0.035, 3.4, 0.45, 0.25, 0.0, 0.0, 0.070),
    "fear": Prosody(1.62, 2.5, (0.0, 0.2, 0.1, 0.4, 0.3), 0.075, 6.8, 0.10, 0.15, 0.07, 0.0, 0.015),
    "surprise": Prosody(1.32, 13.0, (-0.5, -0.4, -0.1, 0.3, 0.5), 0.15, 5.0, -0.10, 0.05, 0.0, 0.0, 0.015),
    "disgust": Prosody(0.82, 4.0, (0.5, 0.0, -0.2, -0.4, -0.5), 0.11, 3.8, 0.10, 0.05, 0.0, 0.7, 0.050),
}

SOUNDS: dict[str, tuple[str, ...]] = {
    "neutral": ("The voice is even and of middle pitch", "The voice keeps level, neither loud nor soft"),
    "anger": ("The voice is loud, sharp and fast", "The voice is raised, hard and quick"),
    "happiness": ("The voice is high, bright and lively", "The voice swings up and down and sounds bright"),
    "sadness": ("The voice is low, slow and breathy", "The voice is soft and sinks slowly"),
    "fear": ("The voice is very high, thin and trembling", "The voice trembles high and hurries"),
    "surprise": ("The voice rises steeply to the end", "The voice climbs from low to high"),
    "disgust": ("The voice is low, slow and creaking", "The voice drags and creaks downwards"),
}
"""Emotion -> what the voice does, without the full stop."""


@lru_cache(maxsize=8192)
def speaker(identity: int) -> Speaker:
    """The voice of a drawn person; the same id sounds the same everywhere. Pitch follows the sex drawn, 90 to 140 or 170 to 240 Hz."""
    stream = Stream(_PURPOSE, identity)
    low, high = (170.0, 240.0) if person(identity).sex == "female" else (90.0, 140.0)
    return Speaker(
        pitch=round(stream.uniform(low, high), 1),
        tract=round((1.15 if low > 150 else 1.0) * stream.around(1.0, 0.07), 3),
        breath=round(stream.uniform(0.02, 0.08), 3),
        tilt=round(stream.around(1.05, 0.15), 3),
    )


def prosody(emotion: str, stream: Stream) -> Prosody:
    """How an emotion is said this time: the usual way, each part a little more or less."""
    usual = PROSODY[emotion]

    def about(value: float, share: float) -> float:
        return round(value * stream.around(1.0, share), 4)

    return Prosody(
        pitch=about(usual.pitch, 0.06),
        span=about(usual.span, 0.25),
        melody=tuple(round(place + stream.around(0.0, 0.12), 3) for place in usual.melody),
        level=about(usual.level, 0.2),
        rate=about(usual.rate, 0.1),
        tilt=round(usual.tilt + stream.around(0.0, 0.06), 3),
        breath=about(usual.breath, 0.3),
        tremor=about(usual.tremor, 0.2),
        creak=about(usual.creak, 0.15),
        attack=about(usual.attack, 0.2),
    )
