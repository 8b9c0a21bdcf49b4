"""Weights of training rows by how rare their action units are.

The released Facial-R1 code derives a weight in 0..1 per row (`row_weights_compat`), and multiplies the loss of a whole batch with ten
times the sum of its rows' weights (`batch_factor_compat`), so that a batch of the commonest pattern learns nothing and another takes
a step up to eighty times as large. `row_weights` is a weighting of samples: mean 1, never 0. Scaling a row's advantages by its weight is
the same as scaling its policy-gradient loss (`facial_r1.training.row_weights`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from facial_r1.config.suggest import did_you_mean
from facial_r1.errors import InputError

_EPSILON = 1e-6
_HEAD_SCALE = 10.0


def row_weights(rows: Sequence[Collection[str] | None], power: float = 0.5) -> list[float]:
    """One weight per row, with mean 1.

    A unit shown by a share f of the rows with units counts f^-power, a row the mean of its units, and the rows with units are scaled to
    mean 1. Rows without units, coded or not, have weight 1: they say nothing about rarity.

    Args:
        rows: The codes of each training row.
        power: 0 gives all rows 1; 1 weighs a unit by its inverse frequency, which lets single rows of rare units dominate.

    Raises:
        InputError: A negative power.

    >>> [round(weight, 3) for weight in row_weights([["AU12"], ["AU12"], ["AU12"], ["AU9"], None], power=1.0)]
    [0.667, 0.667, 0.667, 2.0, 1.0]
    """
    if not power >= 0 or math.isinf(power):
        raise InputError(f"power={power}: give a number from 0")
    shown = [frozenset(row or ()) for row in rows]
    coded = sum(bool(units) for units in shown)
    count = Counter(unit for units in shown for unit in units)
    rarity = {unit: (times / coded) ** -power for unit, times in count.items()}
    raw = [math.fsum(rarity[unit] for unit in units) / len(units) if units else None for units in shown]
    mean = math.fsum(value for value in raw if value is not None) / coded if coded else 1.0
    return [1.0 if value is None else value / mean for value in raw]


# --- as released (specification 2.3 and 4.4) ---------------------------------------------------------------------------------
# Sums are plain ones, one after the other, as there: the last digit depends on it.


def unit_weights_compat(frequencies: Mapping[str, float]) -> dict[str, float]:
    """Weight of each unit, proportional to 1 / (its share of all frequencies + 1e-6); they sum to 1.

    >>> {unit: round(weight, 3) for unit, weight in unit_weights_compat({"AU1": 0.3, "AU2": 0.1}).items()}
    {'AU1': 0.25, 'AU2': 0.75}
    """
    total = sum(frequencies.values())
    if frequencies and total <= 0:
        raise InputError("frequencies of action units: all are 0; give the share of rows that show each")
    raw = {unit: 1 / (frequency / total + _EPSILON) for unit, frequency in frequencies.items()}
    whole = sum(raw.values())
    return {unit: weight / whole for unit, weight in raw.items()}


def row_weights_compat(rows: Sequence[Collection[str] | None], frequencies: Mapping[str, float]) -> list[float]:
    """Weights of the rows of one file, in 0..1: the sum over a row's units, min-max normalised inside the file; all equal gives 0.

    Args:
        rows: The codes of each row of the file.
        frequencies: Of the units, as the file's entry in the released configuration lists them.

    Raises:
        InputError: A row shows a unit without a frequency (a KeyError there).
    """
    weights = unit_weights_compat(frequencies)
    for row in rows:
        for unit in row or ():
            if unit not in weights:
                raise InputError(f"{unit}: has no frequency; {did_you_mean(unit, weights)}")
    sums = [sum(weights[unit] for unit in row or ()) for row in rows]
    if not sums:
        return []
    low, high = min(sums), max(sums)
    return [(value - low) / ((high - low) or 1.0) for value in sums]


def batch_factor_compat(weights: Sequence[float]) -> float:
    """What the released code multiplies a batch's loss with: ten times the sum of its rows' weights, one for each completion."""
    return _HEAD_SCALE * sum(weights)
