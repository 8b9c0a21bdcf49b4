"""Scores of one clip and of a corpus, by hand, in both modes."""

from __future__ import annotations

import math

import pytest

from facial_r1.affect.wheels import Wheels, load
from facial_r1.affect.wheels.tables import Source, sectors_of
from facial_r1.errors import InputError

TREE = {"good": {"glad": ["joyful"], "calm": ["serene"]}, "bad": {"cross": ["angry"], "down": ["sad"]}}
LABELS = {
    "joyful": ["joyful"],
    "merry": ["joyful"],
    "serene": ["serene"],
    "angry": ["angry"],
    "sad": ["angry", "sad"],
    "sorry": ["sad"],
}


def small(nan: bool = False, lost: int = 0) -> Wheels:
    """Five wheels of two sectors; `lost` of them have no place for anything bad."""
    trees = [{"good": TREE["good"]} if number < lost else TREE for number in range(5)]
    forms = {word: [word] for word in LABELS} | {"merrily": ["merry"]}
    sectors = [[sectors_of(tree, 1), sectors_of(tree, 2)] for tree in trees]
    return Wheels(Source("small", forms, LABELS, trees, sectors, nan=nan))


def test_precision_recall_and_f_by_hand():
    score = small().pair("joyful, sad", "merrily")
    assert (score.precision, score.recall, score.f, score.skipped) == (1.0, 0.5, pytest.approx(2 / 3), False)
    assert len(score.wheels) == 5


def test_synonyms_and_repetitions_are_one_sector():
    assert small().pair("joyful", "joyful, merry, merrily, joyful").precision == 1.0


def test_level_2_has_finer_sectors():
    assert small().pair("joyful", "serene", level=1).f == 1.0
    assert small().pair("joyful", "serene", level=2).f == 0.0


def test_unknown_words_are_free_in_compat_and_cost_precision_in_strict():
    assert small().pair("joyful", "joyful, hmm, tsk").precision == 1.0
    assert small().pair("joyful", "joyful, hmm, tsk", mode="strict").precision == pytest.approx(1 / 3)


def test_an_unknown_word_that_the_truth_has_too_costs_nothing():
    assert small().pair("joyful, hmm", "joyful, hmm", mode="strict").f == 1.0


def test_neutral_is_dropped_in_compat_and_a_sector_in_strict():
    assert small().pair("neutral", "neutral").skipped
    assert small().pair("neutral", "neutral", mode="strict").f == 1.0
    assert small().pair("neutral", "joyful", mode="strict").f == 0.0


def test_the_alphabet_places_a_label_elsewhere_in_compat_only():
    assert small().sectors(["sad"], 1, level=2) == {"cross"}
    assert small().sectors(["sad"], 1, level=2, mode="strict") == {"down"}


def test_a_base_word_comes_before_the_alphabet_in_strict():
    source = small().source
    forms = {**source.forms, "sadly": ["sad"]}
    wheels = Wheels(Source("small", forms, source.labels, source.trees, source.sectors))
    assert wheels.sectors(["sadly"], 1, level=2, mode="strict") == {"down"}


@pytest.mark.parametrize("nan", [True, False])
def test_no_overlap_is_nan_with_the_tables_of_2025_and_0_else(nan: bool):
    score = small(nan).pair("joyful", "sad")
    assert (score.precision, score.recall) == (0.0, 0.0)
    assert math.isnan(score.f) if nan else score.f == 0.0


@pytest.mark.parametrize("nan", [True, False])
def test_a_skipped_wheel_is_nan_with_the_tables_of_2025_and_0_else(nan: bool):
    score = small(nan, lost=1).pair("sad", "sad")
    assert score.wheels[0].skipped
    assert all(math.isnan(score[name]) if nan else score[name] == pytest.approx(0.8) for name in ("f", "precision", "recall"))


def test_strict_leaves_skipped_wheels_out():
    assert small(lost=2).pair("sad", "sad", mode="strict").f == 1.0


@pytest.mark.parametrize("nan", [True, False])
def test_the_f_for_rewards_is_never_nan(nan: bool):
    wheels = small(nan, lost=1)
    assert wheels.f("sad", "sad") == pytest.approx(0.8)
    assert wheels.f("joyful", "sad") == wheels.f("", "") == wheels.f("neutral", "sad") == 0.0


def test_corpus_f_is_of_the_averages_and_clip_f_the_average():
    truths, said = {"a": "joyful", "b": "joyful, sad"}, {"a": "joyful, sad", "b": "joyful", "c": "sad"}
    score = small().corpus(truths, said)
    assert (score.precision, score.recall, score.f) == (0.75, 0.75, 0.75)
    assert score.clip_f == pytest.approx(2 / 3)
    assert score.n == 2


def test_strict_corpus_f_is_the_average():
    truths, said = {"a": "joyful", "b": "joyful, sad"}, {"a": "joyful, sad", "b": "joyful"}
    assert small().corpus(truths, said, mode="strict").f == pytest.approx(2 / 3)


