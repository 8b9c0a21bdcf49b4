"""ROUGE between a written reasoning and its reference: overlap of words (1), of word pairs (2), longest common subsequence (L).

Lin 2004, *ROUGE: A Package for Automatic Evaluation of Summaries*; F measure with beta 1. Tags are taken out first: they are in
every completion, and would count as agreement. Words are runs of letters and digits in lower case; characters of scripts written
without blanks (Chinese, Japanese, Thai, ...) are words of their own, so that such texts can agree at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Stem = Callable[[str], str]

_TAGS = re.compile(r"</?(?:think|answer)>", re.IGNORECASE | re.ASCII)
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}\U00020000-\U0003ffff]|(?:(?![{_UNSPACED}\U00020000-\U0003ffff])[^\W_])+")


@dataclass(frozen=True, slots=True)
class Rouge:
    """F measures in [0, 1]."""

    rouge_1: float
    rouge_2: float
    rouge_l: float


def rouge(references: Sequence[str], predictions: Sequence[str], stem: Stem | None = None) -> Rouge:
    """Mean ROUGE over pairs of texts.

    Args:
        references: What should have been written.
        predictions: What was written.
        stem: Applied to each word of both, for example a Porter stemmer; off by default.

    Raises:
        ValueError: There are no pairs, or not as many predictions as references.
    """
    if len(references) != len(predictions):
        raise ValueError(f"{len(references)} references, but {len(predictions)} predictions")
    if not references:
        raise ValueError("no texts to compare")
    pairs = [rouge_pair(reference, prediction, stem) for reference, prediction in zip(references, predictions, strict=True)]
    count = len(pairs)
    return Rouge(
        sum(pair.rouge_1 for pair in pairs) / count,
        sum(pair.rouge_2 for pair in pairs) / count,
        sum(pair.rouge_l for pair in pairs) / count,
    )


def rouge_pair(reference: str, prediction: str, stem: Stem | None = None) -> Rouge:
    """ROUGE of one text; 0 where either has no words (for ROUGE-2: no pair of words).

    The prediction is read as a stream, in time linear in its length and without memory for its words.
    """
    truth = list(_words(reference, stem))
    ones, twos = Counter(truth), Counter(pairwise(truth))
    shared_ones: Counter[str] = Counter()
    shared_twos: Counter[tuple[str, str]] = Counter()
    common = _CommonSubsequence(truth)
    length, before = 0, ""
    for word in _words(prediction, stem):
        if word in ones:
            shared_ones[word] += 1
            if length and (before, word) in twos:
                shared_twos[before, word] += 1
        common.add(word)
        length, before = length + 1, word
    return Rouge(
        _f_measure(_clipped(shared_ones, ones), len(truth), length),
        _f_measure(_clipped(shared_twos, twos), len(truth) - 1, length - 1),
        _f_measure(common.length(), len(truth), length),
    )


def strip_tags(text: str) -> str:
    """The text without think and answer tags."""
    return _TAGS.sub(" ", text)


def words(text: str) -> list[str]:
    """The words that ROUGE compares, tags removed."""
    return list(_words(text, None))


def _words(text: str, stem: Stem | None) -> Iterator[str]:
    for match in _WORD.finditer(strip_tags(text)):
        word = match.group().lower()
        yield stem(word) if stem else word


def _clipped(shared: Counter[Any], reference: Counter[Any]) -> int:
    return sum((shared & reference).values())


def _f_measure(shared: int, reference: int, prediction: int) -> float:
    return 2 * shared / (reference + prediction) if reference > 0 and prediction > 0 else 0.0


class _CommonSubsequence:
    """Length of the longest common subsequence with a fixed reference, word by word.

    Bit-parallel (Hyyro 2004): bit i of the state is 0 where the subsequence grows at word i of the reference. One word of the
    prediction costs a few operations on integers as wide as the reference.
    """

    def __init__(self, reference: Iterable[str]) -> None:
        self._places: dict[str, int] = {}
        size = 0
        for size, word in enumerate(reference, start=1):
            self._places[word] = self._places.get(word, 0) | 1 << (size - 1)
        self._full = (1 << size) - 1
        self._state = self._full

    def add(self, word: str) -> None:
        places = self._places.get(word)
        if places:
            matched = self._state & places
            self._state = (self._state + matched | self._state - matched) & self._full

    def length(self) -> int:
        return (~self._state & self._full).bit_count()
