"""Rates of valid, truncated and readable completions."""

from __future__ import annotations

import pytest

from facial_r1.metrics.format import format_rates
from facial_r1.prompts.completion import parse

TEXTS = ["<think>a</think><answer>fear</answer>", "<think>a", "fear", "<think>a</think><answer>fear</answer> "]


def test_rates_by_hand() -> None:
    rates = format_rates([parse(text) for text in TEXTS], [True, False, False, True])
    assert (rates.valid, rates.truncated, rates.parsed, rates.n) == (0.5, 0.25, 0.5, 4)


def test_the_engines_word_on_truncation_counts_too() -> None:
    rates = format_rates([parse(text) for text in TEXTS], [True] * 4, ["stop", "length", "length", None])
    assert rates.truncated == 0.5


def test_completions_are_needed() -> None:
    with pytest.raises(ValueError, match="no completions"):
        format_rates([], [])
