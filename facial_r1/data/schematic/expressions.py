"""Which action units a face shows, and which emotion they express.

The label is a function of the units, `decide`: an ordered rule in which nose and mouth come before brows and lids. It
is the drawn world's convention, close to EMFACS (see `facial_r1.affect.emotions`), and settles conflicting cues: a
smile over raised inner brows is happiness, because the lips come first. Sampling starts from an emotion, draws a core
and optional units, and keeps only unit sets for which the rule gives that emotion back, so a picture's label can
always be recovered from its units.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

from facial_r1.affect.action_units import sort_codes
from facial_r1.affect.emotions import SEVEN_EMOTIONS
from facial_r1.data.schematic.stream import Stream

DRAWN_UNITS: tuple[str, ...] = tuple(f"AU{n}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 17, 20, 23, 25, 26))
"""The units that the drawing can show, in the order of their numbers."""

MINIMUM_INTENSITY = 0.3
"""A unit is absent (0) or at least this strong, so that presence (>= 0.2) is never a matter of taste."""

Intensities = dict[str, tuple[float, float]]
"""Unit -> strength in [0, 1] on the person's left and right side."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an emotion is sampled.

    Attributes:
        chances: Unit -> probability that it takes part.
        foreign: Sets of units of other emotions that may be laid over it, each with the units that must then be there
            for the rule to keep the label.
    """

    chances: dict[str, float]
    foreign: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()


def _units(*numbers: int) -> tuple[str, ...]:
    return tuple(f"AU{number}" for number in numbers)


RECIPES: dict[str, Recipe] = {
    "anger": Recipe(
        {"AU4": 0.95, "AU5": 0.5, "AU7": 0.7, "AU23": 0.75, "AU17": 0.15, "AU25": 0.15},
        ((_units(1), _units(23)), (_units(1, 2), _units(23)), (_units(6), _units(4, 23))),
    ),
    "happiness": Recipe(
        {"AU12": 1.0, "AU6": 0.75, "AU25": 0.45, "AU26": 0.15},
        ((_units(1), _units(12)), (_units(1, 4), _units(12)), (_units(4), _units(12)), (_units(1, 2), _units(12))),
    ),
    "sadness": Recipe(
        {"AU1": 0.85, "AU4": 0.7, "AU15": 0.85, "AU17": 0.45, "AU25": 0.08},
        ((_units(2), _units(15)), (_units(5), _units(15)), (_units(6), _units(15))),
    ),
    "disgust": Recipe(
        {"AU9": 0.8, "AU10": 0.7, "AU17": 0.35, "AU4": 0.3, "AU7": 0.25, "AU15": 0.2, "AU25": 0.2},
        ((_units(12), _units(9)), (_units(1), _units(9)), (_units(1, 2), _units(9))),
    ),
    "surprise": Recipe(
        {"AU1": 0.95, "AU2": 0.95, "AU5": 0.75, "AU26": 0.75, "AU25": 0.2},
        ((_units(6), _units(1, 2, 5)), (_units(7), _units(1, 2, 26))),
    ),
    "fear": Recipe(
        {"AU1": 0.85, "AU2": 0.65, "AU4": 0.75, "AU5": 0.85, "AU20": 0.8, "AU25": 0.45, "AU26": 0.25, "AU7": 0.15},
        ((_units(6), _units(1, 20)),),
    ),
    "neutral": Recipe({}),
}

EXTRA_UNITS: tuple[str, ...] = _units(7, 17, 25)
"""Units that may be added to any expression without meaning anything."""

EXCLUSIVE: tuple[frozenset[str], ...] = tuple(
    frozenset(_units(*pair)) for pair in ((12, 15), (12, 20), (12, 23), (15, 20), (15, 23), (20, 23), (23, 26), (17, 26))
)
"""Pairs that pull the same lips in opposite directions; they never occur together."""

CONFLICT_SHARE = 0.0935
"""Of the six emotions; gives 8 % of all faces, neutral having none."""

EXTRA_SHARE = 0.12
NEUTRAL_UNIT_SHARE = 0.3
ASYMMETRY = 0.12
"""Largest difference of one side from the mean, as a fraction of the strength."""


def decide(units: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """Return the emotion that a set of units expresses and the units that decided it.

    The rule, first match wins: AU9 or AU10 disgust; AU12 happiness; AU20 fear; AU15 sadness; AU23 anger; then, without
    any of these, AU1+AU4 with AU5 fear, without AU5 sadness; AU4 with AU5 or AU7 anger; AU1 or AU2 with AU5 or AU26,
    or AU1+AU2, surprise; else neutral.
    """
    has = set(units)
    for deciders, emotion in (
        (("AU9", "AU10"), "disgust"),
        (("AU12",), "happiness"),
        (("AU20",), "fear"),
        (("AU15",), "sadness"),
        (("AU23",), "anger"),
    ):
        found = tuple(unit for unit in deciders if unit in has)
        if found:
            return emotion, found
    if {"AU1", "AU4"} <= has:
        return ("fear", _units(1, 4, 5)) if "AU5" in has else ("sadness", _units(1, 4))
    if "AU4" in has and has & {"AU5", "AU7"}:
        return "anger", tuple(sort_codes(has & {"AU4", "AU5", "AU7"}))
    brows = has & {"AU1", "AU2"}
    opening = has & {"AU5", "AU26"}
    if len(brows) == 2 or (brows and opening):
        return "surprise", tuple(sort_codes(brows | opening))
    return "neutral", ()


def compatible(units: Iterable[str]) -> bool:
    """True when no two of the units exclude each other and a dropped jaw comes with parted lips."""
    has = set(units)
    return not any(pair <= has for pair in EXCLUSIVE) and ("AU26" not in has or "AU25" in has)


def emotion_of(seed: int, index: int) -> str:
    """Return the emotion of picture ``index``: every run of seven pictures has each emotion once, in random order."""
    block, place = divmod(index, len(SEVEN_EMOTIONS))
    return _order_of(seed, block)[place]


@lru_cache(maxsize=64)
def _order_of(seed: int, block: int) -> list[str]:
    return Stream(seed, block, 0xB10C).shuffled(SEVEN_EMOTIONS)


def sample(emotion: str, stream: Stream) -> tuple[Intensities, tuple[str, ...]]:
    """Draw the units of one face.

    Returns:
        Strength of every present unit (in [0.3, 1] on either side), ordered by number, and the foreign units
        that contradict the emotion (empty in most faces).
    """
    if emotion == "neutral":
        if not stream.chance(NEUTRAL_UNIT_SHARE):
            return {}, ()
        unit = stream.choice(EXTRA_UNITS)
        return {unit: _sides(stream.uniform(0.34, 0.55), stream)}, ()
    foreign: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    recipe = RECIPES[emotion]
    if stream.chance(CONFLICT_SHARE):
        foreign, needed = stream.choice(recipe.foreign)
    extra = stream.choice(EXTRA_UNITS) if stream.chance(EXTRA_SHARE) else None
    units = _draw_units(emotion, recipe, foreign, needed, extra, stream)
    # One strength for the whole expression, varied by unit: faces are faint or strong as a whole.
    strength = stream.uniform(0.36, 1.0)
    intensities = {
        unit: _sides(min(1.0, max(MINIMUM_INTENSITY, strength + stream.uniform(-0.25, 0.25))), stream) for unit in units
    }
    return intensities, foreign


def _draw_units(
    emotion: str,
    recipe: Recipe,
    foreign: tuple[str, ...],
    needed: tuple[str, ...],
    extra: str | None,
    stream: Stream,
) -> list[str]:
    while True:
        units = {unit for unit, probability in recipe.chances.items() if stream.chance(probability)}
        own = len(units)
        units.update(foreign, needed)
        if extra is not None and compatible(units | {extra, "AU25"} if "AU26" in units else units | {extra}):
            units.add(extra)  # an addition that the face cannot make is left out
        if "AU26" in units:
            units.add("AU25")
        # A single unit names an emotion only where it is its emblem (a smile, a wrinkled nose or raised lip).
        enough = own >= 2 or emotion in ("happiness", "disgust")
        if enough and compatible(units) and decide(units)[0] == emotion:
            return sort_codes(units)


def _sides(strength: float, stream: Stream) -> tuple[float, float]:
    tilt = stream.around(0.0, ASYMMETRY) * strength
    left, right = (min(1.0, max(MINIMUM_INTENSITY, strength + half)) for half in (tilt, -tilt))
    return round(left, 3), round(right, 3)
