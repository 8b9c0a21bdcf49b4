"""Signs that a policy is collapsing, read from the metrics of each step.

A GRPO run that goes wrong does so in few ways: groups without spread (no gradient), completions that grow until
they are cut off, answers that no longer parse, numbers that are no longer finite. Each is reported once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import median

PATIENCE = 10
"""Steps in a row that must look bad before it counts as collapse; single steps are noise."""

_LIMITS: dict[str, tuple[float, str, str]] = {
    "groups/zero_variance": (
        0.95,
        "groups without spread",
        "nearly every group has one reward for all its completions, so there is no gradient: either the task is "
        "solved (look at reward/mean) or the policy writes one answer; raise temperature or take harder data",
    ),
    "completions/truncated": (
        0.5,
        "completions are cut off",
        "more than half of the completions reach max_completion_length; raise it or lower the rate",
    ),
    "completions/parse_failures": (
        0.5,
        "answers do not parse",
        "more than half of the completions have no valid <think>/<answer>; look at the rollouts",
    ),
}
_LENGTH = "completions/mean_length"
_LENGTH_FACTOR = 2.5


class CollapseWatch:
    """Reads one row of metrics a step and yields alerts as (title, text), each title once."""

    def __init__(self, patience: int = PATIENCE) -> None:
        self.patience = patience
        self._bad: dict[str, int] = {}
        self._lengths: list[float] = []
        self._told: set[str] = set()

    def observe(self, step: int, values: Mapping[str, float]) -> Iterator[tuple[str, str]]:
        """Yield the alerts that the metrics of this step give rise to."""
        for name, value in values.items():
            if isinstance(value, float) and not math.isfinite(value):
                yield from self._tell(f"{name} is not finite", f"step {step}: {name}={value}; the run will not recover")
        for name, (limit, title, text) in _LIMITS.items():
            if name in values and self._count(name, values[name] >= limit):
                yield from self._tell(title, f"step {step}: {name}={values[name]:.2f} for {self.patience} steps; {text}")
        if _LENGTH in values:
            yield from self._length(step, float(values[_LENGTH]))

    def _length(self, step: int, length: float) -> Iterator[tuple[str, str]]:
        if len(self._lengths) < self.patience:
            self._lengths.append(length)
            return
        start = median(self._lengths)
        if self._count(_LENGTH, start > 0 and length > _LENGTH_FACTOR * start):
            yield from self._tell(
                "completions explode in length",
                f"step {step}: mean length {length:.0f} tokens, {length / start:.1f} times that of the first steps",
            )

    def _count(self, name: str, bad: bool) -> bool:
        self._bad[name] = self._bad.get(name, 0) + 1 if bad else 0
        return self._bad[name] >= self.patience

    def _tell(self, title: str, text: str) -> Iterator[tuple[str, str]]:
        if title not in self._told:
            self._told.add(title)
            yield title, text
