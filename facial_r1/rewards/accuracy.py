"""``accuracy``: whether the answer is a label of the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facial_r1.prompts.completion import parse
from facial_r1.rewards.annotation import true_labels
from facial_r1.rewards.registry import Values, reward


@reward("accuracy", "1 when the answer is one of the record's labels, else 0; None where the record has no label", bound=1.0)
def accuracy(completions: Sequence[str], records: Sequence[Mapping[str, Any]]) -> Values:
    """R_acc of the Facial-R1 paper, 0 or 1.

    Any label of the record counts. An answer of several labels counts when all of them are the record's: naming more than
    is there is not rewarded for being partly right.
    """
    values: Values = []
    for completion, record in zip(completions, records, strict=True):
        labels = true_labels(record)
        values.append(float(is_right(parse(completion).labels, labels)) if labels else None)
    return values


def is_right(predicted: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether something is predicted and all of it is among the labels."""
    return bool(predicted) and set(predicted) <= set(labels)
