"""Emotion figures against a table worked out by hand."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1.errors import InputError
from facial_r1.metrics import emotion

SPACE = ["anger", "fear", "happiness"]
TRUTHS = ["anger", "anger", "fear", "happiness", "fear", None]
PREDICTIONS = ["anger", "fear", None, "happiness", "banana", "anger"]

BY_HAND = {
    "accuracy": 2 / 5,
    "uar": (1 / 2 + 0 + 1) / 3,
    "macro_f1": (2 * 1 / (2 + 1) + 0 + 1) / 3,
    "unparsed": 2,
    "n": 5,
    "skipped": 1,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name: str) -> None:
    assert getattr(emotion(TRUTHS, PREDICTIONS, SPACE), name) == pytest.approx(BY_HAND[name])


def test_the_confusion_matrix_by_hand() -> None:
    matrix = emotion(TRUTHS, PREDICTIONS, SPACE).confusion
    assert matrix.columns == ("anger", "fear", "happiness", "unparsed")
    assert matrix.matrix == [[1, 1, 0, 0], [0, 0, 0, 2], [0, 0, 1, 0]]


def test_each_class_by_hand() -> None:
    classes = emotion(TRUTHS, PREDICTIONS, SPACE).per_class
    assert [(c.precision, c.recall, c.support, c.predicted) for c in classes.values()] == [
        (1.0, 0.5, 2, 1),
        (0.0, 0.0, 2, 1),
        (1.0, 1.0, 1, 1),
    ]


def test_an_unparsed_answer_is_wrong_and_never_dropped() -> None:
    scores = emotion(["anger", "anger"], [None, ""], ["anger"])
    assert (scores.accuracy, scores.uar, scores.n) == (0.0, 0.0, 2)


def test_a_class_that_does_not_occur_is_not_averaged_into_uar() -> None:
    assert emotion(["anger"], ["anger"], SPACE).uar == 1.0


def test_a_class_that_is_only_predicted_lowers_macro_f1() -> None:
    assert emotion(["anger", "anger"], ["anger", "fear"], SPACE).macro_f1 == pytest.approx((2 / 3 + 0) / 2)


# (rule, truth, prediction, accuracy)
LABELS = [
    ("spelling", "Angry", "ANGER.", 1.0),
    ("any label of the row", ["anger", "fear"], "fear", 1.0),
    ("all predicted are the row's", ["anger", "fear"], ["fear", "anger"], 1.0),
    ("one of the predicted is not the row's", "anger", ["anger", "fear"], 0.0),
]


@pytest.mark.parametrize(("rule", "truth", "prediction", "accuracy"), LABELS, ids=[row[0] for row in LABELS])
def test_labels(rule: str, truth: str | list[str], prediction: str | list[str], accuracy: float) -> None:
    assert emotion([truth], [prediction], SPACE).accuracy == accuracy, rule


def test_a_row_of_several_labels_counts_under_the_first() -> None:
    assert emotion([["anger", "fear"]], ["fear"], SPACE).confusion.matrix[0] == [1, 0, 0, 0]


def test_the_spelling_of_the_label_space_is_kept() -> None:
    scores = emotion(["happiness"], ["joyful"], ["sad", "happy"])
    assert (scores.accuracy, list(scores.per_class)) == (1.0, ["sad", "happy"])


def test_a_truth_outside_the_label_space_is_refused() -> None:
    with pytest.raises(InputError, match="row 2: field labels: 'contempt' is not in the label space"):
        emotion(["anger", "contempt"], ["anger", "anger"], SPACE)


@pytest.mark.parametrize(("labels", "message"), [([], "empty"), (["angry", "anger"], "the same label")])
def test_a_wrong_label_space_is_refused(labels: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        emotion(["anger"], ["anger"], labels)


def test_without_a_labelled_row_nothing_is_claimed() -> None:
    scores = emotion([None, "", []], ["anger"] * 3, SPACE)
    assert (scores.n, scores.skipped, scores.accuracy, scores.uar) == (0, 3, None, None)


ROWS = st.lists(st.tuples(st.sampled_from(SPACE), st.sampled_from([*SPACE, None])), min_size=1, max_size=20)


@given(ROWS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_rows_does_not_matter(rows: list[tuple[str, str | None]], rng: random.Random) -> None:
    shuffled = rng.sample(rows, len(rows))
    one, two = (emotion([t for t, _ in some], [p for _, p in some], SPACE) for some in (rows, shuffled))
    assert one == two


@given(ROWS)
@settings(deadline=None)
def test_figures_stay_between_0_and_1_and_the_matrix_sums_to_n(rows: list[tuple[str, str | None]]) -> None:
    scores = emotion([t for t, _ in rows], [p for _, p in rows], SPACE)
    assert all(value is not None and 0 <= value <= 1 for value in (scores.accuracy, scores.uar, scores.macro_f1))
    assert sum(map(sum, scores.confusion.matrix)) == len(rows)


@given(ROWS)
@settings(deadline=None)
def test_a_perfect_prediction_scores_one(rows: list[tuple[str, str | None]]) -> None:
    truths = [t for t, _ in rows]
    scores = emotion(truths, truths, SPACE)
    assert (scores.accuracy, scores.uar, scores.macro_f1) == (1.0, 1.0, 1.0)
