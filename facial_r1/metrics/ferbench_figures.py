"""FERBench counts and figures: how often which outcome occurs, and every figure of both modes with its interval.

Results that are alike (same truth, labels and flags) are counted together. The matrices of a resample are then sums of few
multinomial draws, so that thousands of resamples of all 11,072 results take a fraction of a second, exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from facial_r1.data.ferbench import DATASETS, LABELS, TOTAL
from facial_r1.metrics.bootstrap import Array, Estimate, as_dicts, from_resamples, multinomial_sums, nanmean, ratio
from facial_r1.metrics.ferbench import UNKNOWN, Step, merged

MODES = ("compat", "strict")
POOLED, MEAN = "pooled", "mean"
MATRIX_FIGURES = ("accuracy", "macro_f1", "macro_precision", "macro_recall", "uar", "weighted_f1")
RATES = ("format_rate", "fallback_rate")
OTHER = "other"
"""A truth outside of the dataset's label space."""

_AVERAGED = ("accuracy", "uar", "macro_f1")

Figures = dict[str, dict[str, Any]]


class Outcome(NamedTuple):
    """One question, judged.

    Attributes:
        truth: As written.
        strict_truth: In the words of the dataset's label space, or `OTHER` for one outside of it.
        compat: Label by the dataset's own script; None for a crash, which the scripts leave out.
        compat_total: Label by the pooled script.
        step: What found `compat`.
        strict: Label, or "unknown".
        valid: Whether the response is exactly one reasoning and one answer, neither blank.
    """

    truth: str
    strict_truth: str
    compat: str | None
    compat_total: str | None
    step: Step
    strict: str
    valid: bool


@dataclass(frozen=True)
class Table:
    """Distinct outcomes of a dataset and how often each occurs, and the label spaces of the four matrices.

    Attributes:
        outcomes: Distinct ones, in order of first appearance.
        often: How often each occurs.
        spaces: Classes of the matrices by (pooled, mode). Compat: all labels that occur, "unknown" among them (scikit-learn's
            default). Strict: the label space, then one more row and column for truths and answers outside of it.
    """

    outcomes: list[Outcome]
    often: list[int]
    spaces: dict[tuple[bool, str], tuple[str, ...]]

    @classmethod
    def of(cls, dataset: str, outcomes: Sequence[Outcome]) -> Table:
        distinct = Counter(outcomes)
        labels = {one.truth for one in distinct if one.compat is not None} | {one.compat for one in distinct if one.compat}
        pooled = {merged(one.truth) for one in distinct if one.compat is not None}
        pooled |= {merged(one.compat_total) for one in distinct if one.compat_total}
        spaces = {
            (False, "compat"): tuple(sorted({*labels, *LABELS[dataset]})),
            (True, "compat"): tuple(sorted({*pooled, *LABELS[TOTAL]})),
            (False, "strict"): LABELS[dataset],
            (True, "strict"): LABELS[TOTAL],
        }
        return cls(list(distinct), list(distinct.values()), spaces)

    def cells(self, pooled: bool, space: Sequence[str]) -> Array:
        """Counts of one sample of each kind: the compat matrix over `space`, the strict one, and the two rates' sums."""
        strict_space = self.spaces[pooled, "strict"]
        compat = {label: place for place, label in enumerate(space)}
        strict = {label: place for place, label in enumerate(strict_space)}
        wide, high = len(space), len(strict_space) + 1
        rows = np.zeros((len(self.outcomes), wide * wide + high * high + 4))
        for row, one in zip(rows, self.outcomes, strict=True):
            truth, called = one.truth, one.compat_total if pooled else one.compat
            own, chosen = one.strict_truth, one.strict
            if pooled:
                truth, called, own, chosen = merged(truth), called and merged(called), merged(own), merged(chosen)
            if called is not None:
                row[compat[truth] * wide + compat[called]] = 1.0
                row[-2:] = one.step in ("text", "synonym"), 1.0
            row[wide * wide + strict.get(own, high - 1) * high + strict.get(chosen, high - 1)] = 1.0
            row[-4:-2] = one.valid, 1.0
        return rows


