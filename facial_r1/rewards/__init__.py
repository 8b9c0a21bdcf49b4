"""Verifiable rewards: pure functions of completions and records, chosen by name."""

from __future__ import annotations

from facial_r1.rewards import accuracy, action_units, compat, structure
from facial_r1.rewards.registry import Entry, check_options, combine, describe, names, reward, score

__all__ = [
    "Entry",
    "accuracy",
    "action_units",
    "check_options",
    "combine",
    "compat",
    "describe",
    "names",
    "reward",
    "score",
    "structure",
]
