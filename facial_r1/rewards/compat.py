"""What the released reward code of Facial-R1 computed, for comparison and for continuing its checkpoints.

Differences from `au`, `accuracy` and `format` are deliberate there or accidents, and are kept as they were: constants where
nothing is annotated, only the first label accepted, case-sensitive answers, the last answer read, denials counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facial_r1.prompts.completion import is_compat_format, parse
from facial_r1.rewards.registry import Values, reward


@reward(
    "au_compat", "released code: 2 F1 - 1 over every AU<digits> in the first <think>; 0 without AUs, -1 for none named", bound=1.0
)
def au_compat(completions: Sequence[str], records: Sequence[Mapping[str, Any]]) -> Values:
    """In [-1, 1]; 0.0 when the record has no AUs, -1.0 when it has some and none is named."""
    values: Values = []
    for completion, record in zip(completions, records, strict=True):
        truth = {str(unit).upper() for unit in record.get("AUs") or ()}
        predicted = set(parse(completion, "compat").action_units)
        if not truth:
            values.append(0.0)
        elif not predicted:
            values.append(-1.0)
        else:
            values.append(2 * _f_beta(len(truth & predicted), len(truth), len(predicted)) - 1)
    return values


def _f_beta(right: int, true: int, named: int) -> float:
    """F with beta 1, from precision and recall: in this order the last digit is that of the usual formula of F-beta."""
    precision, recall = right / named, right / true
    return 2 * precision * recall / (precision + recall) if right else 0.0


@reward("accuracy_compat", "released code: last answer equals labels[0] exactly, 0 or 1; constant 0.5 without a label", bound=1.0)
def accuracy_compat(completions: Sequence[str], records: Sequence[Mapping[str, Any]]) -> Values:
    """0, 0.5 or 1. Its mathematical comparison of the two texts is left out: it never fires on emotion words."""
    values: Values = []
    for completion, record in zip(completions, records, strict=True):
        truth = str((record.get("labels") or [""])[0] or "").strip()
        # The stripping takes sets of characters, so labels made of the letters of "answer" ("awe") count as missing.
        if not truth.lstrip("<answer>").rstrip("</answer>"):
            values.append(0.5)
        else:
            values.append(float(parse(completion, "compat").answer == truth))
    return values


@reward(
    "format_compat",
    "released code: full match of <think>..</think> <answer>..</answer>, blank or repeated tags included",
    bound=1.0,
)
def format_compat(completions: Sequence[str], records: Sequence[Mapping[str, Any]]) -> Values:
    """0 or 1; one character in front of or behind the tags fails, a final line break included."""
    return [float(is_compat_format(completion)) for completion in completions]
