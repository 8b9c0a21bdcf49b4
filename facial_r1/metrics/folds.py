"""Figures over folds: DISFA and BP4D are reported as the mean over three subject-exclusive folds, each tested by a model of its own.

Two summaries, which differ whenever a figure is no plain mean of rows (F1, recall by class):

* **mean**: the figure of each fold, averaged over the folds that have it. What the literature reports (ME-GraphAU, EmoLA, FMAE-IAT).
* **pooled**: one figure over the rows of all folds together. Rare units weigh in where they occur, folds by their size.

Both have intervals from resampling subjects over all folds.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from facial_r1.errors import InputError
from facial_r1.metrics.bootstrap import Array, Statistic, as_dicts, bootstrap, nanmean
from facial_r1.metrics.evaluate import Evaluation, Figures
from facial_r1.metrics.samples import Family, cluster_of, families


@dataclass(frozen=True, slots=True)
class Folds:
    """Figures of `fold_figures`, each by metric name as ``{"value", "low", "high", "n", "clusters"}``.

    Attributes:
        each: Of each fold, as it was evaluated.
        mean: Averages over the folds.
        pooled: Of all rows together.
    """

    each: tuple[Figures, ...]
    mean: Figures
    pooled: Figures

    def named(self) -> Figures:
        """All figures under one roof: ``folds/1/au/macro_f1``, ``folds/mean/au/macro_f1``, ``folds/pooled/au/macro_f1``."""
        parts = {**{str(number): figures for number, figures in enumerate(self.each, start=1)}, "mean": self.mean}
        parts["pooled"] = self.pooled
        return {f"folds/{part}/{name}": figure for part, figures in parts.items() for name, figure in figures.items()}


def fold_figures(folds: Sequence[Evaluation], resamples: int | None = None, seed: int | None = None) -> Folds:
    """Summaries over folds.

    Args:
        folds: One evaluation per fold, of disjoint subjects, scored with one protocol.
        resamples: Behind each interval; by default those of the first fold.
        seed: Of the resamples; by default that of the first fold.

    Raises:
        InputError: Fewer than two folds, different protocols, or a subject in two folds.
    """
    if len(folds) < 2:
        raise InputError(f"{len(folds)} fold: give the evaluations of at least two")
    first = folds[0]
    for fold in folds[1:]:
        if (fold.vocabulary, fold.labels) != (first.vocabulary, first.labels):
            raise InputError("the folds were scored with different label spaces or action units: score all with one protocol")
    _check_disjoint(folds)
    compat = first.compat if all(fold.compat == first.compat for fold in folds) else None
    scoring = first.rege if all(fold.rege == first.rege for fold in folds) else None
    draws, start = first.resamples if resamples is None else resamples, first.seed if seed is None else seed
    mean: Figures = {}
    pooled: Figures = {}
    for family in families(first.vocabulary, first.labels, compat, scoring):
        rows = [[sample for sample in fold.samples if sample["counts"].get(family.key) is not None] for fold in folds]
        if not any(rows):
            continue
        counts = family.counts([sample for fold in rows for sample in fold])
        clusters: list[Hashable] = [cluster_of(sample) for fold in rows for sample in fold]
        apart = _by_fold(counts, [len(fold) for fold in rows])
        statistic = _mean_over_folds(family, len(folds))
        mean |= as_dicts(bootstrap(apart, clusters, statistic, draws, start), family.names)
        pooled |= as_dicts(bootstrap(counts, clusters, family.statistic, draws, start), family.names)
    return Folds(tuple(fold.metrics for fold in folds), mean, pooled)


def _by_fold(counts: Array, sizes: Sequence[int]) -> Array:
    """Counts of rows, shape (rows, k), each moved to the columns of its fold, shape (rows, folds k)."""
    width = counts.shape[1]
    apart = np.zeros((len(counts), width * len(sizes)))
    start = 0
    for fold, size in enumerate(sizes):
        apart[start : start + size, fold * width : (fold + 1) * width] = counts[start : start + size]
        start += size
    return apart


def _mean_over_folds(family: Family, count: int) -> Statistic:
    def statistic(totals: Array) -> Array:
        parts = np.split(totals, count, axis=-1)
        # A fold without a row has no figures, not even those that are 0 for nothing predicted.
        figures = [np.where(part.any(axis=-1, keepdims=True), family.statistic(part), np.nan) for part in parts]
        return nanmean(np.stack(figures, axis=-1))

    return statistic


def _check_disjoint(folds: Sequence[Evaluation]) -> None:
    owner: dict[Hashable, int] = {}
    for number, fold in enumerate(folds, start=1):
        for cluster in {cluster_of(sample) for sample in fold.samples}:
            if owner.setdefault(cluster, number) != number:
                raise InputError(f"{_shown(cluster)} is in folds {owner[cluster]} and {number}: folds must not share subjects")


def _shown(cluster: Hashable) -> str:
    """A cluster of a sample in words: ``subject SN001 of disfa``."""
    if isinstance(cluster, tuple) and len(cluster) == 3:
        dataset, kind, name = cluster
        return f"{kind} {name}" + (f" of {dataset}" if dataset else "")
    return str(cluster)
