"""Verifiable rewards: pure functions of completions and records, chosen by name."""

from __future__ import annotations

from facial_r1.rewards import accuracy, action_units, compat, open_vocabulary, perception, structure, unifer
from facial_r1.rewards.registry import Entry, can_exceed, check_options, combine, describe, names, reward, score

__all__ = [
    "Entry",
    "accuracy",
    "action_units",
    "can_exceed",
    "check_options",
    "combine",
    "compat",
    "describe",
    "names",
    "open_vocabulary",
    "perception",
    "reward",
    "score",
    "structure",
    "unifer",
]
