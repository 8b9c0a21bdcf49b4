"""Intervals and paired tests for any metric, from per-sample counts, resampling whole clusters.

A metric is a function of summed counts (true positives, cells of a confusion matrix, a sum and its n, ...). Frames of one
person are not independent, so clusters (subjects) are drawn with replacement and their counts summed: one matrix product
of draw counts with cluster sums per chunk of resamples, whatever the metric is. Memory does not grow with the resamples.

Intervals are percentile intervals with expanded levels (Hesterberg 2015, *What Teachers Should Know About the Bootstrap*,
section 5.3): with few clusters a plain percentile interval is too short, since it uses normal instead of t quantiles and the
n instead of the n - 1 variance. With many clusters both are the same. p values invert the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from facial_r1.metrics.student import t_cdf, t_quantile

Array = npt.NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""Summed counts of shape (..., k) to metrics of shape (..., m); NaN where a metric is undefined."""

_NORMAL = NormalDist()
_MAX_CLUSTERS = 4096
_DRAWS_PER_CHUNK = 1 << 21
_EXACT_IN_FLOAT32 = 1 << 24


@dataclass(frozen=True, slots=True)
class Estimate:
    """Metrics with their intervals; arrays of shape (m,). NaN where undefined.

    Attributes:
        value: The metrics of all samples.
        low: Lower ends of the intervals; NaN with fewer than two clusters or no resamples.
        high: Upper ends.
        n: Samples.
        clusters: Clusters among them.
    """

    value: Array
    low: Array
    high: Array
    n: int
    clusters: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Differences of metrics of two systems on the same samples (first minus second); arrays of shape (m,)."""

    difference: Array
    low: Array
    high: Array
    p: Array
    n: int
    clusters: int


def cluster_sums(counts: npt.ArrayLike, clusters: Sequence[Hashable]) -> Array:
    """Sum the rows of each cluster.

    Args:
        counts: Shape (n, k).
        clusters: The cluster of each row.

    Returns:
        Shape (clusters, k), in order of first appearance.
    """
    rows = np.asarray(counts, dtype=np.float64)
    if rows.ndim != 2 or len(rows) != len(clusters):
        raise ValueError(f"counts of shape {rows.shape} do not fit {len(clusters)} clusters: give (n, k) and n")
    index: dict[Hashable, int] = {}
    place = np.fromiter((index.setdefault(cluster, len(index)) for cluster in clusters), dtype=np.intp, count=len(clusters))
    if len(index) == len(rows):
        return rows
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(index)))
    return np.add.reduceat(rows[order], starts, axis=0)


def bootstrap(
    counts: npt.ArrayLike,
    clusters: Sequence[Hashable],
    statistic: Statistic,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Metrics of the samples with clustered bootstrap intervals.

    Args:
        counts: Sufficient counts of each sample, shape (n, k), n > 0.
        clusters: The cluster (subject) of each sample; give each sample its own when they are independent.
        statistic: From sums of counts to metrics.
        resamples: 0 gives no intervals.
        seed: The same seed gives the same intervals.
        level: Nominal coverage.
    """
    sums = cluster_sums(counts, clusters)
    value = _apply(statistic, sums.sum(axis=0))
    nothing = np.full_like(value, np.nan)
    if resamples < 1 or len(sums) < 2:
        return Estimate(value, nothing, nothing, len(clusters), len(sums))
    drawn = np.concatenate([_apply(statistic, totals) for totals in _resampled(sums, resamples, seed)])
    low, high = _ends(drawn, len(sums), level)
    undefined = np.isnan(value)
    return Estimate(value, np.where(undefined, np.nan, low), np.where(undefined, np.nan, high), len(clusters), len(sums))


