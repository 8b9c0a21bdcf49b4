"""How completions are written: valid structure, truncation, answers that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facial_r1.prompts.completion import Parsed


@dataclass(frozen=True, slots=True)
class FormatRates:
    """Shares of completions, in [0, 1].

    Attributes:
        valid: With the full structure and nothing else; the reward ``format``.
        truncated: Whose reasoning or answer never ends, or that the engine stopped at its length limit.
        parsed: From which an answer could be read.
        n: Completions.
    """

    valid: float
    truncated: float
    parsed: float
    n: int


def format_rates(
    parsed: Sequence[Parsed], answered: Sequence[bool], finish_reasons: Sequence[str | None] | None = None
) -> FormatRates:
    """Rates over completions.

    Args:
        parsed: The completions, parsed.
        answered: Whether an answer could be read from each.
        finish_reasons: Why the engine stopped; "length" is truncation, whatever the text looks like.

    Raises:
        ValueError: No completions, or lengths differ.
    """
    if not parsed:
        raise ValueError("no completions")
    reasons = [None] * len(parsed) if finish_reasons is None else list(finish_reasons)
    rows = [format_counts(one, read, reason) for one, read, reason in zip(parsed, answered, reasons, strict=True)]
    valid, truncated, answers = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    return FormatRates(valid, truncated, answers, len(rows))


def format_counts(parsed: Parsed, answered: bool, finish_reason: str | None = None) -> tuple[float, float, float]:
    """Of one completion: valid, truncated, parsed; each 0 or 1."""
    return float(parsed.valid), float(parsed.truncated or finish_reason == "length"), float(answered)
