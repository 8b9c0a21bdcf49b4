"""How well predicted emotions agree with the annotated ones, over the label space of a protocol.

Definitions:

* ``accuracy`` (weighted average recall): share of rows whose prediction is right;
* ``uar``: unweighted average recall, the mean of the recalls of the classes that occur in the truth;
* ``macro_f1``: mean F1 over the classes that occur in the truth or among the predictions;
* a prediction outside the label space, or none at all, is **unparsed**: it has a column of its own in the confusion matrix and
  is wrong. It is never dropped;
* a row with several labels counts under its first one, and a prediction of any of them is right. A prediction of several
  labels is right when all are the row's; else it has no single class, and is unparsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from facial_r1.errors import InputError
from facial_r1.metrics.bootstrap import Array, finite, nanmean, ratio
from facial_r1.prompts.completion import clean_label
from facial_r1.rewards.accuracy import is_right

SUMMARY = ("accuracy", "uar", "macro_f1")
UNPARSED = "unparsed"

Labels = str | Iterable[str] | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts: ``matrix[i][j]`` rows of class ``labels[i]`` were called ``columns[j]``; the last column is "unparsed"."""

    labels: tuple[str, ...]
    columns: tuple[str, ...]
    matrix: list[list[int]]


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One class; None where undefined (division of 0 by 0)."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    predicted: int


@dataclass(frozen=True, slots=True)
class EmotionScores:
    """Figures of the module's docstring, in [0, 1]; None without an annotated row.

    Attributes:
        per_class: By label, in the order of the label space.
        confusion: Counts.
        unparsed: Rows without a prediction in the label space.
        n: Annotated rows.
        skipped: Rows without a label.
    """

    accuracy: float | None
    uar: float | None
    macro_f1: float | None
    per_class: dict[str, ClassScores]
    confusion: Confusion
    unparsed: int
    n: int
    skipped: int


def emotion(truths: Sequence[Labels], predictions: Sequence[Labels], labels: Sequence[str]) -> EmotionScores:
    """Score predicted emotions.

    Args:
        truths: Label of each row, or its labels; None and empty ones are not annotated (left out, counted).
        predictions: Predicted label of each row, or labels; None and empty ones are unparsed.
        labels: The label space, in the order of the report.

    Raises:
        InputError: The label space is empty, or a truth lies outside of it.
        ValueError: There are not as many predictions as truths.

    Example:
        >>> emotion(["anger", "fear"], ["angry", None], ["anger", "fear"]).accuracy
        0.5
    """
    if len(truths) != len(predictions):
        raise ValueError(f"{len(truths)} truths, but {len(predictions)} predictions")
    space = LabelSpace(labels)
    cells = [
        space.cell(listed, as_labels(predicted), where=f"row {row}")
        for row, (truth, predicted) in enumerate(zip(truths, predictions, strict=True), start=1)
        if (listed := as_labels(truth))
    ]
    size = len(space.labels)
    matrix = np.zeros((size, size + 1))
    for true, predicted_class in cells:
        matrix[true, predicted_class] += 1
    figures = emotion_statistic(matrix.reshape(-1), size)
    f1, precision, recall = (figures[len(SUMMARY) + part * size : len(SUMMARY) + (part + 1) * size] for part in range(3))
    per_class = {
        label: ClassScores(finite(precision[i]), finite(recall[i]), finite(f1[i]), int(matrix[i].sum()), int(matrix[:, i].sum()))
        for i, label in enumerate(space.labels)
    }
    return EmotionScores(
        accuracy=finite(figures[0]),
        uar=finite(figures[1]),
        macro_f1=finite(figures[2]),
        per_class=per_class,
        confusion=confusion(cells, space),
        unparsed=int(matrix[:, size].sum()),
        n=len(cells),
        skipped=len(truths) - len(cells),
    )


def as_labels(written: Labels) -> tuple[str, ...]:
    """Labels as the parser writes them; None, "" and empty lists give none."""
    listed = () if written is None else (written,) if isinstance(written, str) else tuple(written)
    return tuple(dict.fromkeys(label for raw in listed if raw is not None and (label := clean_label(str(raw)))))


class LabelSpace:
    """The classes of a protocol, found by any spelling that we know.

    Attributes:
        labels: As the protocol writes them.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        """Raises InputError when there are none, or when two are spellings of one."""
        self.labels = tuple(labels)
        self._index = {clean_label(label): place for place, label in enumerate(self.labels)}
        if not self.labels:
            raise InputError("labels: empty; give the label space of the protocol, for example [anger, fear]")
        if len(self._index) < len(self.labels):
            raise InputError(f"labels: {', '.join(self.labels)}: two of them are the same label")

    def cell(self, truth: Sequence[str], predicted: Sequence[str], where: str) -> tuple[int, int]:
        """Row and column of the confusion matrix for cleaned labels; the column behind the last class is "unparsed".

        Raises:
            InputError: The first true label is not in the space.
        """
        true = self._index.get(truth[0])
        if true is None:
            raise InputError(f"{where}: field labels: {truth[0]!r} is not in the label space ({', '.join(self.labels)})")
        if is_right(predicted, truth):
            return true, true
        called = self._index.get(predicted[0]) if len(predicted) == 1 else None
        return true, len(self.labels) if called is None else called


def confusion(cells: Iterable[tuple[int, int]], space: LabelSpace) -> Confusion:
    """Counts of cells, as `LabelSpace.cell` gives them."""
    matrix = [[0] * (len(space.labels) + 1) for _ in space.labels]
    for true, called in cells:
        matrix[true][called] += 1
    return Confusion(space.labels, (*space.labels, UNPARSED), matrix)


# --- sufficient counts -----------------------------------------------------------------------------------------------


def emotion_statistic(totals: Array, size: int) -> Array:
    """Summed confusion matrices, shape (..., size (size + 1)), to the `SUMMARY` figures, then F1, precision, recall by class.

    Returns:
        Shape (..., 3 + 3 size); NaN where undefined.
    """
    matrix = totals.reshape(*totals.shape[:-1], size, size + 1)
    right = np.diagonal(matrix[..., :size], axis1=-2, axis2=-1)
    true, called = matrix.sum(axis=-1), matrix[..., :size].sum(axis=-2)
    recall, f1 = ratio(right, true), ratio(2 * right, true + called)
    summary = [ratio(right.sum(axis=-1), true.sum(axis=-1)), nanmean(recall), nanmean(f1)]
    return np.concatenate([np.stack(summary, axis=-1), f1, ratio(right, called), recall], axis=-1)