def paired_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    clusters: Sequence[Hashable],
    statistic: Statistic,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """How the metrics of the first system differ from those of the second, on the same samples.

    Both are resampled with the same draws, so that what is hard for both cancels.

    Args:
        first: Counts of the first system, shape (n, k).
        second: Counts of the second system on the same samples in the same order.
        clusters: The cluster of each sample.
        statistic: From sums of counts to metrics.
        resamples: At least 1.
        seed: Of the draws.
        level: Nominal coverage.

    Returns:
        First minus second, its interval and the two-sided p value, which is below ``1 - level`` when the interval excludes 0.
    """
    one, two = cluster_sums(first, clusters), cluster_sums(second, clusters)
    if one.shape != two.shape:
        raise ValueError(f"counts of shapes {one.shape} and {two.shape}: the systems must be counted alike")
    width = one.shape[1]
    sums = np.concatenate([one, two], axis=1)

    def difference(totals: Array) -> Array:
        return _apply(statistic, totals[..., :width]) - _apply(statistic, totals[..., width:])

    value = difference(sums.sum(axis=0))
    nothing = np.full_like(value, np.nan)
    if resamples < 1 or len(sums) < 2:
        return Difference(value, nothing, nothing, nothing, len(clusters), len(sums))
    drawn = np.concatenate([difference(totals) for totals in _resampled(sums, resamples, seed)])
    low, high = _ends(drawn, len(sums), level)
    p = np.array([_p_value(column, len(sums)) for column in drawn.T])
    undefined = np.isnan(value)
    low, high, p = (np.where(undefined, np.nan, column) for column in (low, high, p))
    return Difference(value, low, high, p, len(clusters), len(sums))


def multinomial_sums(cells: npt.ArrayLike, counts: npt.ArrayLike, resamples: int, rng: np.random.Generator) -> Array:
    """Summed counts of resamples of independent samples of which many are alike, shape (resamples, k).

    How often each kind of sample occurs in a resample of n is multinomial; drawing that is exact, and costs nothing per sample.

    Args:
        cells: Counts of one sample of each kind, shape (kinds, k).
        counts: How many samples are of each kind, whole numbers, n > 0 in all.
        resamples: At least 1.
        rng: Of the draws.
    """
    often = np.asarray(counts, dtype=np.float64)
    drawn = rng.multinomial(int(often.sum()), often / often.sum(), size=resamples)
    return drawn.astype(np.float64) @ np.asarray(cells, dtype=np.float64)


def from_resamples(value: Array, drawn: Array, n: int, clusters: int, level: float = 0.95) -> Estimate:
    """The estimate of metrics whose values in resamples are known.

    Args:
        value: Metrics of all samples, shape (m,).
        drawn: Of each resample, shape (resamples, m); none at all gives no intervals.
        n: Samples.
        clusters: Clusters that were drawn.
        level: Nominal coverage.
    """
    nothing = np.full_like(value, np.nan)
    if len(drawn) < 1 or clusters < 2:
        return Estimate(value, nothing, nothing, n, clusters)
    low, high = _ends(drawn, clusters, level)
    undefined = np.isnan(value)
    return Estimate(value, np.where(undefined, np.nan, low), np.where(undefined, np.nan, high), n, clusters)


def mean(totals: Array) -> Array:
    """The statistic of sums ``[sum, n]``: the mean, shape (..., 1)."""
    return ratio(totals[..., :1], totals[..., 1:2])


