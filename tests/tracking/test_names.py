"""Metric names: documented, grouped, flattened."""

from __future__ import annotations

import pytest

from facial_r1.tracking.names import NAMES, SECTIONS, dashboard_name, documented, summary_scalars
from tests.tracking.documentation import documented_names


def test_the_documentation_lists_every_name_as_a_dashboard_shows_it() -> None:
    assert documented_names() == {entry.name: dashboard_name(entry.name) for entry in NAMES}


def test_figures_of_an_evaluation_stay_in_their_section() -> None:
    assert dashboard_name("eval/au/macro_f1") == "eval/au/macro_f1" and dashboard_name("compat/emotion/accuracy").startswith(
        "eval/"
    )


def test_every_name_belongs_to_a_section_and_says_what_it_means() -> None:
    assert all(entry.section in SECTIONS and entry.meaning for entry in NAMES)
    assert len({entry.name for entry in NAMES}) == len(NAMES)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("reward/mean", "reward/mean"),
        ("groups/zero_variance", "reward/groups/zero_variance"),
        ("kl", "policy/kl"),
        ("completions/truncated", "completions/truncated"),
        ("seconds/step", "throughput/seconds/step"),
        ("au/f1/AU12", "eval/au/f1/AU12"),
        ("never/heard/of", "other/never/heard/of"),
    ],
)
def test_dashboard_names_start_with_their_section(name: str, shown: str) -> None:
    assert dashboard_name(name) == shown


def test_an_exact_entry_wins_over_a_pattern() -> None:
    assert documented("reward/std").name == "reward/std"  # type: ignore[union-attr]
    assert documented("reward/au").name == "reward/<name>"  # type: ignore[union-attr]
    assert documented("reward/au/std").name == "reward/<name>/std"  # type: ignore[union-attr]


def test_summaries_become_flat_names_with_bounds() -> None:
    summary = {
        "metrics": {"emotion/accuracy": {"value": 0.8, "low": 0.7, "high": 0.9, "n": 100}, "text/rouge_l": {"value": None}},
        "failures": {"parse": 0.02, "judge": {"rate": 0.1}},
        "models": {"sft": {"metrics": {"au/macro_f1": 0.5}}},
    }
    assert summary_scalars(summary) == {
        "eval/emotion/accuracy": 0.8,
        "eval/emotion/accuracy_low": 0.7,
        "eval/emotion/accuracy_high": 0.9,
        "eval/failures/parse": 0.02,
        "eval/failures/judge": 0.1,
        "eval/sft/au/macro_f1": 0.5,
    }
