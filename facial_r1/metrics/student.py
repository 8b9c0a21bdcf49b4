"""Student's t distribution, as far as intervals over few clusters need it."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_NORMAL = NormalDist()
_MANY = 1_000


def t_cdf(t: float, degrees: int) -> float:
    """P(T <= t) with a whole number of degrees of freedom.

    Finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4 up to 1,000 degrees, the normal distribution with the first
    correction term (26.7.8) beyond, where both agree to 7 digits.
    """
    if degrees < 1:
        raise ValueError(f"degrees={degrees}: at least 1")
    if degrees > _MANY:
        return _NORMAL.cdf(t * (1 - 1 / (4 * degrees)) / math.sqrt(1 + t * t / (2 * degrees)))
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for index in range(3 if odd else 2, degrees - 1, 2):
        term *= cosine * cosine * (index - 1) / index
        total += term
    central = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return min(1.0, max(0.0, 0.5 + central / 2))


@lru_cache(maxsize=256)
def t_quantile(probability: float, degrees: int) -> float:
    """The t with P(T <= t) = probability, by bisection to 1e-12 (relative)."""
    if not 0 < probability < 1:
        raise ValueError(f"probability={probability}: between 0 and 1")
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees)
    low, high = 0.0, 1.0
    while t_cdf(high, degrees) < probability:
        high *= 2
    while high - low > 1e-12 * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, degrees) < probability else (low, middle)
    return (low + high) / 2
