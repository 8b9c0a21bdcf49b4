"""A stream of random choices that depends on integers only.

It reads the raw 64-bit words of PCG64, whose output for a given ``SeedSequence`` NumPy guarantees for all versions and
platforms (NEP 19 gives no such promise for ``Generator`` methods), so a face is the same everywhere and for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_SCALE = 2.0**-53


class Stream:
    """Independent random choices for one tuple of non-negative integers.

    Args:
        *keys: Non-negative integers that name the stream, for example ``(seed, index, purpose)``.
    """

    def __init__(self, *keys: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(keys))
        self._words: list[int] = []

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        if not self._words:
            self._words = self._bits.random_raw(64).tolist()
        return low + (high - low) * ((self._words.pop() >> 11) * _SCALE)

    def around(self, middle: float, spread: float) -> float:
        """A number in ``middle +- spread`` with a triangular density, highest in the middle."""
        return middle + spread * (self.uniform() + self.uniform() - 1.0)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.uniform() < probability

    def integer(self, count: int) -> int:
        """A number in 0 .. count - 1."""
        return int(self.uniform() * count)

    def choice(self, items: Sequence[T]) -> T:
        """One of the items, all equally likely."""
        return items[self.integer(len(items))]

    def weighted(self, items: Sequence[tuple[T, float]]) -> T:
        """One of the (item, weight) pairs' items, with a probability proportional to its weight."""
        point = self.uniform(0.0, sum(weight for _, weight in items))
        for item, weight in items:
            point -= weight
            if point < 0.0:
                return item
        return items[-1][0]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order (Fisher-Yates)."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = self.integer(last + 1)
            result[last], result[other] = result[other], result[last]
        return result

    def octets(self, count: int) -> np.ndarray:
        """``count`` random bytes, uint8 of shape [count]; the same on little and big endian machines."""
        words = self._bits.random_raw((count + 7) // 8).astype("<u8")
        return words.view(np.uint8)[:count]
