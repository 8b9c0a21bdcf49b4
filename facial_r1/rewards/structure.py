"""``format`` and ``length``: rewards on how a completion is written, whatever it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facial_r1.errors import InputError
from facial_r1.prompts.completion import parse
from facial_r1.rewards.registry import Values, reward


@reward(
    "format", "1 for exactly one <think>..</think><answer>..</answer>, neither blank and nothing around them; else 0", bound=1.0
)
def format_reward(completions: Sequence[str], records: Sequence[Mapping[str, Any]]) -> Values:
    """R_format of the Facial-R1 paper, strictly: 0 or 1; blanks around and between the tags are allowed."""
    return [float(parse(completion).valid) for completion in completions]


@reward("length", "0 up to limit-buffer, falling to -1 at limit: a soft penalty for overlong completions", bound=1.0)
def length(
    completions: Sequence[str],
    records: Sequence[Mapping[str, Any]],
    limit: int = 512,
    buffer: int = 128,
    lengths: Sequence[int] | None = None,
) -> Values:
    """Soft overlong punishment (DAPO, Yu et al. 2025, equation 13), in [-1, 0].

    Args:
        completions: What the model wrote.
        records: Not looked at.
        limit: Length from which the value is -1.
        buffer: Length before the limit over which it falls from 0 to -1, linearly.
        lengths: Length of each completion in tokens; without it, words are counted.

    Raises:
        InputError: Not ``0 < buffer <= limit``.
    """
    if not 0 < buffer <= limit:
        raise InputError(f"reward.options.length: limit={limit}, buffer={buffer}: give 0 < buffer <= limit")
    counted = [len(completion.split()) for completion in completions] if lengths is None else lengths
    if len(counted) != len(completions):
        raise ValueError(f"reward 'length': {len(completions)} completions, but {len(counted)} lengths")
    return [max(-1.0, min(0.0, (limit - buffer - count) / buffer)) for count in counted]
