"""Which rows: amounts that nest, splits that keep people apart. Hashes of ids decide, not row order."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from facial_r1.config.suggest import did_you_mean
from facial_r1.data.record import Record
from facial_r1.errors import InputError

Amount = int | float | None
By = Literal["subject", "record", "field"]

SPLIT_NAMES: dict[str, str] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
"""What the values of a `split` field mean, in lower case."""


def rank(seed: int, *parts: object) -> bytes:
    """A number-like key that orders things at random, the same way everywhere, by seed and name alone."""
    text = "\x1f".join([str(seed), *map(str, parts)])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def rows_of(amount: Amount, available: int, name: str = "data.amount", kind: str = "rows") -> int:
    """How many rows `amount` means: None all, a whole number, or a fraction in (0, 1.0] (at least one row).

    Raises:
        InputError: not positive, no whole number, or more than there are.
    """
    if amount is None:
        return available
    if isinstance(amount, bool) or amount <= 0 or (amount > 1 and amount != int(amount)):
        raise InputError(f"{name}={amount}: give a number of rows, or a fraction up to 1.0")
    if isinstance(amount, float) and amount <= 1:
        return min(available, max(1, round(amount * available)))
    if amount > available:
        limit = f"give at most {available}, or null for all"
        raise InputError(f"{name}={int(amount)}, but there are {available} {kind}: {limit}")
    return int(amount)


def choose(keys: Sequence[Sequence[object]], count: int, seed: int) -> list[int]:
    """Indices, ascending, of `count` of the items that `keys` name; a smaller count gives a subset."""
    if count >= len(keys):
        return list(range(len(keys)))
    order = sorted(range(len(keys)), key=lambda index: rank(seed, *keys[index]))
    return sorted(order[:count])


def take(records: Sequence[Record], amount: Amount, seed: int = 0, name: str = "data.amount") -> list[Record]:
    """`amount` of `records`, in their order.

    Which rows are taken depends on `seed` and the ids only: 64 rows are among the 256 rows of the same seed,
    also when the files come in another order. Rows that occur several times count as often.
    """
    indices = choose(occurrences(records), rows_of(amount, len(records), name), seed)
    return [records[index] for index in indices]


def occurrences(records: Iterable[Record]) -> list[tuple[str, int]]:
    """`(id, how often it came before)` of each row, so that repeats have names of their own."""
    seen: Counter[str] = Counter()
    keys = []
    for record in records:
        keys.append((record.id, seen[record.id]))
        seen[record.id] += 1
    return keys


@dataclass(frozen=True, slots=True)
class Sides:
    """Rows of the train and the test side, and what was noticed while dividing them."""

    train: list[Record]
    test: list[Record]
    notes: list[str] = field(default_factory=list)


def divide(records: Sequence[Record], by: By = "subject", test: float = 0.1, seed: int = 0) -> Sides:
    """Divide rows into a train and a test side.

    Rows that carry a `split` decide for themselves; rows for validation are on neither side. Only where no
    row carries one, a share of `test` is cut off: by subject nobody is on both sides (rows without a subject
    go by their image), by record each row goes its own way. Groups go to the test side in an order that
    depends on `seed` and their names, until it has at least its share; one group is always left for training.

    Raises:
        InputError: `by="field"` and a row without `split`, or a value of it that means nothing.
    """
    carried = [record for record in records if record.split is not None]
    if by == "field" and len(carried) < len(records):
        without = next(record for record in records if record.split is None)
        count = len(records) - len(carried)
        raise InputError(
            f"{without.source}: split: {count} of {len(records)} rows have none: "
            'add "split": "train" or "test" to each row, or set data.split.by=subject'
        )
    if carried:
        return _by_field(records)
    if by == "record":
        return _cut(records, [record.id for record in records], test, seed)
    groups = [record.subject or "\x00" + "\x1f".join(record.images or _shown(record)) for record in records]
    sides = _cut(records, groups, test, seed)
    nameless = sum(record.subject is None for record in records)
    if nameless and sides.test:
        sides.notes.append(f"{nameless} of {len(records)} rows have no subject: a person may be on both sides of the split")
    return sides


def _shown(record: Record) -> tuple[str, ...]:
    """What stands for who is shown where there is neither subject nor picture: the clip, else the row itself."""
    return (record.video or record.audio or record.id,)


def by_fold(records: Sequence[Record], folds: Sequence[Collection[str]], fold: int) -> Sides:
    """The subjects of fold number `fold` on the test side, all others on the train side.

    Raises:
        InputError: there is no such fold, a row has no subject, or no row is of a subject of the fold.
    """
    if not folds:
        raise InputError(f"data.fold={fold}: the protocol has no folds; set data.protocol.folds=[[...], [...]] or data.fold=null")
    if fold >= len(folds):
        raise InputError(f"data.fold={fold}: there are {len(folds)} folds, give 0 to {len(folds) - 1} or null")
    nameless = next((record for record in records if record.subject is None), None)
    if nameless is not None:
        raise InputError(
            f"{nameless.source}: subject: data.fold={fold} needs the subject of each row; add it, or set data.fold=null"
        )
    tested = set(folds[fold])
    sides = Sides([], [])
    for record in records:
        (sides.test if record.subject in tested else sides.train).append(record)
    if records and not sides.test:
        seen = sorted({str(record.subject) for record in records})
        raise InputError(
            f"data.fold={fold}: no row is of a subject of this fold ({', '.join(sorted(tested)[:5])}, ...); "
            f"the subjects of the rows are {', '.join(seen[:5])}{', ...' if len(seen) > 5 else ''}"
        )
    known = {subject for part in folds for subject in part}
    others = sorted({str(record.subject) for record in sides.train} - known)
    if others:
        sides.notes.append(f"{len(others)} subjects are in no fold, for example {others[0]}: they are on the train side")
    return sides


def _cut(records: Sequence[Record], groups: Sequence[str], test: float, seed: int) -> Sides:
    sizes = Counter(groups)
    order = sorted(sizes, key=lambda group: rank(seed, "split", group))
    wanted = max(1, round(test * len(records))) if test > 0 else 0
    chosen: set[str] = set()
    rows = 0
    for group in order[:-1]:
        if rows >= wanted:
            break
        chosen.add(group)
        rows += sizes[group]
    sides = Sides([], [])
    for record, group in zip(records, groups, strict=True):
        (sides.test if group in chosen else sides.train).append(record)
    if wanted and not chosen:
        sides.notes.append("all rows are of one subject or image: nothing is left for a test side")
    return sides


def _by_field(records: Sequence[Record]) -> Sides:
    sides = Sides([], [])
    counts: Counter[str] = Counter()
    for record in records:
        side = split_side(record)
        counts[side] += 1
        if side == "test":
            sides.test.append(record)
        elif side in ("train", ""):
            sides.train.append(record)
    if counts["validation"]:
        sides.notes.append(f"{counts['validation']} rows are for validation and are on neither side")
    if counts[""]:
        sides.notes.append(f"{counts['']} rows have no split while others do: they are on the train side")
    return sides


def split_side(record: Record) -> str:
    """ "train", "validation" or "test" for the record's `split`; "" when it has none.

    Raises:
        InputError: a value that means none of them.
    """
    if record.split is None:
        return ""
    side = SPLIT_NAMES.get(record.split.lower())
    if side is None:
        hint = did_you_mean(record.split, SPLIT_NAMES)
        raise InputError(f"{record.source}: split: {record.split!r} is no split; {hint}")
    return side


def filled(records: Iterable[Record], names: Collection[str]) -> list[Record]:
    """Records in which all the published fields `names` are filled (AUs: coded, also when none is active)."""
    return [record for record in records if all(_is_filled(record, name) for name in names)]


def _is_filled(record: Record, name: str) -> bool:
    if name == "AUs":
        return record.AUs is not None
    value = getattr(record, "images" if name == "image" else name)
    return bool(value.strip() if isinstance(value, str) else value)
