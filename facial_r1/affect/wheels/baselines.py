"""Answers that look at nothing: the best constant words, and the whole vocabulary.

Sectors are few and coarse, so that one list of words for every clip scores high; a figure without these beside it says little.
Candidates are all words of the tables; those that lie in the same sectors are one candidate. Words are added greedily, then
exchanged while that helps. Nothing is resampled and no clip is scored twice: a constant answer's figures are sums over sectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from facial_r1.affect.wheels.parsing import Labels, words
from facial_r1.affect.wheels.scorer import Wheels, divide
from facial_r1.affect.wheels.tables import LANE_BITS, NEUTRAL, WHEELS, Level, Mode

_Rank = tuple[int, bool, bool]

SIZES = (1, 3, 5)
"""Numbers of words that reports show."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant answer.

    Attributes:
        words: What is answered for every clip; empty for the whole vocabulary.
        f: The corpus F that it has.
    """

    words: tuple[str, ...]
    f: float


class _Sums:
    """What the figures of a constant answer depend on: per wheel and sector, sums over the clips."""

    def __init__(self, wheels: Wheels, truths: Iterable[Labels], level: Level, mode: Mode) -> None:
        table, self._width = wheels.table(level, mode), LANE_BITS[level]
        self._mode = mode
        self._n = [0] * WHEELS
        self._with: list[Counter[tuple[int, int]]] = [Counter() for _ in range(WHEELS)]
        """Of each wheel: clips by sector and number of true sectors."""
        for packed, count in Counter(wheels.packed(words(truth), table) for truth in truths).items():
            for wheel, lane in enumerate(self._lanes(packed)):
                size = lane.bit_count()
                self._n[wheel] += count if size else 0
                for sector in _bits(lane):
                    self._with[wheel][sector, size] += count

    def f(self, packed: int) -> float:
        """Corpus F when all clips are answered with these sectors."""
        scores = []
        for wheel, lane in enumerate(self._lanes(packed)):
            named, n = lane.bit_count(), self._n[wheel]
            if not n and self._mode == "strict":
                continue
            shared = [(size, count) for (sector, size), count in self._with[wheel].items() if lane >> sector & 1]
            if self._mode == "strict":
                scores.append(sum(2 * count / (named + size) for size, count in shared) / n)
            else:
                p = divide(sum(count for _, count in shared), n * named, False)
                r = divide(sum(count / size for size, count in shared), n, False)
                scores.append(divide(2 * p * r, p + r, False))
        return sum(scores) / max(1, len(scores))

    def _lanes(self, packed: int) -> list[int]:
        lane = (1 << self._width) - 1
        return [packed >> (self._width * wheel) & lane for wheel in range(WHEELS)]


def best_constant(
    wheels: Wheels, truths: Mapping[str, Labels] | Sequence[Labels], size: int, level: Level = 1, mode: Mode = "compat"
) -> Constant:
    """The best list of at most `size` words to give for every clip, by corpus F.

    It is chosen on the very clips that it is scored on. Greedy with exchanges: not proven to be the best there is.
    """
    clips = list(truths.values() if isinstance(truths, Mapping) else truths)
    sums, candidates = _Sums(wheels, clips, level, mode), _candidates(wheels, clips, level, mode)
    chosen: list[int] = []
    best = 0.0
    for _ in range(size):
        added = max(candidates, key=lambda packed: (sums.f(_union(chosen) | packed), candidates[packed]), default=0)
        value = sums.f(_union(chosen) | added)
        if value <= best + 1e-12:
            break
        best = value
        chosen.append(added)
        best = _exchange(sums, candidates, chosen, best)
    return Constant(tuple(candidates[packed][1] for packed in chosen), best)


def whole_vocabulary(
    wheels: Wheels, truths: Mapping[str, Labels] | Sequence[Labels], level: Level = 1, mode: Mode = "compat"
) -> Constant:
    """Every word that the tables have, for every clip: recall 1, and what precision that leaves."""
    clips = list(truths.values() if isinstance(truths, Mapping) else truths)
    return Constant((), _Sums(wheels, clips, level, mode).f(_union(_candidates(wheels, clips, level, mode))))


def _exchange(sums: _Sums, candidates: Mapping[int, tuple[_Rank, str]], chosen: list[int], best: float) -> float:
    """Exchange single words while that raises F; returns the F reached."""
    improved = True
    while improved:
        improved = False
        for place in range(len(chosen)):
            others = _union(packed for index, packed in enumerate(chosen) if index != place)
            other = max(candidates, key=lambda packed: (sums.f(others | packed), candidates[packed]))
            if (value := sums.f(others | other)) > best + 1e-12:
                chosen[place], best, improved = other, value, True
    return best


def _candidates(wheels: Wheels, clips: Sequence[Labels], level: Level, mode: Mode) -> dict[int, tuple[_Rank, str]]:
    """Distinct sectors that a word can reach, with the word to show for it: the one most used in the truth, else a base word."""
    table = wheels.table(level, mode)
    used = Counter(token for labels in clips for token in words(labels))
    found: dict[int, tuple[_Rank, str]] = {}
    for word in sorted([*wheels.source.forms, *([NEUTRAL] if mode == "strict" else [])]):
        if packed := table.lanes[word]:
            rank = (used[word], word in table.sector[0], word in wheels.source.labels)
            if packed not in found or rank > found[packed][0]:
                found[packed] = (rank, word)
    return found


def covering_words(wheels: Wheels) -> list[str]:
    """A few words that reach every sector that any word of the tables reaches, at both levels and in both modes.

    As an answer they score as the whole vocabulary does, in a hundredth of the time.
    """
    tables = [wheels.table(level, mode) for level in get_args(Level) for mode in get_args(Mode)]
    reached = [0] * len(tables)
    chosen = []
    for word in sorted(wheels.source.forms):
        lanes = [table.lanes[word] for table in tables]
        if any(lane & ~covered for lane, covered in zip(lanes, reached, strict=True)):
            reached = [lane | covered for lane, covered in zip(lanes, reached, strict=True)]
            chosen.append(word)
    return chosen


def _union(packed: Iterable[int]) -> int:
    whole = 0
    for part in packed:
        whole |= part
    return whole


def _bits(lane: int) -> list[int]:
    return [place for place in range(lane.bit_length()) if lane >> place & 1]
