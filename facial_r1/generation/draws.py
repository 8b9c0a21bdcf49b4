"""Numbers that choose sampled tokens: a function of what is asked, not of what else is in the batch or on which rank it runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def seed_of(*parts: object) -> int:
    """A seed of 56 bits (vLLM takes 63) that follows from the parts, the same in every process.

    >>> seed_of(0, "a.jpg", 1) == seed_of("0", "a.jpg", "1")
    True
    """
    return int.from_bytes(hashlib.sha256("\n".join(map(str, parts)).encode()).digest()[:7], "big")


def uniform(seeds: Iterable[int], longest: int) -> Tensor:
    """Numbers in [0, 1), float64, shape (seeds, longest): one row for each seed."""
    rows = [torch.rand(longest, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows)