def ratio(part: Array, whole: Array, empty: float = math.nan) -> Array:
    """part / whole, and `empty` where whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), empty)


def nanmean(values: Array) -> Array:
    """Mean over the last axis of what is not NaN; NaN where nothing is left (without numpy's warning)."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1).astype(np.float64))


def interval_of_mean(
    values: Sequence[float | None],
    clusters: Sequence[Hashable],
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """The mean of the values that are not None, as ``{"value", "low", "high", "n", "clusters"}``.

    Every field but n and clusters is None when no value is left; low and high are None with fewer than two clusters.
    """
    kept = [(value, cluster) for value, cluster in zip(values, clusters, strict=True) if value is not None]
    if not kept:
        return {"value": None, "low": None, "high": None, "n": 0, "clusters": 0}
    counts = np.array([[value, 1.0] for value, _ in kept])
    return as_dicts(bootstrap(counts, [cluster for _, cluster in kept], mean, resamples, seed), ["mean"])["mean"]


def paired_difference_of_means(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[Hashable],
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Mean of `first` minus mean of `second` over the same samples: ``{"difference", "low", "high", "p", "n", "clusters"}``.

    Raises:
        ValueError: There is nothing to compare.
    """
    if not clusters:
        raise ValueError("no samples to compare")
    pairs = [np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], axis=1) for values in (first, second)]
    return differences_as_dicts(paired_difference(pairs[0], pairs[1], clusters, mean, resamples, seed), ["mean"])["mean"]


def differences_as_dicts(difference: Difference, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Each difference as ``{"difference", "low", "high", "p", "n", "clusters"}`` for JSON: None instead of NaN."""
    return {
        name: {
            "difference": finite(difference.difference[index]),
            "low": finite(difference.low[index]),
            "high": finite(difference.high[index]),
            "p": finite(difference.p[index]),
            "n": difference.n,
            "clusters": difference.clusters,
        }
        for index, name in enumerate(names)
    }


def as_dicts(estimate: Estimate, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Each metric as ``{"value", "low", "high", "n", "clusters"}`` for JSON: None instead of NaN."""
    return {
        name: {
            "value": finite(estimate.value[index]),
            "low": finite(estimate.low[index]),
            "high": finite(estimate.high[index]),
            "n": estimate.n,
            "clusters": estimate.clusters,
        }
        for index, name in enumerate(names)
    }


def finite(value: float) -> float | None:
    """A plain float, or None for what is not a number."""
    return float(value) if math.isfinite(value) else None


def _apply(statistic: Statistic, totals: Array) -> Array:
    return np.asarray(statistic(totals), dtype=np.float64)


def _resampled(sums: Array, resamples: int, seed: int) -> Iterator[Array]:
    """Summed counts of resamples, in chunks of shape (b, k). The draws depend on the seed and the number of clusters only."""
    rng = np.random.default_rng(seed)
    sums = _pooled(sums, rng)
    clusters = len(sums)
    chunk = max(1, _DRAWS_PER_CHUNK // clusters)
    # Whole counts below 2^24 are exact in single precision, which halves the time of the product.
    whole = bool(np.all(sums == np.rint(sums)) and clusters * np.abs(sums).max(initial=0.0) < _EXACT_IN_FLOAT32)
    matrix: npt.NDArray[Any] = sums.astype(np.float32) if whole else sums
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = rng.integers(0, clusters, size=(size, clusters), dtype=np.int64)
        drawn += (np.arange(size) * clusters)[:, None]
        weights: npt.NDArray[Any] = np.bincount(drawn.ravel(), minlength=size * clusters).reshape(size, clusters)
        yield (weights.astype(matrix.dtype) @ matrix).astype(np.float64)


def _pooled(sums: Array, rng: np.random.Generator) -> Array:
    """At most `_MAX_CLUSTERS` rows: more independent clusters are pooled at random into that many groups.

    Sums of independent clusters are independent, so the interval estimates the same spread; its standard error is then known
    to 1.1 % (one part in the root of twice the groups), the same as from 4,096 resamples.
    """
    if len(sums) <= _MAX_CLUSTERS:
        return sums
    order = rng.permutation(len(sums))
    starts = np.linspace(0, len(sums), _MAX_CLUSTERS, endpoint=False).astype(np.intp)
    pooled: Array = np.add.reduceat(sums[order], starts, axis=0)
    return pooled


def _ends(drawn: Array, clusters: int, level: float) -> tuple[Array, Array]:
    tail = _expanded((1 - level) / 2, clusters)
    if np.isnan(drawn).any():
        columns = [column[~np.isnan(column)] for column in drawn.T]
        ends = [np.quantile(column, [tail, 1 - tail]) if len(column) else np.full(2, np.nan) for column in columns]
        low, high = np.array(ends).T
        return low, high
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return low, high


def _expanded(tail: float, clusters: int) -> float:
    """The percentile that plays the part of `tail` with this many clusters."""
    return _NORMAL.cdf(math.sqrt(clusters / (clusters - 1)) * t_quantile(tail, clusters - 1))


def _p_value(drawn: Array, clusters: int) -> float:
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return math.nan
    side = (1 + min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))) / (len(drawn) + 1)
    if side >= 0.5:
        return 1.0
    return 2 * t_cdf(_NORMAL.inv_cdf(side) * math.sqrt((clusters - 1) / clusters), clusters - 1)
