"""How well predicted action units agree with coded ones, over the vocabulary of a protocol.

Definitions, for units u of the vocabulary and faces i that were coded:

* precision, recall and F1 of u from its true positives, false positives and false negatives over all faces;
* ``macro_f1``: mean F1 over the units for which it is defined. A unit that neither occurs nor is predicted has no F1: it is left
  out and listed as undefined. A unit that is predicted but never occurs has F1 0 and counts;
* ``macro_f1_present``: mean F1 over the units that occur in the truth (what the released Facial-R1 evaluation averages);
* ``micro_f1``: F1 of the counts summed over units;
* ``subset_accuracy``: share of faces whose whole set is right;
* ``set_f1``: mean over faces of the set F1, which is the reward ``au``;
* ``hallucinated``: share of the predicted units, within the vocabulary, that the face does not show; 0 when nothing is predicted;
* ``outside_vocabulary``: share of all predicted units that the protocol does not annotate or FACS does not have. They are
  in none of the other figures, since nobody coded them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from facial_r1.affect.action_units import normalise_code
from facial_r1.errors import InputError
from facial_r1.metrics.bootstrap import Array, finite, nanmean, ratio
from facial_r1.rewards.action_units import set_f1

SUMMARY = ("macro_f1", "macro_f1_present", "micro_f1", "subset_accuracy", "set_f1", "hallucinated", "outside_vocabulary")


@dataclass(frozen=True, slots=True)
class UnitScores:
    """One unit; precision, recall and F1 are None where undefined (division of 0 by 0).

    Attributes:
        precision: TP / (TP + FP).
        recall: TP / (TP + FN).
        f1: 2 TP / (2 TP + FP + FN).
        support: Faces that show it.
        predicted: Faces for which it is predicted.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    predicted: int


@dataclass(frozen=True, slots=True)
class ActionUnitScores:
    """Figures of the module's docstring, in [0, 1]; None without a coded face.

    Attributes:
        per_unit: By code, in the order of the vocabulary.
        undefined: Units that neither occur nor are predicted.
        n: Coded faces.
        skipped: Faces that nobody coded.
    """

    macro_f1: float | None
    macro_f1_present: float | None
    micro_f1: float | None
    subset_accuracy: float | None
    set_f1: float | None
    hallucinated: float | None
    outside_vocabulary: float | None
    per_unit: dict[str, UnitScores]
    undefined: tuple[str, ...]
    n: int
    skipped: int


def action_units(
    truths: Sequence[Iterable[str] | None],
    predictions: Sequence[Iterable[str]],
    vocabulary: Sequence[str],
) -> ActionUnitScores:
    """Score predicted action units.

    Args:
        truths: Codes that each face shows; an empty one is a face at rest, None one that nobody coded (left out, counted).
        predictions: Codes predicted for each face.
        vocabulary: The units that the protocol annotates, in the order of the report.

    Raises:
        InputError: The vocabulary is empty or holds something that is no FACS code.
        ValueError: There are not as many predictions as truths.

    Example:
        >>> action_units([{"AU4"}, {"AU12"}], [{"AU4"}, {"AU4", "AU12"}], ["AU4", "AU12"]).macro_f1
        0.8333333333333333
    """
    if len(truths) != len(predictions):
        raise ValueError(f"{len(truths)} truths, but {len(predictions)} predictions")
    units = check_vocabulary(vocabulary)
    rows = [
        (codes(truth), codes(predicted), None) for truth, predicted in zip(truths, predictions, strict=True) if truth is not None
    ]
    totals = unit_counts(rows, units).sum(axis=0)
    figures = unit_statistic(totals, len(units))
    size = len(units)
    f1, precision, recall = (figures[len(SUMMARY) + part * size : len(SUMMARY) + (part + 1) * size] for part in range(3))
    tp, fp, fn = totals[:size], totals[size : 2 * size], totals[2 * size : 3 * size]
    per_unit = {
        unit: UnitScores(finite(precision[i]), finite(recall[i]), finite(f1[i]), int(tp[i] + fn[i]), int(tp[i] + fp[i]))
        for i, unit in enumerate(units)
    }
    undefined = tuple(unit for unit, scores in per_unit.items() if scores.f1 is None)
    summary = {name: finite(figures[i]) if rows else None for i, name in enumerate(SUMMARY)}
    return ActionUnitScores(**summary, per_unit=per_unit, undefined=undefined, n=len(rows), skipped=len(truths) - len(rows))


