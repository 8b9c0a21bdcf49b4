"""Figures by group: the right rows in each, and the worst group named only where there is enough to say so."""

from __future__ import annotations

from typing import Any

import pytest

from facial_r1.errors import InputError
from facial_r1.metrics.breakdown import MISSING, by_field, field_of
from facial_r1.metrics.evaluate import evaluate


def rows(counts: dict[str, tuple[int, int]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Completions and records: for each sex, (right answers, wrong answers)."""
    completions, records = [], []
    for sex, (right, wrong) in counts.items():
        for index in range(right + wrong):
            word = "happiness" if index < right else "anger"
            completions.append(f"<think>A smile (AU12).</think><answer>{word}</answer>")
            name = f"{sex}{index}"
            records.append({"id": name, "dataset": "set", "labels": ["happiness"], "AUs": None, "meta_info": {"sex": sex}})
    return completions, records


def broken_down(counts: dict[str, tuple[int, int]], field: str = "meta_info.sex") -> dict[str, Any]:
    completions, records = rows(counts)
    return by_field(evaluate(completions, records, [], ["anger", "happiness"], resamples=50), records, field)


def test_each_group_has_its_own_figure():
    found = broken_down({"f": (15, 5), "m": (10, 10)})
    assert found["groups"]["f"]["metrics"]["emotion/accuracy"]["value"] == 0.75
    assert found["groups"]["m"]["metrics"]["emotion/accuracy"]["value"] == 0.5


def test_the_worst_group_and_the_gap():
    worst = broken_down({"f": (15, 5), "m": (10, 10)})["worst"]["emotion/accuracy"]
    assert (worst["group"], worst["value"], worst["gap"]) == ("m", 0.5, 0.25)


def test_a_small_group_is_shown_and_never_the_worst():
    found = broken_down({"f": (15, 5), "m": (10, 10), "x": (0, 3)})
    assert found["groups"]["x"]["metrics"]["emotion/accuracy"]["value"] == 0.0
    assert found["worst"]["emotion/accuracy"]["group"] == "m"


def test_one_group_has_no_worst():
    assert broken_down({"f": (15, 5)})["worst"] == {}


def test_rows_without_the_field_are_a_group_of_their_own():
    completions, records = rows({"f": (12, 0)})
    del records[0]["meta_info"]["sex"]
    found = by_field(evaluate(completions, records, [], ["anger", "happiness"], resamples=0), records, "meta_info.sex")
    assert found["groups"][MISSING]["rows"] == 1


def test_a_field_that_no_row_has_is_refused():
    with pytest.raises(InputError, match=r"no row has the field meta_info.age"):
        broken_down({"f": (15, 5)}, "meta_info.age")


def test_a_list_is_one_group_name():
    assert field_of({"labels": ["anger", "fear"]}, "labels") == "anger, fear"
