"""``ov_perception``: which answers to one clip fit it better, by pairwise comparison (AffectGPT-R1, arXiv 2508.01318).

All pairs of answers to a clip are compared by a judge that sees it. The wins are ranked by a Bradley-Terry model, and the upper half of
the answers gets 1. The judge is plugged in (`Comparer`): it gets all comparisons of a batch at once, so that it can ask a server for many of
them at the same time and look up what it was asked before. What this module decides, it decides without a judge: an answer that cannot
be read loses to one that can, two that cannot be read or that say the same are not compared, a tie is half a win for each, a comparison
that failed is left out. All of it is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, Protocol

from facial_r1.errors import InputError
from facial_r1.prompts.open_vocabulary import Output, read_answer
from facial_r1.rewards.registry import Values, reward

Verdict = Literal["first", "second", "tie", "failed"]
Wins = list[list[float]]
"""Wins of row over column."""

_PRIOR = 1e-3
"""Of a win, given to both sides of every comparison: keeps an answer that never wins, or never loses, at a finite strength."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A question to the judge: which of two answers fits the record's clip better?

    Attributes:
        record: With its images, video or audio, and transcript.
        first: One answer, as `Perception` was told to show it.
        second: The other.
    """

    record: Mapping[str, Any]
    first: str
    second: str


class Comparer(Protocol):
    """A judge. Comparisons of a call are independent: they may be asked at the same time, and in any order."""

    def __call__(self, comparisons: Sequence[Comparison]) -> Sequence[Verdict]:
        """One verdict for each comparison, in their order; ``failed`` where none could be had or read."""
        ...


class Perception:
    """The reward with its judge and its counts.

    Attributes:
        counts: Since it was made: ``compared``, ``ties``, ``failed``, ``unread`` (pairs decided without the judge because one answer could
            not be read), ``skipped`` (both unreadable or equal), ``groups`` and ``unranked`` (groups without any comparison).
    """

    def __init__(self, judge: Comparer, shown: Literal["answer", "completion"] = "answer", orders: Literal[1, 2] = 1) -> None:
        """Set it up.

        Args:
            judge: Compares two answers.
            shown: The judge sees the answer alone, or the whole completion.
            orders: 2 asks each pair in both orders, at twice the cost; with 1, the first place goes to one and the other in turn.
        """
        self._judge, self._shown, self._orders = judge, shown, orders
        self.counts: Counter[str] = Counter()

    def __call__(self, completions: Sequence[str], records: Sequence[Mapping[str, Any]], output: Output = "auto") -> Values:
        """1.0 for the upper half of the answers to each clip, 0.0 for the others and for clips without any comparison; None for a clip
        with a single answer."""
        groups: dict[Hashable, list[int]] = {}
        for place, record in enumerate(records):
            groups.setdefault(_clip(record), []).append(place)
        texts = [self._text(completion, output) for completion in completions]
        asked: list[tuple[int, int]] = []
        decided: list[tuple[int, int, float]] = []
        for places in groups.values():
            for one, two in combinations(places, 2):
                if texts[one] == texts[two] or not (texts[one] or texts[two]):
                    self.counts["skipped"] += 1
                elif not (texts[one] and texts[two]):
                    self.counts["unread"] += 1
                    decided.append((one, two, 1.0 if texts[one] else 0.0))
                elif self._orders == 2:
                    asked += [(one, two), (two, one)]
                else:
                    asked.append((one, two) if (one + two) % 2 else (two, one))
        decided += self._ask(asked, texts, records)
        values: Values = [None] * len(completions)
        for places in groups.values():
            if len(places) > 1:
                self._rank(places, decided, values)
        return values

    def _text(self, completion: str, output: Output) -> str:
        """What the judge sees of a completion; "" for one without emotion words, or that breaks off."""
        answer = read_answer(completion, output)
        if answer.truncated or not answer.words:
            return ""
        return answer.text if self._shown == "answer" else completion.strip()

    def _ask(
        self, asked: Sequence[tuple[int, int]], texts: Sequence[str], records: Sequence[Mapping[str, Any]]
    ) -> list[tuple[int, int, float]]:
        """Comparisons as (one, two, share of the win that one gets)."""
        if not asked:
            return []
        verdicts = self._judge([Comparison(records[one], texts[one], texts[two]) for one, two in asked])
        if len(verdicts) != len(asked):
            raise ValueError(f"the judge gave {len(verdicts)} verdicts on {len(asked)} comparisons")
        share = {"first": 1.0, "second": 0.0, "tie": 0.5}
        self.counts["compared"] += len(asked)
        self.counts["ties"] += sum(verdict == "tie" for verdict in verdicts)
        self.counts["failed"] += sum(verdict not in share for verdict in verdicts)
        return [(*pair, share[verdict]) for pair, verdict in zip(asked, verdicts, strict=True) if verdict in share]

    def _rank(self, places: Sequence[int], decided: Sequence[tuple[int, int, float]], values: Values) -> None:
        """Fill in the values of one clip."""
        index = {place: row for row, place in enumerate(places)}
        wins: Wins = [[0.0] * len(places) for _ in places]
        for one, two, share in decided:
            if one in index and two in index:
                wins[index[one]][index[two]] += share
                wins[index[two]][index[one]] += 1 - share
        self.counts["groups"] += 1
        compared = any(any(row) for row in wins)
        self.counts["unranked"] += not compared
        for place, value in zip(places, top_half(wins) if compared else [0.0] * len(places), strict=True):
            values[place] = value


def bradley_terry(wins: Sequence[Sequence[float]], iterations: int = 200) -> list[float]:
    """Strengths that make the wins most likely, by minorisation-maximisation (Hunter 2004, *MM Algorithms for Generalized
    Bradley-Terry Models*); they sum to 1.

    Args:
        wins: Square; wins of row over column, ties as half a win for each.
        iterations: At most; ends earlier when nothing changes any more.

    Example:
        >>> strengths = bradley_terry([[0, 2], [1, 0]])
        >>> round(strengths[0] / strengths[1], 2)
        2.0
    """
    size = len(wins)
    played = [[wins[i][j] + wins[j][i] for j in range(size)] for i in range(size)]
    with_prior = [[wins[i][j] + (_PRIOR if played[i][j] else 0.0) for j in range(size)] for i in range(size)]
    total = [[with_prior[i][j] + with_prior[j][i] for j in range(size)] for i in range(size)]
    won = [sum(row) for row in with_prior]
    strengths = [1 / size] * size
    for _ in range(iterations):
        fresh = []
        for i in range(size):
            weight = sum(total[i][j] / (strengths[i] + strengths[j]) for j in range(size) if total[i][j])
            fresh.append(won[i] / weight if weight else strengths[i])
        scale = sum(fresh)
        fresh = [strength / scale for strength in fresh]
        change = max(abs(new - old) for new, old in zip(fresh, strengths, strict=True))
        strengths = fresh
        if change < 1e-12:
            break
    return strengths


def top_half(wins: Sequence[Sequence[float]]) -> list[float]:
    """1.0 for the answers whose rank is at most half of them, rounded up, else 0.0.

    Answers of equal strength share the last of their ranks, so that a tie at the border never rewards more than half.
    """
    strengths = bradley_terry(wins)
    limit = (len(strengths) + 1) // 2
    weaker = [sum(other < own * (1 - 1e-6) for other in strengths) for own in strengths]
    return [float(len(strengths) - below <= limit) for below in weaker]


def _clip(record: Mapping[str, Any]) -> Hashable:
    """What answers are compared within: the record, by dataset and id, else by identity."""
    name = record.get("id")
    return (str(record.get("dataset") or ""), str(name)) if name not in (None, "") else id(record)


_perception: Perception | None = None


def use_judge(perception: Perception | None) -> None:
    """Set the judge that ``ov_perception`` asks in this process; None unsets it."""
    global _perception
    _perception = perception


@reward(
    "ov_perception", "1 for the upper half of a clip's answers by a judge's pairwise comparison, else 0; needs a judge", bound=1.0
)
def ov_perception(completions: Sequence[str], records: Sequence[Mapping[str, Any]], output: Output = "auto") -> Values:
    """R_perc, 0 or 1; None for a clip with a single answer.

    Args:
        completions: What the model wrote; several to a record.
        records: The answers to one record (same dataset and id) are compared with each other.
        output: How completions are read: ``think``, ``direct`` or ``auto``.

    Raises:
        InputError: No judge is set up.
    """
    if _perception is None:
        raise InputError(
            "reward ov_perception: no judge is set up. It compares answers with the clip through a server that speaks OpenAI's chat "
            "completions: name its address and a multimodal model, or take the reward out with ~reward.weights.ov_perception"
        )
    return _perception(completions, records, output)
