"""Rewards by name, and their sum."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1 import rewards
from facial_r1.errors import InputError
from facial_r1.rewards.registry import reward

GOOD = "<think>AU4</think><answer>anger</answer>"


def test_the_published_rewards_are_registered() -> None:
    assert {"au", "accuracy", "format", "length", "au_compat", "accuracy_compat", "format_compat"} <= set(rewards.names())


def test_each_reward_says_what_it_is_in_one_line() -> None:
    assert all(entry.line and "\n" not in entry.line for entry in rewards.describe())


def test_options_are_listed_with_the_reward() -> None:
    listed = {entry.name: entry.options for entry in rewards.describe()}
    assert listed["au"] == ("vocabulary", "empty") and listed["accuracy"] == ()


def test_an_unknown_reward_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InputError, match="did you mean 'accuracy'"):
        rewards.score("acuracy", [GOOD], [{}])


def test_an_unknown_option_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"reward\.options\.au\.vocabluary.*did you mean 'vocabulary'"):
        rewards.score("au", [GOOD], [{}], vocabluary=["AU4"])


def test_a_record_for_each_completion() -> None:
    with pytest.raises(ValueError, match="2 completions, but 1 records"):
        rewards.score("format", [GOOD, GOOD], [{}])


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        reward("au", "again")(lambda completions, records: [])


def test_values_that_are_not_finite_are_not_returned() -> None:
    from facial_r1.rewards.registry import _REGISTRY

    reward("broken_for_test", "not finite")(lambda completions, records: [math.nan, math.inf, 1.0])
    try:
        assert rewards.score("broken_for_test", ["", "", ""], [{}, {}, {}]) == [None, None, 1.0]
    finally:
        del _REGISTRY["broken_for_test"]


RECORDS = st.fixed_dictionaries(
    {
        "AUs": st.one_of(st.none(), st.lists(st.sampled_from(["AU1", "AU4", "AU12"]), max_size=3)),
        "labels": st.one_of(st.none(), st.lists(st.sampled_from(["anger", "", "awe"]), max_size=2)),
    }
)
BOUNDS = {"au": (0, 1), "accuracy": (0, 1), "format": (0, 1), "length": (-1, 0)}
BOUNDS |= {"au_compat": (-1, 1), "accuracy_compat": (0, 1), "format_compat": (0, 1)}


@pytest.mark.parametrize("name", BOUNDS)
@given(text=st.one_of(st.text(), st.sampled_from([GOOD, "<think>AU1, no AU4</think><answer></answer>"])), record=RECORDS)
@settings(deadline=None)
def test_every_reward_stays_within_its_bounds_on_any_text(name: str, text: str, record: dict) -> None:
    (value,) = rewards.score(name, [text], [record])
    low, high = BOUNDS[name]
    assert value is None or low <= value <= high


# --- combine -----------------------------------------------------------------------------------------------------------


def test_the_sum_is_weighted() -> None:
    assert rewards.combine({"a": [1.0, 0.5], "b": [2.0, 4.0]}, {"a": 2.0, "b": 0.25}) == [2.5, 2.0]


def test_what_does_not_apply_is_left_out() -> None:
    assert rewards.combine({"a": [None, 1.0], "b": [0.5, None]}, {"a": 1.0, "b": 1.0}) == [0.5, 1.0]


def test_a_row_to_which_nothing_applies_has_no_reward() -> None:
    assert rewards.combine({"a": [None], "b": [None]}, {"a": 1.0, "b": 1.0}) == [None]


def test_a_reward_of_weight_zero_does_not_count() -> None:
    assert rewards.combine({"a": [None], "b": [1.0]}, {"a": 1.0, "b": 0.0}) == [None]


def test_the_sum_can_be_clamped_as_the_released_code_did() -> None:
    assert rewards.combine({"a": [1.0, -1.0, 0.1]}, {"a": 50.0}, limit=10.0) == [10.0, -10.0, 5.0]


def test_a_reward_without_weight_is_refused() -> None:
    with pytest.raises(InputError, match=r"reward\.weights\.au"):
        rewards.combine({"au": [1.0]}, {"aux": 1.0})


def test_a_weight_must_be_finite() -> None:
    with pytest.raises(InputError, match="finite"):
        rewards.combine({"au": [1.0]}, {"au": math.nan})


def test_nothing_to_combine() -> None:
    assert rewards.combine({}, {}) == []


# --- limit -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "limit", "can"),
    [
        ({"au_compat": 1.0, "accuracy_compat": 1.0, "format_compat": 1.0}, 10.0, False),
        ({"au_compat": 1.0, "accuracy_compat": 1.0, "format_compat": 1.0}, 3.0, False),
        ({"au_compat": 1.0, "accuracy_compat": 1.0, "format_compat": 1.0}, 2.9, True),
        ({"au": 11.0}, 10.0, True),
        ({"au": -11.0}, 10.0, True),
        ({"au": 11.0}, None, False),
        ({"of unknown bound": 1.0}, 10.0, True),
        ({"of unknown bound": 0.0, "au": 1.0}, 10.0, False),
    ],
)
def test_whether_a_limit_can_bind(weights: dict[str, float], limit: float | None, can: bool) -> None:
    assert rewards.can_exceed(weights, limit) is can


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_are_declared_as_tested(name: str) -> None:
    declared = {entry.name: entry.bound for entry in rewards.describe()}[name]
    assert declared == max(abs(bound) for bound in BOUNDS[name])
