"""Figures from counts: matrices, and resamples drawn from a multinomial."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1.metrics.bootstrap import from_resamples, multinomial_sums
from facial_r1.metrics.emotion import emotion_statistic
from facial_r1.metrics.ferbench import class_scores
from facial_r1.metrics.ferbench_figures import MATRIX_FIGURES, Outcome, Table, matrix_figures

COUNTS = st.lists(st.integers(0, 9), min_size=16, max_size=16)


@settings(max_examples=100, deadline=None)
@given(COUNTS)
def test_strict_figures_agree_with_the_emotion_metrics(cells: list[int]) -> None:
    """Three classes and an unknown column, without truths outside: accuracy, UAR and, where defined, F1 are the same."""
    matrix = np.array(cells, dtype=float).reshape(4, 4)
    matrix[3] = 0
    found = dict(zip(MATRIX_FIGURES, matrix_figures(matrix, 3), strict=True))
    accuracy, uar, macro = emotion_statistic(matrix[:3].reshape(-1), 3)[:3]
    for name, expected in (("accuracy", accuracy), ("uar", uar), ("macro_f1", macro)):
        assert float(found[name]) == pytest.approx(float(expected), nan_ok=True), name


def test_truths_outside_of_the_classes_count_as_wrong() -> None:
    matrix = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    found = dict(zip(MATRIX_FIGURES, map(float, matrix_figures(matrix, 2)), strict=True))
    assert found["accuracy"] == 0.75 and found["uar"] == 1.0
    assert found["weighted_f1"] == pytest.approx((0.8 * 2 + 1.0) / 4)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=121, max_size=121), st.sets(st.integers(0, 10), max_size=6))
def test_macro_averages_have_the_last_digit_of_a_mean_over_the_classes_that_occur(cells: list[int], absent: set[int]) -> None:
    """6.3: as scikit-learn, whose mean knows nothing of classes that do not occur."""
    matrix = np.array(cells, dtype=float).reshape(11, 11)
    matrix[list(absent)] = matrix[:, list(absent)] = 0
    counts = {(f"{row:02}", f"{column:02}"): int(matrix[row, column]) for row in range(11) for column in range(11)}
    scores = [class_scores(counts, f"{place:02}") for place in range(11) if matrix[place].any() or matrix[:, place].any()]
    found = dict(zip(MATRIX_FIGURES, matrix_figures(matrix, 11), strict=True))
    for part, name in enumerate(("macro_precision", "macro_recall", "macro_f1")):
        assert not scores or float(found[name]) == float(np.mean([score[part] for score in scores])), name


def test_resamples_have_the_size_and_the_spread_of_drawing_one_by_one() -> None:
    sums = multinomial_sums([[1.0, 1.0], [0.0, 1.0]], [300, 700], 20_000, np.random.default_rng(0))
    assert (sums[:, 1] == 1000).all()
    assert sums[:, 0].mean() == pytest.approx(300, abs=1) and sums[:, 0].std() == pytest.approx(
        np.sqrt(1000 * 0.3 * 0.7), rel=0.03
    )


def test_no_resamples_or_one_cluster_give_no_interval() -> None:
    value = np.array([0.5])
    for drawn, clusters in ((np.zeros((0, 1)), 10), (np.zeros((5, 1)), 1)):
        assert np.isnan(from_resamples(value, drawn, 10, clusters).low).all()


def test_like_results_are_counted_together() -> None:
    one = Outcome("fear", "fear", "fear", "fear", "tag", "fear", True)
    table = Table.of("rafdb", [one] * 5 + [one._replace(compat=None, compat_total=None, strict="unknown", valid=False)])
    assert table.often == [5, 1]
    cells = table.cells(False, table.spaces[False, "compat"])
    assert cells.sum(axis=1).tolist() == [1 + 1 + 2 + 1, 1 + 1], "crashes have no compat cell and no share in the fall-back rate"
