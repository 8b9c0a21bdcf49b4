"""Baselines that do not look at the image."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1.metrics.baselines import constant_units, majority_class
from facial_r1.rewards.action_units import set_f1

UNITS = ["AU1", "AU4", "AU6", "AU12"]


def test_the_majority_class() -> None:
    assert majority_class(["fear", "anger", "fear"]) == "fear"


def test_equals_are_decided_alphabetically() -> None:
    assert majority_class(["fear", "anger"]) == "anger"


@pytest.mark.parametrize(
    ("truths", "best"),
    [
        ([{"AU4"}, {"AU4"}, {"AU1"}], {"AU4"}),
        ([set(), set(), {"AU1"}], set()),
        ([{"AU6", "AU12"}, {"AU6", "AU12", "AU1"}], {"AU6", "AU12"}),
        ([{"AU99"}], set()),
    ],
)
def test_the_constant_set(truths: list[set[str]], best: set[str]) -> None:
    assert constant_units(truths, UNITS) == best


@given(st.lists(st.sets(st.sampled_from(UNITS)), min_size=1, max_size=8))
@settings(deadline=None)
def test_no_prefix_of_the_frequency_order_is_better(truths: list[set[str]]) -> None:
    def score(units: frozenset[str]) -> float:
        return sum(set_f1(truth, units) for truth in truths) / len(truths)

    chosen = constant_units(truths, UNITS)
    counts = {unit: sum(unit in truth for truth in truths) for unit in UNITS}
    for size in range(len(UNITS) + 1):
        for units in combinations(UNITS, size):
            inside = min((counts[u] for u in units), default=99)
            outside = max((counts[u] for u in UNITS if u not in units), default=0)
            if inside > outside:
                assert score(frozenset(units)) <= score(chosen) + 1e-12


@pytest.mark.parametrize("call", [lambda: majority_class([]), lambda: constant_units([], UNITS)])
def test_rows_are_needed(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="no "):
        call()
