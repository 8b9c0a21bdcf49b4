"""Alerts for a policy that collapses: at the right moment, once, and not for noise."""

from __future__ import annotations

import math

import pytest

from facial_r1.tracking.collapse import CollapseWatch


def titles(rows: list[dict[str, float]]) -> list[tuple[int, str]]:
    watch = CollapseWatch(patience=5)
    return [(step, title) for step, row in enumerate(rows, start=1) for title, _ in watch.observe(step, row)]


@pytest.mark.parametrize(
    ("name", "value", "title"),
    [
        ("groups/zero_variance", 1.0, "groups without spread"),
        ("completions/truncated", 0.6, "completions are cut off"),
        ("completions/parse_failures", 0.9, "answers do not parse"),
    ],
)
def test_a_lasting_failure_is_told_once(name: str, value: float, title: str) -> None:
    assert titles([{name: value}] * 20) == [(5, title)]


def test_a_single_bad_step_is_noise() -> None:
    assert titles([{"completions/truncated": 0.9 if step % 5 == 0 else 0.1} for step in range(40)]) == []


def test_exploding_length_is_measured_against_the_first_steps() -> None:
    rows = [{"completions/mean_length": 50.0}] * 5 + [{"completions/mean_length": 200.0}] * 6
    assert titles(rows) == [(10, "completions explode in length")]


def test_growing_by_half_is_no_explosion() -> None:
    assert titles([{"completions/mean_length": 50.0 + step} for step in range(60)]) == []


def test_not_finite_is_told_at_once() -> None:
    assert titles([{"loss": 1.0}, {"loss": math.nan}, {"loss": math.nan}]) == [(2, "loss is not finite")]