def test_clips_without_a_place_are_skipped_on_that_wheel_alone():
    score = small(lost=1).corpus({"a": "sad", "b": "joyful"}, {"a": "sad", "b": "joyful"})
    assert [(wheel.n, wheel.skipped) for wheel in score.wheels] == [(1, 1), *[(2, 0)] * 4]
    assert score.f == 1.0


@pytest.mark.parametrize("nan", [True, False])
def test_a_corpus_without_a_scored_clip(nan: bool):
    score = small(nan).corpus({"a": "hmm"}, {"a": "sad"})
    assert math.isnan(score.f) if nan else score.f == 0.0


def test_a_clip_without_prediction_is_named_with_a_suggestion():
    with pytest.raises(InputError, match="no prediction for the clip 'clip_1'; did you mean 'clip_01'"):
        small().corpus({"clip_1": "sad"}, {"clip_01": "sad"})


def test_mappings_without_a_wheel():
    wheels = small()
    assert wheels.pair("merrily", "merry", mapping="case1").f == 1.0
    assert wheels.pair("merry", "joyful", mapping="case1").f == 0.0
    assert wheels.pair("merry", "joyful", mapping="case2").f == 1.0
    assert wheels.pair("sad", "angry", mapping="case2").f == 1.0


def test_m_avg_is_the_mean_of_twelve():
    wheels, truths, said = small(), {"a": "merry, sad"}, {"a": "joyful"}
    parts = [wheels.corpus(truths, said, mapping=mapping).f for mapping in ("case1", "case2")]
    parts += [score.f for level in (1, 2) for score in wheels.corpus(truths, said, level).wheels]
    assert wheels.m_avg(truths, said) == pytest.approx(sum(parts) / 12)
    assert wheels.track2(truths, said) == pytest.approx((wheels.corpus(truths, said).f + wheels.corpus(truths, said, 2).f) / 2)


def test_hits_skip_neutral_in_compat_and_score_it_in_strict():
    truths, said = {"a": "joyful", "b": "neutral", "c": "sad"}, {"a": "merry, sad", "b": "neutral", "c": "joyful"}
    assert small().hit(truths, said).hit_rate == 0.5
    assert small().hit(truths, said).n == (2,) * 5
    assert small().hit(truths, said, mode="strict").hit_rate == pytest.approx(2 / 3)


def test_naming_everything_is_a_hit_but_lowers_mscore():
    score = small().hit({"a": "joyful", "b": "sad"}, {"a": "joyful, sad", "b": "joyful, sad"})
    assert (score.hit_rate, score.mscore) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("truth", "prediction", "hit"),
    [
        ("joyful, sad", "merry", True),
        ("neutral", "neutral", True),
        ("", None, True),
        ("", "neutral", True),
        ("neutral", "[]", True),
        ("joyful, neutral", "neutral", True),
        ("Neutral", "Neutral", False),
        ("unheard-of", "unheard-of", False),
        ([""], "", False),
        ("joyful", "neutral", False),
    ],
)
def test_hit_any_takes_no_labels_and_neutral_as_written_for_neutral(truth, prediction, hit: bool):
    """The released filter: nothing listed becomes neutral, and "neutral", case and all, is kept beside the sectors."""
    assert small().hit_any(truth, prediction) is hit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 3}, "level=3: give 1 or 2"),
        ({"mode": "strickt"}, "did you mean 'strict'"),
        ({"mapping": "case3"}, "did you mean 'case"),
        ({"mode": "strict", "mapping": "case1"}, "mapping='case1' with mode='strict'"),
    ],
)
def test_options_that_do_not_exist(options: dict, message: str):
    with pytest.raises(InputError, match=message):
        small().pair("sad", "sad", **options)


def test_wheel_0_does_not_exist():
    with pytest.raises(InputError, match="give 1 to 5"):
        small().sectors(["sad"], 0)


def test_scores_read_like_mappings():
    score = small().pair("joyful", "joyful")
    assert dict(score)["f"] == score["f"] == score.f == score.to_dict()["f"] == 1.0
    assert score.to_dict()["wheels"][4] == {"precision": 1.0, "recall": 1.0, "f": 1.0, "skipped": False}
    with pytest.raises(KeyError):
        score["fscore"]


def test_a_word_is_explained_on_each_wheel():
    path = small().explain(" Merrily ")
    assert (path.word, path.known, path.bases, path.labels) == ("merrily", True, ("merry",), ("joyful",))
    assert [(step.wheel, step.label, step.level1, step.level2) for step in path.steps] == [
        (number, "joyful", "good", "glad") for number in range(1, 6)
    ]
    assert not small().explain("hmm").known


def test_the_last_place_of_a_label_counts():
    tree = {"disgusted": {"disappointed": ["appalled"]}, "sad": {"hurt": ["disappointed"]}}
    assert sectors_of(tree, 1)["disappointed"] == "sad"
    assert sectors_of(tree, 2)["disappointed"] == "hurt"
    assert sectors_of(tree, 1)["appalled"] == "disgusted"


def test_a_level_1_word_has_the_first_level_2_word_below_it():
    assert sectors_of(TREE, 2)["good"] == "calm"


def test_tables_are_loaded_once():
    assert load("embedded") is load()


def test_an_unknown_source_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="did you mean 'mer2025'"):
        load("mer2o25")
