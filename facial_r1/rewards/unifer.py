"""The rewards of UniFER's GRPO stage: as released, and strictly, by the reading that the FERBench figures use.

The released functions compare with the row's ``solution``, the label alone or in answer tags. Records of other data have none;
their first label stands for it. UniFER adds accuracy and format without weights, so that ``unifer_compat`` is 0, 1 or 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facial_r1.data.ferbench import answer_block
from facial_r1.prompts.candidates import choose, same_label
from facial_r1.prompts.completion import is_compat_format, parse
from facial_r1.rewards.accuracy import is_right
from facial_r1.rewards.annotation import true_labels
from facial_r1.rewards.registry import Values, reward

Records = Sequence[Mapping[str, Any]]


@reward("unifer_accuracy_compat", "released UniFER code: first answer block (else all) equals the solution exactly, 0 or 1")
def unifer_accuracy_compat(completions: Sequence[str], records: Records) -> Values:
    """0 or 1; case, punctuation and markup count. None where the record has neither ``solution`` nor label."""
    values: Values = []
    for completion, record in zip(completions, records, strict=True):
        solution = _solution(record)
        values.append(None if solution is None else float(_first_answer(completion) == _first_answer(solution)))
    return values


@reward("unifer_format_compat", "released UniFER code: full match of <think>..</think> <answer>..</answer>, blank tags included")
def unifer_format_compat(completions: Sequence[str], records: Records) -> Values:
    """0 or 1; one character in front of or behind the tags fails, a final line break included."""
    return [float(is_compat_format(completion)) for completion in completions]


@reward("unifer_compat", "released UniFER code: accuracy plus format, 0, 1 or 2")
def unifer_compat(completions: Sequence[str], records: Records) -> Values:
    """The sum that UniFER's GRPO optimises; None where there is nothing to compare with."""
    return _sum(unifer_accuracy_compat(completions, records), unifer_format_compat(completions, records))


@reward("unifer_accuracy", "1 when the answer block names the true candidate and no other emotion, in any usual spelling; else 0")
def unifer_accuracy(completions: Sequence[str], records: Records, tag_required: bool = True) -> Values:
    """The figure ``ferbench/<set>/strict/accuracy`` of one completion, 0 or 1.

    Records without ``candidate_labels`` are read like ``accuracy`` does: an answer that is among their labels.

    Args:
        completions: What the model wrote.
        records: ``solution`` or ``labels``, and ``candidate_labels``; None without a label.
        tag_required: Whether an answer without ``<answer>`` block is wrong.
    """
    values: Values = []
    for completion, record in zip(completions, records, strict=True):
        solution = _solution(record)
        candidates = [str(label) for label in record.get("candidate_labels") or ()]
        if not solution:
            values.append(None)
        elif candidates:
            chosen = choose(completion, candidates, tag_required)
            values.append(float(chosen is not None and chosen == same_label(_first_answer(solution), candidates)))
        else:
            labels = true_labels(record) or true_labels({"labels": [_first_answer(solution)]})
            values.append(float(is_right(parse(completion).labels, labels)))
    return values


@reward("unifer", "unifer_accuracy plus format, 0, 1 or 2")
def unifer(completions: Sequence[str], records: Records, tag_required: bool = True) -> Values:
    """The strict counterpart of ``unifer_compat``."""
    valid: Values = [float(parse(completion).valid) for completion in completions]
    return _sum(unifer_accuracy(completions, records, tag_required), valid)


def _sum(one: Values, two: Values) -> Values:
    return [None if a is None or b is None else a + b for a, b in zip(one, two, strict=True)]


def _solution(record: Mapping[str, Any]) -> str | None:
    """What the record says is true: its solution, also one in ``meta_info``, else its first label as written; None without."""
    for written in (record, record.get("meta_info")):
        if isinstance(written, Mapping) and isinstance(written.get("solution"), str):
            return str(written["solution"])
    labels = record.get("labels") or ()
    first = labels if isinstance(labels, str) else next(iter(labels), None)
    return None if first is None else str(first)


def _first_answer(text: str) -> str:
    """The text of the first answer block, or all of the text without one; stripped."""
    block = answer_block(text)
    return (text if block is None else block).strip()
