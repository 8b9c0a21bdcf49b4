"""What stands beside the headline figures: groups, published figures with a verdict, the course over a recipe."""

from __future__ import annotations

from typing import Any

import pytest

from facial_r1.report import beside


def figure(value: float, n: int = 3589) -> dict[str, Any]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02, "n": n, "clusters": n}


def summary(*published: dict[str, Any]) -> dict[str, Any]:
    metrics = {"emotion/accuracy": figure(0.7), "au/macro_f1": figure(0.5), "au/micro_f1": figure(0.6)}
    return {"metrics": metrics, "published": list(published)}


PAPER = {"system": "Facial-R1", "metric": "emotion/accuracy", "value": 0.698, "source": "Table 3", "n": 3589}


def test_the_same_metric_over_the_same_rows_is_comparable():
    (row,) = beside.published(summary(PAPER))
    assert (row["value"], row["ours"], row["comparable"]) == ("0.698", "0.700", True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n": 3500}, "over 3,500 rows, ours over 3,589"),
        ({"n": None}, "the rows behind it are not stated"),
        ({"metric": "text/rege"}, "no such figure here"),
    ],
)
def test_anything_else_is_shown_with_the_reason_why_not(change: dict[str, Any], reason: str):
    (row,) = beside.published(summary({**PAPER, **change}))
    assert row["comparable"] is False
    assert reason in row["note"]


def test_an_unstated_average_shows_both_of_ours_and_is_never_comparable():
    (row,) = beside.published(summary({**PAPER, "metric": "au/f1"}))
    assert row["comparable"] is False
    assert "0.500" in row["ours"]
    assert "0.600" in row["ours"]


def test_groups_mark_the_worst():
    groups = {
        "f": {"rows": 20, "metrics": {"emotion/accuracy": figure(0.8)}},
        "m": {"rows": 20, "metrics": {"emotion/accuracy": figure(0.6)}},
    }
    worst = {"emotion/accuracy": {"group": "m", "value": 0.6, "low": 0.5, "high": 0.7, "gap": 0.2}}
    (table,) = beside.groups({"by": [{"field": "meta_info.sex", "groups": groups, "worst": worst}]})
    assert [row["cells"][0]["worst"] for row in table["rows"]] == [False, True]


def blocks(count: int) -> dict[str, dict[str, Any]]:
    return {f"model{i}": {"metrics": {"emotion/accuracy": figure(0.5 + 0.1 * i)}} for i in range(count)}


def test_the_course_has_a_point_for_each_model():
    (chart,) = beside.course(blocks(4))
    assert str(chart["drawing"]).count("<circle") == 4


def test_two_models_are_no_course():
    assert beside.course(blocks(2)) == []


def test_a_gap_in_the_course_breaks_nothing():
    models = blocks(4)
    del models["model0"]["metrics"]["emotion/accuracy"]
    (chart,) = beside.course(models)
    assert 'd="M' in str(chart["drawing"])


def test_names_are_escaped():
    drawing = str(beside.path_chart("title", [("<script>", {"value": 0.5}), ("b", {"value": 0.6})]))
    assert "<script>" not in drawing
