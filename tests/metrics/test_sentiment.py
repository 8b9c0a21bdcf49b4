"""Sentiment by sign, as MER-UniBench computes it."""

from __future__ import annotations

import math

import pytest

from facial_r1.affect.wheels import load
from facial_r1.errors import InputError
from facial_r1.metrics import sentiment
from facial_r1.metrics.sentiment import sentiment_of

TRUTHS = {"a": 2.0, "b": -1.0, "c": 0.4, "d": 0.0, "e": -0.2}


def test_all_right():
    score = sentiment(TRUTHS, {"a": "positive", "b": "negative", "c": "positive", "d": "positive", "e": "negative"})
    assert (score.waf, score.accuracy, score.n, score.unscored) == (1.0, 1.0, 4, 1)


def test_neutral_and_strays_count_as_negative():
    score = sentiment(TRUTHS, {"a": "neutral", "b": "neutral", "c": "positive", "d": "mixed", "e": "mixed"})
    assert score.accuracy == 0.75
    assert (score.neutral, score.strays) == (2, 1)


def test_weighted_f1_by_hand():
    """3 positive, 1 negative; said: 2 positive (both right), 2 negative (one right): F 0.8 and 2/3, weighted 3 : 1."""
    truths = {"a": 1.0, "b": 1.0, "c": 1.0, "d": -1.0}
    said = {"a": "positive", "b": "positive", "c": "negative", "d": "negative"}
    assert sentiment(truths, said).waf == pytest.approx(0.75 * 0.8 + 0.25 * 2 / 3)


def test_a_side_that_is_never_said_has_f_0():
    truths, said = {"a": 1.0, "b": -1.0}, {"a": "positive", "b": "positive"}
    assert sentiment(truths, said).waf == pytest.approx(0.5 * 2 / 3)


def test_spelling_counts_in_compat_and_not_in_strict():
    truths, said = {"a": 1.0}, {"a": " Positive."}
    assert sentiment(truths, said).accuracy == 0.0
    assert sentiment(truths, said, mode="strict").accuracy == 1.0


def test_no_clip_left_is_nan():
    score = sentiment({"a": 0.0, "b": math.nan}, {"a": "positive", "b": "positive"})
    assert math.isnan(score.waf)
    assert score.n == 0


def test_a_clip_without_prediction_is_named():
    with pytest.raises(InputError, match="no prediction for the clip 'a'"):
        sentiment({"a": 1.0}, {})


def test_an_unknown_mode_is_refused():
    with pytest.raises(InputError, match="did you mean 'compat'"):
        sentiment({}, {}, mode="compatible")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["happy", "relieved"], "positive"),
        (["angry", "sad"], "negative"),
        (["hmm"], "neutral"),
        ([], "neutral"),
        (["happy", "furious", "sad"], "negative"),
    ],
)
def test_sentiment_of_words(words: list[str], expected: str):
    assert sentiment_of(words, load()) == expected
