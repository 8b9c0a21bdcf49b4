"""Wheel figures with intervals and blind baselines: the same numbers as the scorer's, from counts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from facial_r1.affect.wheels import Wheels, load
from facial_r1.affect.wheels.baselines import best_constant
from facial_r1.metrics.wheel import NAMES, wheel_counts, wheel_metrics, wheel_statistic
from tests.affect.wheels.test_scorer import small

WORDS = ["happy", "sad", "angry", "worried", "surprised", "disgusted", "proud", "bored", "lonely", "hmm", "neutral", "calm"]


def sample(seed: int, count: int = 40) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    rng = np.random.default_rng(seed)

    def drawn() -> dict[str, list[str]]:
        return {str(i): list(rng.choice(WORDS, size=rng.integers(0, 4))) for i in range(count)}

    return drawn(), drawn()


@pytest.fixture(scope="module")
def scored():
    truths, said = sample(0)
    return truths, said, *wheel_metrics(list(truths.values()), list(said.values()), load(), resamples=200)


def test_all_figures_are_there_with_intervals_around_them(scored):
    _, _, metrics, _, _ = scored
    assert tuple(metrics) == NAMES
    assert all(row["low"] <= row["value"] <= row["high"] for row in metrics.values())


def test_figures_are_those_of_the_scorer(scored):
    truths, said, metrics, _, _ = scored
    wheels = load()
    one, two = wheels.corpus(truths, said), wheels.corpus(truths, said, 2)
    strict = wheels.corpus(truths, said, mode="strict")
    expected = {
        "wheel/level1/f": one.f,
        "wheel/level1/precision": one.precision,
        "wheel/level1/recall": one.recall,
        "wheel/level2/f": two.f,
        "wheel/level2/precision": two.precision,
        "wheel/level2/recall": two.recall,
        "wheel/m1/f": wheels.corpus(truths, said, mapping="case1").f,
        "wheel/m2/f": wheels.corpus(truths, said, mapping="case2").f,
        "wheel/m_avg": wheels.m_avg(truths, said),
        "wheel/clip_f": one.clip_f,
        "wheel/hit": wheels.hit(truths, said).hit_rate,
        "wheel/strict/level1/f": strict.f,
        "wheel/strict/level1/precision": strict.precision,
        "wheel/strict/level1/recall": strict.recall,
    }
    assert {name: metrics[name]["value"] for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("nan", [False, True])
def test_hit_is_that_of_the_scorer_also_where_a_wheel_has_no_clip(nan: bool):
    """A wheel on which no clip is scored gives NaN with the tables of 2025 and 0 with the others, and so does the mean."""
    base = load()
    wheels = Wheels(replace(base.source, nan=nan))
    nowhere = next(
        word
        for word in sorted(base.source.forms)
        if {bool(base.sectors([word], wheel)) for wheel in range(1, 6)} == {True, False}
    )
    metrics, _, _ = wheel_metrics([nowhere], [nowhere], wheels, resamples=0)
    figure, expected = metrics["wheel/hit"]["value"], wheels.hit({"a": nowhere}, {"a": nowhere}).hit_rate
    assert (figure is None or math.isnan(figure)) if math.isnan(expected) else figure == pytest.approx(expected)
    assert math.isnan(expected) is nan


def test_clip_f_is_what_the_reward_pays(scored):
    from facial_r1 import rewards

    truths, said, metrics, _, _ = scored
    values = rewards.score(
        "ov_accuracy", [", ".join(words) for words in said.values()], [{"labels": words} for words in truths.values()]
    )
    paid = [0.0 if value is None else value for value in values]
    assert sum(paid) / len(paid) == pytest.approx(metrics["wheel/clip_f"]["value"])


def test_unknown_words_and_lengths_are_reported(scored):
    truths, said, metrics, _, failures = scored
    distinct = [set(words) for words in said.values()]
    unknown = [words & {"hmm", "neutral"} for words in distinct]
    assert metrics["wheel/unknown_words"]["value"] == pytest.approx(sum(map(len, unknown)) / sum(map(len, distinct)))
    assert metrics["wheel/words_per_answer"]["value"] == pytest.approx(
        sum(map(len, distinct)) / sum(len(set(words)) for words in truths.values())
    )
    assert failures["wheel_unknown_words"] == sum(map(bool, unknown))
    assert failures["wheel_no_prediction"] == sum(not words for words in said.values())
    assert failures["wheel_no_truth"] == sum(not words for words in truths.values())


def test_baselines_name_their_words_and_score_what_these_score(scored):
    truths, _, _, baselines, _ = scored
    best = best_constant(load(), truths, 3)
    figures = baselines[f"constant words: {', '.join(best.words)}"]
    assert figures["wheel/level1/f"]["value"] == pytest.approx(best.f)
    assert baselines["whole vocabulary"]["wheel/level1/recall"]["value"] == 1.0


def test_clusters_widen_intervals():
    truths, said = sample(1, 60)
    wide = wheel_metrics(
        list(truths.values()), list(said.values()), load(), clusters=[i // 20 for i in range(60)], resamples=200
    )[0]
    assert wide["wheel/level1/f"]["clusters"] == 3


def test_wheels_of_2025_give_none_where_the_released_code_gives_nan():
    metrics, _, _ = wheel_metrics(["joyful"], ["sad"], small(nan=True), resamples=0)
    assert metrics["wheel/level1/f"]["value"] is None
    assert metrics["wheel/clip_f"]["value"] == 0.0
    assert wheel_metrics(["joyful"], ["sad"], small(), resamples=0)[0]["wheel/level1/f"]["value"] == 0.0


def test_counts_add_up():
    wheels = load()
    truths, said = sample(2, 10)
    rows = np.array([wheel_counts(wheels, truths[name], said[name]) for name in truths])
    statistic = wheel_statistic(wheels)
    assert statistic(np.stack([rows.sum(axis=0)] * 3)).shape == (3, len(NAMES))


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match="no clips"):
        wheel_metrics([], [], load())


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="1 truths, but 2 predictions"):
        wheel_metrics(["a"], ["a", "b"], load())
