"""Figures over folds."""

from __future__ import annotations

from typing import Any

import pytest

from facial_r1.errors import InputError
from facial_r1.metrics.evaluate import Evaluation, evaluate
from facial_r1.metrics.folds import fold_figures

UNITS = ["AU4", "AU12"]


def fold(number: int, rows: list[tuple[list[str], str]], labels: list[str] | None = None, **options: Any) -> Evaluation:
    """An evaluation of (true units, text) rows of subjects of their own."""
    records = [
        {"id": f"{number}.{index}", "dataset": "d", "subject": f"s{number}{index % 2}", "AUs": truth, "labels": labels or []}
        for index, (truth, _) in enumerate(rows)
    ]
    return evaluate([f"<think>{text}</think>" for _, text in rows], records, UNITS, ["anger"], resamples=200, **options)


# AU4: TP 1, FP 1 | TP 1 | none; AU12: FN 1 | none | TP 2
FOLDS = [
    fold(1, [(["AU4"], "AU4"), (["AU12"], "AU4")]),
    fold(2, [(["AU4"], "AU4")]),
    fold(3, [(["AU12"], "AU12"), (["AU12"], "AU12")]),
]


@pytest.mark.parametrize(
    ("metric", "mean", "pooled"),
    [
        ("au/macro_f1", ((2 / 3 + 0) / 2 + 1 + 1) / 3, (4 / 5 + 4 / 5) / 2),
        ("au/f1/AU4", (2 / 3 + 1) / 2, 4 / 5),
        ("au/f1/AU12", (0 + 1) / 2, 4 / 5),
        ("au/micro_f1", (2 / 4 + 1 + 1) / 3, 8 / 10),
        ("format/valid", 0.0, 0.0),
    ],
)
def test_by_hand(metric: str, mean: float, pooled: float) -> None:
    found = fold_figures(FOLDS)
    assert (found.mean[metric]["value"], found.pooled[metric]["value"]) == (pytest.approx(mean), pytest.approx(pooled))


def test_a_fold_that_nobody_coded_is_left_out_of_the_mean() -> None:
    coded = fold(1, [(["AU4"], "AU12"), (["AU12"], "AU4")])
    bare = evaluate(["AU4"], [{"id": "x", "dataset": "d", "subject": "s9", "AUs": None}], UNITS, ["anger"], resamples=200)
    mean = fold_figures([coded, bare]).mean["au/hallucinated"]
    assert mean["value"] == coded.metrics["au/hallucinated"]["value"] == 1.0 and mean["low"] == 1.0


def test_each_figure_has_an_interval_over_all_subjects() -> None:
    figure = fold_figures(FOLDS).mean["au/macro_f1"]
    assert figure["low"] <= figure["value"] <= figure["high"] and (figure["n"], figure["clusters"]) == (5, 5)


def test_names_say_which() -> None:
    found = fold_figures(FOLDS).named()
    assert found["folds/1/au/micro_f1"]["value"] == pytest.approx(0.5)
    assert {"folds/mean/au/macro_f1", "folds/pooled/au/macro_f1", "folds/3/au/f1/AU12"} <= set(found)


def test_equal_folds_have_equal_summaries() -> None:
    rows = [(["AU4"], "AU4"), (["AU12"], "AU4")]
    found = fold_figures([fold(1, rows), fold(2, rows)])
    assert found.mean["au/macro_f1"]["value"] == pytest.approx(found.pooled["au/macro_f1"]["value"])


def test_compat_figures_are_averaged_where_all_folds_have_the_same_classes() -> None:
    rows = [(["AU4"], "AU4"), (["AU12"], "AU4")]
    same = fold_figures([fold(1, rows, compat=True), fold(2, rows, compat=True)])
    other = fold_figures([fold(1, rows, compat=True), fold(2, rows[:1], compat=True)])
    assert "compat/au/macro_f1" in same.mean and "compat/au/macro_f1" not in other.mean


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (FOLDS[:1], "at least two"),
        ([FOLDS[0], FOLDS[0]], r"subject s1\d of d is in folds 1 and 2"),
        ([FOLDS[0], evaluate(["x"], [{"id": "9"}], ["AU4"], ["anger"], resamples=1)], "one protocol"),
    ],
)
def test_what_is_no_set_of_folds_is_refused(folds: list[Evaluation], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fold_figures(folds)