def estimated(
    tables: Mapping[str, Table], whole: bool, resamples: int, seed: int
) -> tuple[dict[str, tuple[Estimate, int]], dict[str, dict[str, dict[str, Any]]]]:
    """Estimates of all figures of a set, in the order of `_order`, with the number of counted results; and the matrices."""
    space = tuple(sorted({label for table in tables.values() for label in table.spaces[True, "compat"]}))
    totals: dict[str, Array] = {}
    drawn: dict[str, Array] = {}
    pooled, pooled_drawn = np.zeros(0), np.zeros(0)
    for place, name in enumerate(DATASETS):
        if name not in tables:
            continue
        table = tables[name]
        own, shared = table.cells(False, table.spaces[False, "compat"]), table.cells(True, space)
        both = np.concatenate([own, shared], axis=1)
        often = np.array(table.often, dtype=np.float64)
        # A seed of its own for each set: its intervals do not depend on which other sets are there.
        rng = np.random.default_rng([seed, place])
        sums = multinomial_sums(both, often, resamples, rng) if resamples > 0 else np.zeros((0, both.shape[1]))
        width = own.shape[1]
        totals[name], drawn[name] = often @ own, sums[:, :width]
        pooled = often @ shared + (pooled if len(pooled) else 0.0)
        pooled_drawn = sums[:, width:] + (pooled_drawn if pooled_drawn.ndim == 2 else 0.0)
    if whole:
        totals[POOLED], drawn[POOLED] = pooled, pooled_drawn
    sizes = {name: (table.spaces[False, "compat"], table.spaces[False, "strict"]) for name, table in tables.items()}
    sizes[POOLED] = (space, LABELS[TOTAL])
    values = {name: _statistic(total, *map(len, sizes[name])) for name, total in totals.items()}
    resampled = {name: _statistic(sums, *map(len, sizes[name])) for name, sums in drawn.items()}
    if whole:
        values[MEAN] = np.mean([values[name] for name in DATASETS], axis=0)
        resampled[MEAN] = np.mean([resampled[name] for name in DATASETS], axis=0)
    estimates = {}
    smallest = min((sum(table.often) for table in tables.values()), default=0)
    for name, value in values.items():
        total = totals[POOLED if name == MEAN else name]
        everything, kept = round(total[-3]), round(total[-1])
        # A set of one picture does not vary when it is resampled within itself: no interval rather than one without width.
        resampled_sets = everything if name in tables or smallest > 1 else 1
        estimate = from_resamples(value, resampled[name], everything, resampled_sets)
        estimates[name] = replace(estimate, clusters=everything), kept
    return estimates, {name: _matrices(total, *sizes[name]) for name, total in totals.items()}


def _order() -> list[str]:
    return [f"{mode}/{figure}" for mode in MODES for figure in MATRIX_FIGURES] + list(RATES)


def _statistic(totals: Array, compat: int, strict: int) -> Array:
    """Summed cells of shape (..., k) to the figures of `_order`; NaN where undefined."""
    one, two = _split(totals, compat, strict)
    rates = [ratio(totals[..., -4], totals[..., -3]), ratio(totals[..., -2], totals[..., -1])]
    return np.stack([*matrix_figures(one, compat, 0.0), *matrix_figures(two, strict, 0.0), *rates], axis=-1)


def matrix_figures(matrix: Array, classes: int, empty: float = 0.0) -> list[Array]:
    """`MATRIX_FIGURES` of confusion matrices, shape (..., s, s), of which the first `classes` are classes.

    Macro averages run over the classes that occur in the truth or among the predictions, with `empty` for 0 divided by 0; ``uar``
    and ``weighted_f1`` over those that occur in the truth, all true rows being the weight.
    """
    right = np.diagonal(matrix, axis1=-2, axis2=-1)[..., :classes]
    true, called = matrix.sum(axis=-1), matrix.sum(axis=-2)[..., :classes]
    size, true = true.sum(axis=-1), true[..., :classes]
    precision, recall, f1 = ratio(right, called, empty), ratio(right, true, empty), ratio(2 * right, true + called, empty)
    occurring, supported = true + called > 0, true > 0
    macro = [_macro(part, occurring) for part in (f1, precision, recall)]
    uar = nanmean(np.where(supported, recall, np.nan))
    return [ratio(right.sum(axis=-1), size), *macro, uar, ratio((f1 * true).sum(axis=-1), size)]


def _macro(values: Array, occurring: Array) -> Array:
    """The mean over the classes that occur. Of one matrix it is taken over these alone, in their order, so that compat figures are
    those of scikit-learn to the last digit: zeros in between would change the order of summation."""
    if values.ndim == 1 and occurring.any():
        return np.asarray(values[occurring].mean())
    return nanmean(np.where(occurring, values, np.nan))


def _split(totals: Array, compat: int, strict: int) -> tuple[Array, Array]:
    first, side = compat * compat, strict + 1
    shape = totals.shape[:-1]
    one = totals[..., :first].reshape(*shape, compat, compat)
    return one, totals[..., first : first + side * side].reshape(*shape, side, side)


def _matrices(totals: Array, compat: tuple[str, ...], strict: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    one, two = _split(totals, len(compat), len(strict))
    rows = [place for place, label in enumerate(compat) if label != UNKNOWN]
    labels = [compat[place] for place in rows]
    columns, order = (labels, rows) if UNKNOWN not in compat else ([*labels, UNKNOWN], [*rows, compat.index(UNKNOWN)])
    size = len(strict)
    return {
        "compat": {"labels": labels, "columns": columns, "matrix": one[rows][:, order].astype(int).tolist()},
        "strict": {"labels": list(strict), "columns": [*strict, UNKNOWN], "matrix": two[:size].astype(int).tolist()},
    }


def named(estimates: Mapping[str, tuple[Estimate, int]]) -> Figures:
    found: Figures = {}
    order = _order()
    for name, (estimate, kept) in estimates.items():
        for key, figure in as_dicts(estimate, order).items():
            mode, _, short = key.rpartition("/")
            if name == MEAN and (short not in _AVERAGED or not mode):
                continue
            if mode == "compat" or key == "fallback_rate":
                figure["n"] = figure["clusters"] = kept
            found[f"ferbench/{name}/{key}"] = figure
    return found


def strict_only(figures: Figures) -> Figures:
    return {name: figure for name, figure in figures.items() if "/strict/" in name}
