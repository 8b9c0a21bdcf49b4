"""Action unit figures against a table worked out by hand."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1.errors import InputError
from facial_r1.metrics import action_units

VOCABULARY = ["AU1", "AU4", "AU12"]
# AU1: TP 1. AU4: TP 1, FN 1. AU12: FP 1.
TRUTHS = [{"AU1", "AU4"}, {"AU4"}, set(), None]
PREDICTIONS = [{"AU1"}, {"AU4", "AU12"}, set(), {"AU1"}]

BY_HAND = {
    "macro_f1": (1 + 2 / 3 + 0) / 3,
    "macro_f1_present": (1 + 2 / 3) / 2,
    "micro_f1": 2 * 2 / (2 * 2 + 1 + 1),
    "subset_accuracy": 1 / 3,
    "set_f1": (2 / 3 + 2 / 3 + 1) / 3,
    "hallucinated": 1 / 3,
    "outside_vocabulary": 0.0,
    "n": 3,
    "skipped": 1,
    "undefined": (),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name: str) -> None:
    value = getattr(action_units(TRUTHS, PREDICTIONS, VOCABULARY), name)
    assert value == (pytest.approx(BY_HAND[name]) if isinstance(value, float) else BY_HAND[name])


@pytest.mark.parametrize(
    ("unit", "precision", "recall", "f1", "support", "predicted"),
    [("AU1", 1.0, 1.0, 1.0, 1, 1), ("AU4", 1.0, 0.5, pytest.approx(2 / 3), 2, 1), ("AU12", 0.0, None, 0.0, 0, 1)],
)
def test_each_unit_by_hand(unit: str, precision: float, recall: float | None, f1: float, support: int, predicted: int) -> None:
    scores = action_units(TRUTHS, PREDICTIONS, VOCABULARY).per_unit[unit]
    assert (scores.precision, scores.recall, scores.f1) == (precision, recall, f1)
    assert (scores.support, scores.predicted) == (support, predicted)


def test_a_unit_that_neither_occurs_nor_is_predicted_is_left_out_and_listed() -> None:
    scores = action_units([{"AU1"}], [{"AU1"}], ["AU1", "AU9"])
    assert (scores.macro_f1, scores.undefined, scores.per_unit["AU9"].f1) == (1.0, ("AU9",), None)


def test_a_unit_that_is_predicted_but_never_occurs_counts_as_zero() -> None:
    scores = action_units([{"AU1"}], [{"AU1", "AU9"}], ["AU1", "AU9"])
    assert (scores.macro_f1, scores.macro_f1_present) == (0.5, 1.0)


def test_units_outside_the_vocabulary_are_counted_apart() -> None:
    scores = action_units([{"AU1", "AU14"}], [{"AU1", "AU17", "AU99"}], ["AU1"])
    assert (scores.macro_f1, scores.hallucinated, scores.subset_accuracy) == (1.0, 0.0, 1.0)
    assert scores.outside_vocabulary == pytest.approx(2 / 3)


def test_spellings_are_normalised() -> None:
    assert action_units([["au01"]], [["AU 1"]], ["1"]).micro_f1 == 1.0


def test_without_a_coded_face_nothing_is_claimed() -> None:
    scores = action_units([None], [{"AU1"}], ["AU1"])
    assert (scores.n, scores.skipped, scores.macro_f1, scores.hallucinated) == (0, 1, None, None)


def test_saying_nothing_hallucinates_nothing() -> None:
    assert action_units([{"AU1"}], [set()], ["AU1"]).hallucinated == 0.0


@pytest.mark.parametrize(("vocabulary", "message"), [([], "empty"), (["AU4", "AU77"], "'AU77' is no FACS")])
def test_a_wrong_vocabulary_is_refused(vocabulary: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        action_units([set()], [set()], vocabulary)


def test_a_prediction_for_each_face() -> None:
    with pytest.raises(ValueError, match="2 truths, but 1 predictions"):
        action_units([set(), set()], [set()], VOCABULARY)


SETS = st.sets(st.sampled_from(VOCABULARY))


@given(st.lists(st.tuples(SETS, SETS), min_size=1, max_size=12), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_faces_does_not_matter(pairs: list[tuple[set[str], set[str]]], rng: random.Random) -> None:
    shuffled = rng.sample(pairs, len(pairs))
    one = action_units([t for t, _ in pairs], [p for _, p in pairs], VOCABULARY)
    two = action_units([t for t, _ in shuffled], [p for _, p in shuffled], VOCABULARY)
    for name in ("macro_f1", "micro_f1", "subset_accuracy", "set_f1", "hallucinated"):
        a, b = getattr(one, name), getattr(two, name)
        assert a == b or a == pytest.approx(b)


@given(st.lists(st.tuples(SETS, SETS), min_size=1, max_size=12))
@settings(deadline=None)
def test_figures_stay_between_0_and_1(pairs: list[tuple[set[str], set[str]]]) -> None:
    scores = action_units([t for t, _ in pairs], [p for _, p in pairs], VOCABULARY)
    for name in ("macro_f1", "macro_f1_present", "micro_f1", "subset_accuracy", "set_f1", "hallucinated"):
        value = getattr(scores, name)
        assert value is None or 0 <= value <= 1


@given(st.lists(SETS, min_size=1, max_size=12))
@settings(deadline=None)
def test_a_perfect_prediction_scores_one(truths: list[set[str]]) -> None:
    scores = action_units(truths, truths, VOCABULARY)
    assert {scores.macro_f1, scores.micro_f1, scores.macro_f1_present} <= {1.0, None}
    assert (scores.subset_accuracy, scores.set_f1, scores.hallucinated) == (1.0, 1.0, 0.0)
