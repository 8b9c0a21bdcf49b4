"""The three levels of the mapping, compiled into integers.

A word of the vocabulary (a surface form) belongs to base words, each base word to wheel labels, and each wheel label lies in a
sector of the wheel (Lian et al., OV-MER, arXiv 2410.01495, section 4). What scoring needs of a word is one integer: a lane of bits for
each wheel, with the bit of its sector set. Sets of sectors are bitwise ors, their sizes bit counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Level = Literal[1, 2]
Mode = Literal["compat", "strict"]
Tree = Mapping[str, Mapping[str, Sequence[str]]]
"""One wheel: level 1 to level 2 to the labels of level 3."""

WHEELS = 5
NEUTRAL = "neutral"
NEUTRAL_WORDS = ("neutral", "neutrality", "neutrally")
"""No published table has a place for these; ``strict`` gives them a sector of their own on each wheel."""
LANE_BITS = {1: 8, 2: 64}
"""Bits a wheel has at each level: at most 7 and 48 sectors, and the neutral one."""


@dataclass(frozen=True)
class Source:
    """The mapping as it was read.

    Attributes:
        name: ``embedded``, ``mer2025`` or ``mer2026``.
        forms: Surface form to its base words.
        labels: Base word to its wheel labels.
        trees: The five wheels, for looking at.
        sectors: Of each wheel, the sector of its labels at level 1 and at level 2, for scoring.
        nan: Figures that divide by 0 are NaN, as in the code released with the tables of 2025; else 0.
        sha256: Of the files it was read from.
    """

    name: str
    forms: Mapping[str, Sequence[str]]
    labels: Mapping[str, Sequence[str]]
    trees: Sequence[Tree]
    sectors: Sequence[Sequence[Mapping[str, str]]]
    nan: bool = False
    sha256: str = ""


def sectors_of(tree: Tree, level: Level) -> dict[str, str]:
    """Wheel label to sector name of one wheel.

    Level 1: every label to its level-1 word. Level 2: level-2 and level-3 labels to their level-2 word, a level-1 word to the
    alphabetically first level-2 word below it. A label that occurs twice belongs where it occurs last (wheel 2 has four such).
    """
    found: dict[str, str] = {}
    for top, branches in tree.items():
        found[top] = top if level == 1 else min(branches)
        for middle, leaves in branches.items():
            sector = top if level == 1 else middle
            found[middle] = sector
            found.update(dict.fromkeys(leaves, sector))
    return found


class Lanes(dict[str, int]):
    """Word to packed sectors, filled in when a word is first asked for; words outside of the vocabulary have 0.

    Filling in on demand keeps loading fast. Only words of the vocabulary are kept, so that memory is bounded by it.
    """

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    def __missing__(self, word: str) -> int:
        if not self._table.knows(word):
            return 0
        packed = self[word] = self._table.pack(word)
        return packed


@dataclass(frozen=True)
class Table:
    """One level and mode, compiled.

    Attributes:
        source: What it was compiled from.
        level: 1 or 2.
        mode: ``compat`` picks the alphabetically first wheel label that the wheel has; ``strict`` prefers the word itself, then its
            base words, and gives neutral a sector.
        sector: Of each wheel, label to the number of its sector.
        names: Of each wheel, sector names by number; in ``strict`` the last is neutral.
    """

    source: Source
    level: Level
    mode: Mode
    sector: tuple[dict[str, int], ...] = field(init=False)
    names: tuple[tuple[str, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        numbers, names = [], []
        for levels in self.source.sectors:
            labels = levels[self.level - 1]
            order = list(dict.fromkeys(labels.values()))
            place = {name: number for number, name in enumerate(order)}
            numbers.append({label: place[name] for label, name in labels.items()})
            names.append((*order, NEUTRAL) if self.mode == "strict" else tuple(order))
        object.__setattr__(self, "sector", tuple(numbers))
        object.__setattr__(self, "names", tuple(names))

    @cached_property
    def lanes(self) -> Lanes:
        """Packed sectors by word."""
        return Lanes(self)

    def knows(self, word: str) -> bool:
        """Whether the word is in the vocabulary."""
        return word in self.source.forms or (self.mode == "strict" and word in NEUTRAL_WORDS)

    def decide(self, word: str, wheel: int) -> str | None:
        """The wheel label (wheel 0 to 4) that places a word of the tables, or None when the wheel has none for it."""
        sector = self.sector[wheel]
        bases = sorted(set(self.source.forms[word]))
        candidates: list[str] = sorted({label for base in bases for label in self.source.labels.get(base, ())})
        if self.mode == "strict":
            candidates = [word, *bases, *candidates]
        return next((label for label in candidates if label in sector), None)

    def pack(self, word: str) -> int:
        """The sectors of a known word, a lane of `LANE_BITS` bits per wheel, wheel 1 lowest."""
        width, packed = LANE_BITS[self.level], 0
        for wheel, sector in enumerate(self.sector):
            if word in self.source.forms:
                label = self.decide(word, wheel)
                number = None if label is None else sector[label]
            else:
                number = len(self.names[wheel]) - 1  # neutral
            if number is not None:
                packed |= 1 << (width * wheel + number)
        return packed

    def names_in(self, packed: int, wheel: int) -> set[str]:
        """Names of the sectors in the lane of a wheel (0 to 4)."""
        width = LANE_BITS[self.level]
        lane = packed >> (width * wheel) & ((1 << width) - 1)
        return {name for number, name in enumerate(self.names[wheel]) if lane >> number & 1}


def invert(listed: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Item to the keys that list it, each key once, in order."""
    found: dict[str, dict[str, None]] = {}
    for key, items in listed.items():
        for item in items:
            found.setdefault(item, {})[key] = None
    return {item: list(keys) for item, keys in found.items()}
