"""What a paired comparison of two systems needs beside its interval: exact tests of counts, correction for many tests, and how small a
difference the samples could have shown.

All functions are pure and know nothing of faces. Directions are the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from facial_r1.metrics.bootstrap import Array, Statistic, cluster_sums
from facial_r1.metrics.student import t_quantile

POWER = 0.8
LEVEL = 0.95

_NORMAL = NormalDist()


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p value of the exact McNemar test: of the samples on which just one of two systems is right, half should go either way.

    Source: McNemar 1947; Dietterich 1998 recommends it for systems that were trained once. Samples count as independent.

    Args:
        gained: Samples that only the one system gets right.
        lost: Samples that only the other gets right.

    >>> mcnemar(0, 6)
    0.03125
    >>> mcnemar(3, 3)
    1.0
    """
    n, fewer = gained + lost, min(gained, lost)
    return 1.0 if n == 0 else min(1.0, 2.0 * sum(_binomial(n, fewer)))


def mcnemar_mid_p(gained: int, lost: int) -> float:
    """The mid-p value of the same test: what was observed counts half. Less conservative, and close to the nominal level.

    Source: Fagerland, Lydersen and Laake 2013, *The McNemar test for binary matched-pairs data*, equation 4.

    >>> mcnemar_mid_p(0, 6)
    0.015625
    """
    n, fewer = gained + lost, min(gained, lost)
    if n == 0:
        return 1.0
    terms = _binomial(n, fewer)
    return min(1.0, 2.0 * sum(terms) - terms[-1])


def _binomial(n: int, upto: int) -> list[float]:
    """Probabilities of 0, 1, ..., upto heads in n throws of a fair coin, also where 2^-n is below what a float holds."""
    if n < 1000:
        return [math.comb(n, k) / 2**n for k in range(upto + 1)]
    whole = math.lgamma(n + 1) - n * math.log(2.0)
    return [math.exp(whole - math.lgamma(k + 1) - math.lgamma(n - k + 1)) for k in range(upto + 1)]


def holm(values: Sequence[float]) -> list[float]:
    """p values after Holm's step-down correction (Holm 1979), in the given order: the chance of even one false finding stays below the level.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = largest
    return adjusted


def difference_errors(first: npt.ArrayLike, second: npt.ArrayLike, clusters: Sequence[Hashable], statistic: Statistic) -> Array:
    """Standard errors of differences of metrics on the same samples, by leaving out one cluster at a time (jackknife, Efron 1982).

    For a mean over clusters of one size this is the textbook ``s / sqrt(clusters)``; for F1 and recall averages it takes the place of a
    formula. Unlike the spread of resamples it does not depend on a seed.

    Args:
        first: Counts of one system, shape (n, k).
        second: Counts of the other on the same samples in the same order.
        clusters: The cluster (subject) of each sample.
        statistic: From sums of counts (..., k) to metrics (..., m).

    Returns:
        Shape (m,); NaN with fewer than two clusters, or where a metric is undefined.
    """
    one, two = cluster_sums(first, clusters), cluster_sums(second, clusters)
    if one.shape != two.shape:
        raise ValueError(f"counts of shapes {one.shape} and {two.shape}: the systems must be counted alike")
    without = np.asarray(statistic(one.sum(axis=0) - one)) - np.asarray(statistic(two.sum(axis=0) - two))
    if len(one) < 2:
        return np.full(without.shape[1:], math.nan)
    known = ~np.isnan(without)
    size = known.sum(axis=0)
    spread = np.where(known, without, 0.0)
    centre = spread.sum(axis=0) / np.maximum(size, 1)
    squares = (np.where(known, without - centre, 0.0) ** 2).sum(axis=0)
    errors: Array = np.where(size > 1, np.sqrt(squares * (size - 1) / np.maximum(size, 1)), math.nan)
    return errors


def detectable_mean(error: float, clusters: int, power: float = POWER, level: float = LEVEL) -> float | None:
    """The smallest true difference that a test at ``1 - level`` finds with this power.

    ``(t[1 - (1 - level) / 2] + t[power]) error`` with ``clusters - 1`` degrees of freedom (Bloom 1995, *Minimum detectable effects*).

    Args:
        error: Standard error of the difference, over clusters.
        clusters: Behind it.

    Returns:
        In the metric's unit; None without an error, or where the systems never differ (the error is 0).
    """
    if clusters < 2 or not math.isfinite(error) or error <= 0:
        return None
    return (t_quantile(1 - (1 - level) / 2, clusters - 1) + t_quantile(power, clusters - 1)) * error


def detectable_proportion(discordant: int, n: int, power: float = POWER, level: float = LEVEL) -> float | None:
    """The smallest difference of two paired proportions that McNemar's test finds with this power, at the observed discordance.

    Solves ``d sqrt(n) = z[1 - (1 - level) / 2] sqrt(psi) + z[power] sqrt(psi - d^2)`` for d, psi the share of samples on which just one is
    right (Miettinen 1968; Connett, Smith and McHugh 1987). Samples count as independent.

    Args:
        discordant: Samples on which just one system is right.
        n: Samples.

    Returns:
        In (0, psi]; None where not even all discordant samples in one direction would do.

    >>> round(detectable_proportion(100, 1000), 4)
    0.028
    """
    if discordant < 1 or n < 1:
        return None
    psi = discordant / n
    level_z, power_z = _NORMAL.inv_cdf(1 - (1 - level) / 2), _NORMAL.inv_cdf(power)
    root = n + power_z**2 - level_z**2
    if root < 0:
        return None
    found = math.sqrt(psi) * (math.sqrt(n) * level_z + power_z * math.sqrt(root)) / (n + power_z**2)
    return found if found <= psi else None