def codes(units: Iterable[str]) -> frozenset[str]:
    """Canonical codes; what FACS does not have stays as written, and so lies outside every vocabulary."""
    return frozenset(normalise_code(unit) or str(unit) for unit in units)


def check_vocabulary(vocabulary: Sequence[str]) -> tuple[str, ...]:
    """The vocabulary as canonical codes, without duplicates. Raises InputError when it is empty or not FACS."""
    if not vocabulary:
        raise InputError("vocabulary: empty; give the action units that the protocol annotates, for example [AU4, AU12]")
    for unit in vocabulary:
        if normalise_code(unit) is None:
            raise InputError(f"vocabulary: {unit!r} is no FACS action unit; write codes as AU12")
    return tuple(dict.fromkeys(code for unit in vocabulary if (code := normalise_code(unit))))


# --- sufficient counts -----------------------------------------------------------------------------------------------


def unit_width(size: int) -> int:
    """Length of the counts of one face: TP, FP and FN of each unit, then n, exact, set F1, all predicted, outside."""
    return 3 * size + 5


def unit_counts(
    rows: Sequence[tuple[AbstractSet[str], AbstractSet[str], float | None]],
    vocabulary: Sequence[str],
    annotated: Sequence[Sequence[str] | None] | None = None,
) -> Array:
    """Sufficient counts of faces for `unit_statistic`.

    Args:
        rows: Of each face the canonical codes that it shows; the predicted codes, those outside the vocabulary included; and its
            reward ``au`` where that is not simply the set F1 (a completion that breaks off), else None.
        vocabulary: The units counted.
        annotated: Of each face the units that its dataset annotates, where those are fewer than the vocabulary; None where
            all are. Others are outside for this face, whatever is annotated elsewhere.

    Returns:
        Shape (faces, 3 units + 5).
    """
    size = len(vocabulary)
    place = {unit: index for index, unit in enumerate(vocabulary)}
    counts = np.zeros((len(rows), unit_width(size)))
    for row, (truth, predicted, agreement) in enumerate(rows):
        asked, inside = truth & place.keys(), predicted & place.keys()
        own = annotated[row] if annotated is not None else None
        if own is not None:
            asked, inside = asked & set(own), inside & set(own)
        counts[row, [place[unit] for unit in asked & inside]] = 1.0
        counts[row, [size + place[unit] for unit in inside - asked]] = 1.0
        counts[row, [2 * size + place[unit] for unit in asked - inside]] = 1.0
        score = set_f1(asked, inside) if agreement is None else agreement
        counts[row, 3 * size :] = 1.0, score == 1.0, score, len(predicted), len(predicted) - len(inside)
    return counts


def unit_statistic(totals: Array, size: int) -> Array:
    """Summed counts, shape (..., 3 size + 5), to the `SUMMARY` figures, then F1, precision and recall of each unit.

    Returns:
        Shape (..., 7 + 3 size); NaN where undefined.
    """
    tp, fp, fn = (totals[..., part * size : (part + 1) * size] for part in range(3))
    n, exact, agreement, predicted, outside = (totals[..., 3 * size + part] for part in range(5))
    f1 = ratio(2 * tp, 2 * tp + fp + fn)
    present = np.where(tp + fn > 0, f1, math.nan)
    tp_sum, fp_sum, fn_sum = tp.sum(axis=-1), fp.sum(axis=-1), fn.sum(axis=-1)
    summary = [
        nanmean(f1),
        nanmean(present),
        ratio(2 * tp_sum, 2 * tp_sum + fp_sum + fn_sum),
        ratio(exact, n),
        ratio(agreement, n),
        ratio(fp_sum, tp_sum + fp_sum, empty=0.0),
        ratio(outside, predicted, empty=0.0),
    ]
    return np.concatenate([np.stack(summary, axis=-1), f1, ratio(tp, tp + fp), ratio(tp, tp + fn)], axis=-1)
