"""What the released evaluation code of Facial-R1 computed, to compare with its tables. The strict figures are beside them.

* **Action units**: every ``AU<digits>``, as written, in the first ``<think>...</think>`` (lower-case tags), or in the whole output when
  there is none; denials count. The classes are the units that occur in the truth of the test rows; other predictions are ignored. Rows
  without coding count as faces without a unit. ``macro`` averages over units with a positive, ``micro`` sums counts first; F1 and
  recall of nothing are 0.
* **Emotion**: the first ``<answer>...</answer>`` (or the whole output) split at blanks, commas and semicolons; its first item has to
  equal the first label, case included. An answer without items stopped the released code; here it is wrong, and counted as
  ``compat_empty_answer``. Rows without a label stopped it too; here they are left out.
* **Text**: ROUGE-1, 2 and L of the ``rouge_score`` package between the whole output, tags included, and the description, over all rows:
  a row without a description scores 0.
* **Judge**: the mean of scores from 1 to 10 in which a failed call is a 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facial_r1.metrics.bootstrap import Array, nanmean, ratio
from facial_r1.metrics.text import rouge_pair_compat

EMOTION, UNITS, TEXT = "compat/emotion", "compat/au", "compat/text"
UNIT_SUMMARY = ("micro_f1", "macro_f1", "micro_recall", "macro_recall", "subset_accuracy")
TEXT_NAMES = ("compat/text/rouge_1", "compat/text/rouge_2", "compat/text/rouge_l")

_THINKING = re.compile("<think>(.*?)</think>", re.DOTALL)
_ANSWER = re.compile("<answer>(.*?)</answer>", re.DOTALL)
_UNIT = re.compile(r"AU\d+")
_ITEM = re.compile("[^\\s,;\uff0c\uff1b]+")


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of an evaluation, which the released code took from the truth of the test rows.

    Attributes:
        emotions: Labels that occur, in alphabetical order.
        units: Codes that occur, by number.
        described: Some row has a description.
    """

    emotions: tuple[str, ...]
    units: tuple[str, ...]
    described: bool

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]]) -> Classes:
        """The classes of test rows."""
        emotions = {label for record in records for label in _labels(record)}
        units = {unit for record in records for unit in _units(record)}
        described = any(record.get("description") for record in records)
        return cls(tuple(sorted(emotions)), tuple(sorted(units, key=_place)), described)


def units(output: str) -> frozenset[str]:
    """The action units that the released code reads in an output, as written (``AU012`` is not ``AU12``)."""
    thinking = _THINKING.search(output)
    return frozenset(_UNIT.findall(thinking.group(1) if thinking else output))


def emotion(output: str) -> str | None:
    """The emotion that it reads in an output; None where it stopped, at an answer without a word."""
    answer = _ANSWER.search(output)
    item = _ITEM.search(answer.group(1) if answer else output)
    return item.group() if item else None


def judge_mean(scores: Sequence[float | None]) -> float:
    """The mean of a judge's scores as the released code takes it: None, a failed call, is 0; nothing judged is 0."""
    return sum(score or 0.0 for score in scores) / len(scores) if scores else 0.0


# --- counts ------------------------------------------------------------------------------------------------------------------


def counts(output: str, record: Mapping[str, Any], classes: Classes) -> dict[str, Any]:
    """Counts of one row for the statistics below, by key; None where a figure does not exist.

    ``compat/emotion``: true label and answer; ``compat/au``: true and predicted codes; ``compat/text``: three ROUGE scores.
    """
    labels = _labels(record)
    found: dict[str, Any] = {EMOTION: None, UNITS: None, TEXT: None}
    if labels:
        found[EMOTION] = {"truth": labels[0], "answer": emotion(output)}
    if classes.units:
        found[UNITS] = {"truth": sorted(set(_units(record))), "predicted": sorted(units(output).intersection(classes.units))}
    if classes.described:
        scores = rouge_pair_compat(str(record.get("description") or ""), output)
        found[TEXT] = [scores.rouge_1, scores.rouge_2, scores.rouge_l]
    return found


