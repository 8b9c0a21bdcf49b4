"""What scoring returns: small data classes that can also be read like mappings (``score["f"]``, ``dict(score)``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any


class Score:
    """Access by name, for code that handles several kinds of scores alike."""

    __slots__ = ()

    def keys(self) -> Iterator[str]:
        """Names of the fields."""
        return iter([field.name for field in fields(self)])  # type: ignore[arg-type]

    def __getitem__(self, name: str) -> Any:
        if not isinstance(name, str) or name not in self.__dataclass_fields__:  # type: ignore[attr-defined]
            raise KeyError(name)
        return getattr(self, name)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the wheels as a list of five mappings, wheel 1 first."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True, slots=True)
class WheelScore(Score):
    """One clip on one wheel, each figure in [0, 1].

    Attributes:
        precision: Shared sectors over predicted sectors; 0 when nothing is predicted.
        recall: Shared sectors over true sectors.
        f: Their harmonic mean, 0 when both are 0; NaN when skipped.
        skipped: The truth has no sector on this wheel. Precision and recall are then NaN with the tables of 2025, else 0.
    """

    precision: float
    recall: float
    f: float
    skipped: bool


@dataclass(slots=True)
class PairScore(Score):
    """One clip: means over the five wheels.

    ``compat``: as the released code computes them. With the tables of 2025 a wheel without overlap makes `f` NaN, and a skipped
    wheel makes all three NaN; with the other tables both count as 0. ``strict``: means over the wheels that are not skipped.

    Attributes:
        f: Mean F.
        precision: Mean precision.
        recall: Mean recall.
        skipped: No wheel has a sector for the truth.
        wheels: Wheel 1 to 5; empty for the mappings without a wheel.
    """

    f: float
    precision: float
    recall: float
    skipped: bool
    wheels: tuple[WheelScore, ...] = ()


@dataclass(slots=True)
class CorpusWheelScore(Score):
    """All clips on one wheel.

    Attributes:
        f: ``compat``: harmonic mean of the mean precision and the mean recall; ``strict``: mean F of the clips.
        precision: Mean over the scored clips.
        recall: Mean over the scored clips.
        n: Clips that were scored.
        skipped: Clips whose truth has no sector on this wheel.
    """

    f: float
    precision: float
    recall: float
    n: int
    skipped: int


@dataclass(slots=True)
class CorpusScore(Score):
    """All clips: means over the five wheels, in [0, 1]; NaN where the tables of 2025 give NaN.

    Attributes:
        f: Mean over the wheels.
        precision: Mean over the wheels.
        recall: Mean over the wheels.
        clip_f: Mean over all clips of the F that a clip has on its own (a wheel that is skipped or without overlap counts 0; in
            ``strict`` skipped wheels are left out). This is what a reward optimises; it differs from `f`.
        n: Clips.
        wheels: Wheel 1 to 5; one entry for the mappings without a wheel.
    """

    f: float
    precision: float
    recall: float
    clip_f: float
    n: int
    wheels: tuple[CorpusWheelScore, ...]


@dataclass(slots=True)
class HitWheelScore(Score):
    """Hits of all clips on one wheel.

    Attributes:
        hit_rate: Share of the scored clips whose true sector is among the predicted ones.
        mscore: Mean of 1 over the number of candidate sectors predicted, 0 without a hit: the figure that naming everything lowers.
        n: Clips that were scored.
        skipped: Clips whose truth has no sector on this wheel.
    """

    hit_rate: float
    mscore: float
    n: int
    skipped: int


@dataclass(slots=True)
class HitScore(Score):
    """Hits of all clips: means over the five wheels.

    Attributes:
        hit_rate: HIT of MER-UniBench, in [0, 1]; it has no precision side, so that naming everything scores 1.
        mscore: See `HitWheelScore`.
        n: Clips scored on each wheel.
        wheels: Wheel 1 to 5.
    """

    hit_rate: float
    mscore: float
    n: tuple[int, ...]
    wheels: tuple[HitWheelScore, ...]


@dataclass(frozen=True, slots=True)
class Step(Score):
    """How a word reaches its sector on one wheel.

    Attributes:
        wheel: 1 to 5.
        label: The wheel label that decides; None when the wheel has none for the word.
        level1: Sector at level 1, or None.
        level2: Sector at level 2, or None.
    """

    wheel: int
    label: str | None
    level1: str | None
    level2: str | None


@dataclass(frozen=True, slots=True)
class Path(Score):
    """All that the tables say about a word.

    Attributes:
        word: As it is looked up.
        known: It is in the tables.
        bases: Base words that it is a form of, in alphabetical order.
        labels: Wheel labels of its bases, in alphabetical order.
        steps: The five wheels, as the released rule picks (``compat``).
        strict: The same where identity beats the alphabet (``strict``).
    """

    word: str
    known: bool
    bases: tuple[str, ...]
    labels: tuple[str, ...]
    steps: tuple[Step, ...]
    strict: tuple[Step, ...]
