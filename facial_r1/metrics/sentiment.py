"""Sentiment by sign: weighted F1 (WAF) and accuracy (ACC) as in MER-UniBench (AffectGPT, arXiv 2501.16566).

Truths are numbers (CMU-MOSI and CMU-MOSEI in [-3, 3], CH-SIMS in [-1, 1]); clips whose truth is exactly 0 are left out. A prediction is the
word positive, negative or neutral. What is compared is "above 0" on both sides, so that a neutral answer counts as negative, and so does
every other word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from facial_r1.affect.wheels import Wheels
from facial_r1.config.suggest import did_you_mean
from facial_r1.errors import InputError

Reading = Literal["compat", "strict"]

_POSITIVE = frozenset({"happy", "joyful", "powerful", "peaceful", "joy", "genius"})


@dataclass(frozen=True, slots=True)
class SentimentScore:
    """Both figures in [0, 1]; NaN when no clip is left.

    Attributes:
        waf: F1 of the two classes, weighted by how many clips each has in the truth.
        accuracy: Share of clips with the right side.
        n: Clips that were scored.
        unscored: Clips whose truth is 0, or no number.
        neutral: Scored clips that were answered neutral.
        strays: Scored clips that were answered with none of the three words.
    """

    waf: float
    accuracy: float
    n: int
    unscored: int
    neutral: int
    strays: int

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def sentiment(truths: Mapping[str, float], predictions: Mapping[str, str], mode: Reading = "compat") -> SentimentScore:
    """Score sentiment words against numbers.

    Args:
        truths: Clip name to a number.
        predictions: Clip name to a word; further clips are ignored.
        mode: ``compat`` takes words as they are, ``strict`` without case, blanks, brackets, quotes and full stops around them.

    Raises:
        InputError: A clip has no prediction, or the mode does not exist.

    Example:
        >>> sentiment({"a": 1.5, "b": -2.0}, {"a": "positive", "b": "neutral"}).accuracy
        1.0
    """
    if mode not in get_args(Reading):
        raise InputError(f"mode={mode!r}: {did_you_mean(str(mode), get_args(Reading))}")
    pairs: list[tuple[bool, bool]] = []
    neutral = strays = 0
    for name, truth in truths.items():
        if name not in predictions:
            raise InputError(f"no prediction for the clip {name!r}; {did_you_mean(str(name), map(str, predictions))}")
        if not truth or math.isnan(truth):
            continue
        word = str(predictions[name])
        word = word.lower().strip(" \t\n[]'\".") if mode == "strict" else word
        pairs.append((truth > 0, word == "positive"))
        neutral += word == "neutral"
        strays += word not in ("positive", "negative", "neutral")
    n = len(pairs)
    waf, accuracy = (_weighted_f1(pairs), sum(true == said for true, said in pairs) / n) if n else (math.nan, math.nan)
    return SentimentScore(waf, accuracy, n, len(truths) - n, neutral, strays)


def sentiment_of(words: Sequence[str], wheels: Wheels) -> str:
    """The sentiment of a list of emotion words, without a language model: the side on which most of them lie, neutral in between.

    On wheels 1 to 5, the sectors happy, joyful, joy, powerful, peaceful and genius are positive, surprised counts for neither side, and all
    others are negative. This is a stand-in for the published step, in which a language model names the sentiment.
    """
    balance = 0
    for word in words:
        for step in wheels.explain(word).steps:
            if step.level1 is not None and step.level1 != "surprised":
                balance += 1 if step.level1 in _POSITIVE else -1
    return "positive" if balance > 0 else "negative" if balance < 0 else "neutral"


def _weighted_f1(pairs: Sequence[tuple[bool, bool]]) -> float:
    total = 0.0
    for side in (True, False):
        support = sum(true == side for true, _ in pairs)
        said = sum(guess == side for _, guess in pairs)
        right = sum(true == guess == side for true, guess in pairs)
        total += support * (2 * right / (support + said) if support + said else 0.0)
    return total / len(pairs)
