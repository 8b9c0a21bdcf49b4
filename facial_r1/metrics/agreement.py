"""How far two people who sorted the same rows into the same classes agree."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from facial_r1.metrics.bootstrap import Array, as_dicts, bootstrap, ratio


def agreement(
    first: Sequence[str],
    second: Sequence[str],
    classes: Sequence[str],
    clusters: Sequence[Hashable],
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Raw agreement and Cohen's kappa (Cohen 1960) with clustered bootstrap intervals; empty without rows.

    Args:
        first, second: The class that each of the two gave to each row.
        classes: All classes; their order does not matter.
        clusters: The subject of each row.
        resamples: 0 gives no intervals.
        seed: Of the draws.

    Returns:
        `raw` and `kappa` as ``{"value", "low", "high", "n", "clusters"}``. kappa is None where chance alone would agree always
        (both gave one and the same class to every row).
    """
    if not first:
        return {}
    size = len(classes)
    table = np.zeros((len(first), size * size))
    cells = [classes.index(one) * size + classes.index(two) for one, two in zip(first, second, strict=True)]
    table[np.arange(len(first)), cells] = 1.0
    return as_dicts(bootstrap(table, clusters, lambda totals: _statistic(totals, size), resamples, seed), ["raw", "kappa"])


def _statistic(totals: Array, size: int) -> Array:
    """Raw agreement and kappa from counts of pairs of classes, shape (..., size * size); shape (..., 2)."""
    table = totals.reshape(*totals.shape[:-1], size, size)
    n = table.sum((-1, -2))
    equal = ratio(np.trace(table, axis1=-2, axis2=-1), n)
    chance = ratio((table.sum(-1) * table.sum(-2)).sum(-1), n**2)
    return np.stack([equal, ratio(equal - chance, 1.0 - chance)], axis=-1)
