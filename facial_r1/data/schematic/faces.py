"""One drawn face as data: who, which expression, in which circumstances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facial_r1.affect.action_units import sort_codes
from facial_r1.data.schematic.expressions import Intensities, emotion_of, sample
from facial_r1.data.schematic.people import Colour, Person, person
from facial_r1.data.schematic.stream import Stream
from facial_r1.errors import InputError

VERSION = 1
"""Raise when a seed draws or says something else than before; materialised folders of another version are redone."""

TRAIN_PEOPLE = range(160)
TEST_PEOPLE = range(160, 200)
PRETRAINING_PEOPLE = range(1000, 5000)
"""Nobody is in two of these groups, so base weights have seen neither the training nor the test subjects."""

BACKGROUNDS: tuple[Colour, ...] = (
    (206, 222, 232),
    (232, 220, 204),
    (214, 226, 208),
    (226, 210, 224),
    (180, 196, 210),
    (238, 232, 222),
    (168, 178, 172),
    (246, 214, 188),
    (140, 156, 176),
)
OCCLUDERS: tuple[str, ...] = ("hand", "microphone", "strand")
OCCLUDED_SHARE = 0.06


@dataclass(frozen=True, slots=True)
class Nuisance:
    """What varies from picture to picture and says nothing about the expression.

    Attributes:
        background: ``flat``, ``gradient`` or ``shapes``.
        colours: Two background colours.
        shift: Head displacement (right, down) in units of a 112 x 112 picture.
        roll: In-plane rotation in degrees, positive turns the head clockwise as seen.
        yaw: Sideways displacement of the features against the head, in the same units as ``shift``.
        scale: Size factor of the head.
        light: Relative brightness change from one edge to the other (horizontal, vertical), about +-0.2.
        brightness: Overall factor.
        noise: Half range of the luminance noise, in grey levels 0..255.
        occluder: ``""``, ``hand``, ``microphone`` or ``strand`` (of hair).
        side: -1 or 1, the side of the picture where the occluder is.
        seed: For texture that has no parameter of its own.
    """

    background: str
    colours: tuple[Colour, Colour]
    shift: tuple[float, float]
    roll: float
    yaw: float
    scale: float
    light: tuple[float, float]
    brightness: float
    noise: int
    occluder: str
    side: int
    seed: int


@dataclass(frozen=True, slots=True)
class Face:
    """A face to draw and to describe.

    Attributes:
        seed: Seed of the data set.
        index: Number of the picture within the seed.
        person: Identity, see `facial_r1.data.schematic.people.person`.
        emotion: One of the seven canonical nouns.
        intensities: Unit -> strength in [0.3, 1] on the person's (left, right) side; absent units are not listed.
        foreign: Units that contradict the emotion; not empty only for conflicting cues.
        nuisance: Circumstances of the picture.
        wording: Seed of the choice among equivalent wordings.
    """

    seed: int
    index: int
    person: int
    emotion: str
    intensities: Intensities
    foreign: tuple[str, ...]
    nuisance: Nuisance
    wording: int

    @property
    def action_units(self) -> tuple[str, ...]:
        """Codes of the present units, ordered by number."""
        return tuple(sort_codes(self.intensities))

    @property
    def conflicting(self) -> bool:
        """True when units of another emotion are laid over the expression."""
        return bool(self.foreign)

    @property
    def identity(self) -> Person:
        """The looks of the person."""
        return person(self.person)


def face(seed: int, index: int, people: Sequence[int]) -> Face:
    """Return picture ``index`` of a seed.

    Emotions are balanced over every run of seven indices and persons over every run of ``len(people)``. The face
    depends on nothing but the three arguments; expression and circumstances not even on ``people``.

    Args:
        seed: Non-negative seed.
        index: Non-negative number of the picture; unlimited.
        people: Identities to draw from, for example ``range(160)``.

    Raises:
        InputError: A negative seed or index, or nobody to draw.
    """
    if seed < 0 or index < 0 or len(people) == 0:
        raise InputError(
            f"data=schematic: seed ({seed}) and index ({index}) must be 0 or more and people must not be empty "
            f"({len(people)} given); choose a non-negative seed"
        )
    stream = Stream(seed, index, 0xFACE)
    emotion = emotion_of(seed, index)
    intensities, foreign = sample(emotion, stream)
    return Face(
        seed=seed,
        index=index,
        person=people[index % len(people)],
        emotion=emotion,
        intensities=intensities,
        foreign=foreign,
        nuisance=_nuisance(stream),
        wording=stream.integer(1 << 30),
    )


def _nuisance(stream: Stream) -> Nuisance:
    return Nuisance(
        background=stream.choice(("flat", "gradient", "shapes")),
        colours=(stream.choice(BACKGROUNDS), stream.choice(BACKGROUNDS)),
        shift=(round(stream.around(0.0, 3.0), 2), round(stream.around(0.0, 2.5), 2)),
        roll=round(stream.around(0.0, 7.0), 2),
        yaw=round(stream.around(0.0, 2.6), 2),
        scale=round(stream.around(1.0, 0.05), 3),
        light=(round(stream.around(0.0, 0.18), 3), round(stream.around(-0.05, 0.12), 3)),
        brightness=round(stream.around(0.96, 0.1), 3),
        noise=stream.integer(7) if stream.chance(0.6) else 0,
        occluder=stream.choice(OCCLUDERS) if stream.chance(OCCLUDED_SHARE) else "",
        side=stream.choice((-1, 1)),
        seed=stream.integer(1 << 30),
    )
