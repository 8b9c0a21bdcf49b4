"""Round axis marks, and moving averages for curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers that cover [low, high], at steps of 1, 2 or 5 times a power of ten."""
    if high - low <= 1e-9 * max(abs(low), abs(high)) or high - low < 1e-100:
        high = low + (abs(low) if abs(low) > 1e-100 else 1.0)
    raw = (high - low) / about
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(scale * factor for factor in (1, 2, 5, 10) if scale * factor >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def smooth(values: Sequence[float | None], half: int) -> list[float | None]:
    """Local linear regression with triangular weights over `half` points to either side; gaps stay gaps.

    In the middle of the line that is a weighted mean; at its ends, where points are on one side only, the fitted
    slope keeps it from lagging behind (Cleveland 1979, without the robustness iterations).
    """
    result: list[float | None] = []
    for at, value in enumerate(values):
        if value is None:
            result.append(None)
            continue
        near = range(max(at - half, 0), min(at + half, len(values) - 1) + 1)
        points = [(half + 1 - abs(k - at), k - at, v) for k in near if (v := values[k]) is not None]
        total = sum(w for w, _, _ in points)
        x_mean = sum(w * x for w, x, _ in points) / total
        v_mean = sum(w * v for w, _, v in points) / total
        spread = sum(w * (x - x_mean) ** 2 for w, x, _ in points)
        slope = sum(w * (x - x_mean) * (v - v_mean) for w, x, v in points) / spread if spread else 0.0
        result.append(v_mean - slope * x_mean)
    return result


def is_noisy(values: Sequence[float | None]) -> bool:
    """Whether a line goes up and down so much that a moving average helps the eye."""
    known = [value for value in values if value is not None]
    if len(known) < 30:
        return False
    way = sum(abs(after - before) for before, after in itertools.pairwise(known))
    return way > 2 * (max(known) - min(known))
