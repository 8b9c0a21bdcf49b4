"""Balanced samples: rare action units and rare classes come often enough to be learnt, and repeats are never hidden."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from facial_r1.data.record import Record
from facial_r1.data.selection import rank

By = Literal["action_units", "labels"]

FLOOR = 0.03
"""Share of the sample that every code gets where there are rows enough; in the authors' balanced files of 2,000 rows the
rarest codes have 60 to 76 (`BP4D-gpt-c-Train`, `FABA-Train-2000`)."""


@dataclass(frozen=True, slots=True)
class Balanced:
    """A balanced sample.

    Attributes:
        rows: Indices into the records; an index that comes twice is a repeat.
        repeats: How many of `rows` are repeats.
        below: Codes that stay below their quota because rows with them run out, with how many they have.
    """

    rows: list[int]
    repeats: int
    below: dict[str, int]


def codes_of(record: Record, by: By) -> tuple[str, ...]:
    """What a record counts for: its action units, or its first label."""
    if by == "labels":
        return record.labels[:1]
    return tuple(record.AUs or ())


def balanced(
    records: Sequence[Record], amount: int, by: By, seed: int = 0, *, repeats: bool = False, floor: float = FLOOR
) -> Balanced:
    """Choose `amount` rows so that every code has at least its quota.

    Codes are served from the rarest to the most frequent: rows that carry the code are taken in a random order until the quota
    is met. With ``by="labels"`` the quota is an equal share for every class; with ``by="action_units"`` it is ``floor x amount``
    for every unit. What remains is filled with rows in a random order. The order depends on the seed and the record ids alone.

    Args:
        records: What there is.
        amount: Rows to choose; at most `len(records)` without repeats.
        by: What to balance.
        seed: Of the random order.
        repeats: Rows of rare codes may come more than once, as in the authors' files; each round takes every row once.
        floor: Share of the sample for each action unit.

    Raises:
        ValueError: `amount` is larger than what there is, without repeats.
    """
    if amount > len(records) and not repeats:
        raise ValueError(f"{amount} rows of {len(records)} need repeats")
    order = sorted(range(len(records)), key=lambda index: rank(seed, "balance", records[index].id))
    carried = [codes_of(record, by) for record in records]
    available = Counter(code for codes in carried for code in codes)
    if not available or not amount:
        return Balanced(order[:amount], 0, {})
    quota = math.ceil(amount / len(available)) if by == "labels" else math.ceil(floor * amount)
    holders = {code: [index for index in order if code in carried[index]] for code in available}
    chosen: list[int] = []
    times: Counter[int] = Counter()
    have: Counter[str] = Counter()

    def add(index: int) -> None:
        chosen.append(index)
        times[index] += 1
        have.update(carried[index])

    for code in sorted(available, key=lambda name: (available[name], name)):
        rounds = 0
        while have[code] < quota and len(chosen) < amount:
            fresh = [index for index in holders[code] if times[index] == rounds]
            for index in fresh:
                if have[code] >= quota or len(chosen) >= amount:
                    break
                add(index)
            rounds += 1
            if not repeats or rounds > quota:
                break
    rounds = 0
    while len(chosen) < amount:
        for index in [index for index in order if times[index] == rounds]:
            if len(chosen) >= amount:
                break
            add(index)
        rounds += 1
    below = {code: have[code] for code in sorted(available) if have[code] < quota}
    return Balanced(chosen, len(chosen) - len(times), below)
