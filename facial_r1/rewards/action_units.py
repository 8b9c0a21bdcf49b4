"""``au``: how well the units that the reasoning names agree with the units that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from facial_r1.prompts.completion import Parsed, parse
from facial_r1.rewards.annotation import Empty, Vocabulary, true_units, vocabulary_of
from facial_r1.rewards.registry import Values, reward


@reward("au", "set F1 of the action units named in the reasoning, 0..1; None where the face is not coded", bound=1.0)
def action_units(
    completions: Sequence[str],
    records: Sequence[Mapping[str, Any]],
    vocabulary: Vocabulary = None,
    empty: Empty = "unknown",
) -> Values:
    """R_AU of the Facial-R1 paper: F1 = 2 |P & T| / (|P| + |T|), in [0, 1].

    Denied mentions are not predictions. Reasoning that never ends names nothing.

    Args:
        completions: What the model wrote.
        records: ``AUs`` of each; None where nobody coded the face, and the value is then None.
        vocabulary: Units that the protocol annotates, for all records or per dataset; others are ignored on both sides,
            since a correct unit outside of it cannot be told from a wrong one (DISFA codes 12).
        empty: What an empty ``AUs`` means: ``unknown`` gives None; ``absent`` gives 1.0 when nothing is predicted, else 0.0.
    """
    values: Values = []
    for completion, record in zip(completions, records, strict=True):
        truth = true_units(record, empty)
        if truth is None:
            values.append(None)
            continue
        values.append(agreement(parse(completion), truth, vocabulary_of(record, vocabulary)))
    return values


def agreement(parsed: Parsed, truth: frozenset[str], allowed: frozenset[str] | None = None) -> float:
    """Set F1 of one completion, in [0, 1], over the `allowed` units (all by default); also the metric ``au/set_f1``.

    A completion that breaks off without naming a unit has 0.0, also on a face without active units: it said nothing.
    """
    predicted = frozenset(parsed.action_units)
    if allowed is not None:
        truth, predicted = truth & allowed, predicted & allowed
    return 0.0 if parsed.truncated and not predicted else set_f1(truth, predicted)


def set_f1(truth: AbstractSet[str], predicted: AbstractSet[str]) -> float:
    """F1 of two sets, in [0, 1]; 1.0 when both are empty."""
    total = len(truth) + len(predicted)
    return 2 * len(truth & predicted) / total if total else 1.0
