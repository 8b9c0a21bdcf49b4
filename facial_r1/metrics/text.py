"""ROUGE between a written reasoning and its reference: overlap of words (1), of word pairs (2), longest common subsequence (L).

Lin 2004, *ROUGE: A Package for Automatic Evaluation of Summaries*; F measure with beta 1. Two readings:

* `rouge_pair`, **strict**: tags are taken out first (they are in every completion, and would count as agreement). Words are runs of
  letters and digits in lower case; characters of scripts written without blanks (Chinese, Japanese, Thai, ...) are words of their
  own, so that such texts can agree at all. On English text this is what the ``rouge_score`` package counts.
* `rouge_pair_compat`: what ``rouge_score`` counts, on the text as it is: words are runs of a-z and 0-9 in lower case (letters with
  accents part a word), tags count as the words "think" and "answer".

Both compare stems (`facial_r1.metrics.porter`) of words longer than three characters, as ``rouge_score`` does with its stemmer on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from facial_r1.metrics.porter import stem as porter

Stem = Callable[[str], str]

_TAGS = re.compile(r"</?(?:think|answer)>", re.IGNORECASE | re.ASCII)
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_ASCII_WORD = re.compile("[a-z0-9]+")
_WORD = re.compile(rf"[{_UNSPACED}\U00020000-\U0003ffff]|(?:(?![{_UNSPACED}\U00020000-\U0003ffff])[^\W_])+")


@dataclass(frozen=True, slots=True)
class Rouge:
    """F measures in [0, 1]."""

    rouge_1: float
    rouge_2: float
    rouge_l: float


class _Stems(dict[str, str]):
    """What words compare as, by word: a look-up in C for all but new words."""

    def __missing__(self, word: str) -> str:
        if len(self) > _MAX_STEMS:
            self.clear()
        self[word] = found = porter(word) if len(word) > 3 and word.isascii() else word
        return found


_MAX_STEMS = 200_000
stemmed: Stem = _Stems().__getitem__
"""The Porter stem of an English word longer than three characters, other words as they are: what ``rouge_score`` compares."""


def rouge(references: Sequence[str], predictions: Sequence[str], stem: Stem | None = stemmed) -> Rouge:
    """Mean ROUGE over pairs of texts.

    Args:
        references: What should have been written.
        predictions: What was written.
        stem: Applied to each word of both; None compares the words themselves.

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


def rouge_pair(reference: str, prediction: str, stem: Stem | None = stemmed) -> Rouge:
    """ROUGE of one text, tags removed; 0 where either has no words (for ROUGE-2: no pair of words)."""
    return _rouge(_words(reference, stem), _words(prediction, stem))


def rouge_pair_compat(reference: str, prediction: str) -> Rouge:
    """ROUGE of one text as the ``rouge_score`` package computes it with its stemmer on: on the text as it is, tags included."""
    return _rouge(_ascii_words(reference), _ascii_words(prediction))


def _rouge(truth: list[str], prediction: list[str]) -> Rouge:
    """ROUGE of words, in time linear in the length of the prediction."""
    return Rouge(
        _f_measure(_overlap(Counter(truth), Counter(prediction)), len(truth), len(prediction)),
        _f_measure(_overlap(Counter(pairwise(truth)), Counter(pairwise(prediction))), len(truth) - 1, len(prediction) - 1),
        _f_measure(_common_subsequence(truth, prediction), len(truth), len(prediction)),
    )


def strip_tags(text: str) -> str:
    """The text without think and answer tags."""
    return _TAGS.sub(" ", text)


def words(text: str) -> list[str]:
    """The words that ROUGE compares, tags removed."""
    return _words(text, None)


def _words(text: str, stem: Stem | None) -> list[str]:
    bare = strip_tags(text)
    found = _ASCII_WORD.findall(bare.lower()) if bare.isascii() else [word.lower() for word in _WORD.findall(bare)]
    return found if stem is None else list(map(stem, found))


def _ascii_words(text: str) -> list[str]:
    return list(map(stemmed, _ASCII_WORD.findall(text.lower())))


def _overlap(one: Mapping[Any, int], two: Mapping[Any, int]) -> int:
    return sum([min(one[item], two[item]) for item in one.keys() & two.keys()])


def _f_measure(shared: int, reference: int, prediction: int) -> float:
    if shared == 0:
        return 0.0
    # From precision and recall, as ``rouge_score`` does: made of the counts, the last digit would differ in one of six values.
    precision, recall = shared / prediction, shared / reference
    return 2 * precision * recall / (precision + recall)


def _common_subsequence(reference: Sequence[str], prediction: Sequence[str]) -> int:
    """Length of the longest common subsequence.

    Bit-parallel (Hyyro 2004): bit i of the state is 0 where the subsequence grows at word i of the reference. One word of the
    prediction costs a few operations on integers as wide as the reference.
    """
    places: dict[str, int] = {}
    for index, word in enumerate(reference):
        places[word] = places.get(word, 0) | 1 << index
    full = state = (1 << len(reference)) - 1
    for place in [places[word] for word in prediction if word in places]:
        matched = state & place
        state = state + matched | state ^ matched  # carries beyond the last word of the reference do not come back
    return (~state & full).bit_count()