def emotion_names(classes: Classes) -> tuple[str, ...]:
    """Names of the figures of `emotion_statistic`."""
    return ("compat/emotion/accuracy", *(f"compat/emotion/recall/{label}" for label in classes.emotions))


def emotion_counts(rows: Sequence[Mapping[str, Any]], classes: Classes) -> Array:
    """Right and all rows of each class, shape (rows, 2 classes)."""
    size = len(classes.emotions)
    place = {label: index for index, label in enumerate(classes.emotions)}
    matrix = np.zeros((len(rows), 2 * size))
    for index, row in enumerate(rows):
        column = place[row["truth"]]
        matrix[index, column] = row["truth"] == row["answer"]
        matrix[index, size + column] = 1.0
    return matrix


def emotion_statistic(totals: Array) -> Array:
    """Summed `emotion_counts` to accuracy and the recall of each class (which the released code calls accuracy)."""
    right, true = np.split(totals, 2, axis=-1)
    return np.concatenate(
        [ratio(right.sum(axis=-1, keepdims=True), true.sum(axis=-1, keepdims=True)), ratio(right, true)], axis=-1
    )


def unit_names(classes: Classes) -> tuple[str, ...]:
    """Names of the figures of `unit_statistic`."""
    return (*(f"compat/au/{name}" for name in UNIT_SUMMARY), *(f"compat/au/f1/{unit}" for unit in classes.units))


def unit_counts(rows: Sequence[Mapping[str, Any]], classes: Classes) -> Array:
    """TP, FP and FN of each class, exact sets, rows; shape (rows, 3 classes + 2)."""
    size = len(classes.units)
    place = {unit: index for index, unit in enumerate(classes.units)}
    matrix = np.zeros((len(rows), 3 * size + 2))
    for index, row in enumerate(rows):
        truth, predicted = set(row["truth"]), set(row["predicted"])
        matrix[index, [place[unit] for unit in truth & predicted]] = 1.0
        matrix[index, [size + place[unit] for unit in predicted - truth]] = 1.0
        matrix[index, [2 * size + place[unit] for unit in truth - predicted]] = 1.0
        matrix[index, 3 * size :] = truth == predicted, 1.0
    return matrix


def unit_statistic(totals: Array) -> Array:
    """Summed `unit_counts` to the `UNIT_SUMMARY` figures, then F1 of each class; NaN for a class without a positive."""
    size = (totals.shape[-1] - 2) // 3
    tp, fp, fn = (totals[..., part * size : (part + 1) * size] for part in range(3))
    positive = tp + fn > 0
    f1 = np.where(positive, ratio(2 * tp, 2 * tp + fp + fn), np.nan)
    recall = np.where(positive, ratio(tp, tp + fn), np.nan)
    tp_sum, fp_sum, fn_sum = tp.sum(axis=-1), fp.sum(axis=-1), fn.sum(axis=-1)
    summary = [
        ratio(2 * tp_sum, 2 * tp_sum + fp_sum + fn_sum, empty=0.0),
        nanmean(f1),
        ratio(tp_sum, tp_sum + fn_sum, empty=0.0),
        nanmean(recall),
        ratio(totals[..., -2], totals[..., -1]),
    ]
    return np.concatenate([np.stack(summary, axis=-1), f1], axis=-1)


def _labels(record: Mapping[str, Any]) -> list[str]:
    labels = record.get("labels") or ()
    return [str(label) for label in ((labels,) if isinstance(labels, str) else labels) if label]


def _units(record: Mapping[str, Any]) -> list[str]:
    return [str(unit) for unit in record.get("AUs") or ()]


def _place(unit: str) -> tuple[int, str]:
    digits = unit.removeprefix("AU")
    return (int(digits) if digits.isdecimal() else 999, unit)
