"""A mixture: rows of several sources, each with an amount and a weight; repeats are counted and shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import floor
from typing import Any, overload

from facial_r1.data.balance import By, balanced
from facial_r1.data.record import Record
from facial_r1.data.records import fingerprint, summarise
from facial_r1.data.selection import Amount, choose, filled, occurrences, rows_of
from facial_r1.errors import InputError

_COLUMNS = (
    "source",
    "available",
    "rows",
    "repeats",
    "weight",
    "subjects",
    "labelled",
    "labels",
    "coded",
    "AUs",
    "described",
    "skipped",
    "invalid",
)


@dataclass(frozen=True, slots=True)
class Part:
    """One source of a mixture.

    Attributes:
        name: shown in tables.
        records: its rows, each once.
        amount: rows or fraction of them to use; None uses all.
        weight: how often each used row comes in one pass: 2 is every row twice, 1.5 half of the rows twice,
            0.5 half of the rows once.
        skipped: number of bad rows that were left out.
        invalid: number of rows left out because they say `is_valid: false`.
        balance: what the rows of the amount are balanced by; None takes them as they come.
        repeats: whether rows of what is rare may come more than once in a balanced amount.
    """

    name: str
    records: Sequence[Record]
    amount: Amount = None
    weight: float = 1.0
    skipped: int = 0
    invalid: int = 0
    balance: By | None = None
    repeats: bool = False


@dataclass(frozen=True)
class Mixture(Sequence[Record]):
    """The rows of one side of a run, repeats included, in the order of the sources.

    Build it with `mix`. A row that repeats is the same `Record` object each time.

    Attributes:
        records: the rows.
        parts: name of the source of each row, aligned with `records`.
        sources: what was available, for the table.
        seed: seed of the selection.
        digests: image digests where known, so that the fingerprint does not read images again.
        notes: what the user should know about the choice of rows, each one line.
    """

    records: list[Record] = field(repr=False)
    parts: list[str] = field(repr=False)
    sources: tuple[Part, ...] = ()
    seed: int = 0
    digests: Mapping[str, str] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    @property
    def unique(self) -> list[Record]:
        """The rows, each once."""
        return list({record.id: record for record in self.records}.values())

    @property
    def repeats(self) -> int:
        """Rows that are there already."""
        return len(self.records) - len({record.id for record in self.records})

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the rows, images and repeats; see `facial_r1.data.records.fingerprint`."""
        return fingerprint(self.records, self.digests)

    def having(self, *names: str) -> Mixture:
        """Only the rows in which the published fields `names` are filled: `having("description")`."""
        return self.only({id(record) for record in filled(self.records, names)})

    def take(self, amount: Amount, seed: int | None = None, name: str = "data.amount", kind: str = "rows") -> Mixture:
        """`amount` of the rows; see `facial_r1.data.selection.take`. `kind` names the rows in messages."""
        seed = self.seed if seed is None else seed
        indices = choose(occurrences(self.records), rows_of(amount, len(self.records), name, kind), seed)
        return self._only(indices)

    def only(self, keep: Collection[int]) -> Mixture:
        """The rows whose `id()` is among `keep`, in their order."""
        return self._only([index for index, record in enumerate(self.records) if id(record) in keep])

    def _only(self, indices: Sequence[int]) -> Mixture:
        records = [self.records[index] for index in indices]
        return Mixture(records, [self.parts[index] for index in indices], self.sources, self.seed, self.digests, self.notes)

    def summary(self) -> dict[str, Any]:
        """Counts over all rows (see `summarise`), repeats, and the table by source."""
        return summarise(self.records) | {"repeats": self.repeats, "sources": self.table()}

    def table(self) -> list[dict[str, Any]]:
        """One mapping a source: what was available, what is used, what it shows, what was left out."""
        by_part: dict[str, list[Record]] = {part.name: [] for part in self.sources}
        for record, name in zip(self.records, self.parts, strict=True):
            by_part[name].append(record)
        rows = []
        for part in self.sources:
            counts = summarise(by_part[part.name])
            rows.append(
                {
                    "source": part.name,
                    "available": len(part.records),
                    "rows": counts["rows"],
                    "repeats": counts["rows"] - counts["ids"],
                    "weight": part.weight,
                    "subjects": counts["subjects"],
                    "labelled": counts["labelled"],
                    "labels": counts["labels"],
                    "coded": counts["coded"],
                    "AUs": counts["AUs"],
                    "described": counts["described"],
                    "skipped": part.skipped,
                    "invalid": part.invalid,
                }
            )
        return rows

    def describe(self) -> str:
        """The table as text, followed by the counts of classes and action units of each source and of all."""
        rows = self.table()
        if len(rows) > 1:
            rows.append(self._total(rows))
        cells = [[_cell(row[name]) for name in _COLUMNS] for row in rows]
        widths = [max(len(row[i]) for row in [list(_COLUMNS), *cells]) for i in range(len(_COLUMNS))]
        lines = [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in [list(_COLUMNS), *cells]
        ]
        for row in rows:
            for name in ("labels", "AUs"):
                if row[name]:
                    counts = ", ".join(f"{key} {count}" for key, count in row[name].items())
                    lines.append(f"{row['source']}: {name}: {counts}")
        return "\n".join(lines)

    def _total(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        sums = {name: sum(row[name] for row in rows) for name in ("available", "skipped", "invalid")}
        return summarise(self.records) | sums | {"source": "all", "repeats": self.repeats, "weight": ""}


def _cell(value: Any) -> str:
    """Text of a table cell: a count of kinds for a mapping of counts."""
    return str(len(value)) if isinstance(value, Mapping) else f"{value:g}" if isinstance(value, float) else str(value)


def mix(
    parts: Sequence[Part],
    amount: Amount = None,
    seed: int = 0,
    having: Collection[str] = (),
    digests: Mapping[str, str] | None = None,
    name: str = "data.amount",
    balance: By | None = None,
    repeats: bool = False,
) -> Mixture:
    """Rows of all `parts`: of each its amount, as often as its weight says, and of these `amount`.

    Args:
        amount: rows or fraction of the whole mix; None keeps all.
        seed: which rows are taken; amounts nest, whatever the order of parts and rows. Balanced ones do not: what is rare fills
            another share of a larger sample.
        having: fields that must be filled; other rows are not available to the amounts.
        digests: image digests by path, where known.
        name: of the amount of the whole, for messages.
        balance: what the amount of the whole is balanced by.
        repeats: whether rows of what is rare may come more than once in it.

    Raises:
        InputError: an amount larger than what there is, or a weight that is not positive.
    """
    names = Counter(part.name for part in parts)
    repeated = [part for part, count in names.items() if count > 1]
    if repeated:
        raise ValueError(f"two parts are named {repeated[0]!r}")
    records: list[Record] = []
    owners: list[str] = []
    notes: list[str] = []
    for part in parts:
        usable = filled(part.records, having) if having else list(part.records)
        where = f"amount of {part.name}"
        chosen, said = sample(usable, part.amount, seed, where, balance=part.balance, repeats=part.repeats)
        rows = _weighted([usable[index] for index in chosen], part, seed)
        notes += said
        records += rows
        owners += [part.name] * len(rows)
    whole = Mixture(records, owners, tuple(parts), seed, digests or {}, tuple(notes))
    if amount is None:
        return whole
    kind = f"rows with {' and '.join(having)}" if having else "rows"
    indices, said = sample(records, amount, seed, name, kind, balance=balance, repeats=repeats)
    return replace(whole._only(indices), notes=(*notes, *said))


def sample(
    records: Sequence[Record],
    amount: Amount,
    seed: int = 0,
    name: str = "data.amount",
    kind: str = "rows",
    *,
    balance: By | None = None,
    repeats: bool = False,
) -> tuple[list[int], list[str]]:
    """Which rows an amount takes: indices (one that comes twice is a repeat), and notes on codes that stay rare.

    Without `balance` they are those of `facial_r1.data.selection.take`. No amount takes every row once.

    Raises:
        InputError: an amount larger than what there is (a balanced one with repeats may be).
    """
    if balance is None or amount is None:
        return choose(occurrences(records), rows_of(amount, len(records), name, kind), seed), []
    beyond = repeats and amount > max(1, len(records)) and amount == int(amount)
    count = int(amount) if beyond else rows_of(amount, len(records), name, kind)
    if not records:
        return [], []
    found = balanced(records, count, balance, seed, repeats=repeats)
    notes = []
    if found.repeats:
        notes.append(f"{name}: {found.repeats} of {count} rows are repeats, to balance {_BALANCED[balance]}")
    if found.below:
        rare = ", ".join(f"{code} {number}" for code, number in found.below.items())
        more = "" if repeats else "; repeats=true would repeat their rows"
        notes.append(f"{name}: rows with some {_BALANCED[balance]} run out before their share of {count} is full ({rare}){more}")
    return sorted(found.rows), notes


_BALANCED = {"action_units": "action units", "labels": "classes"}


def _weighted(rows: list[Record], part: Part, seed: int) -> list[Record]:
    if not part.weight > 0:
        raise InputError(f"the weight of {part.name} is {part.weight}: give a positive number, 1 is each row once")
    times = floor(part.weight)
    rest = round((part.weight - times) * len(rows))
    extra = choose([(record.id, "weight") for record in rows], rest, seed)
    return rows * times + [rows[index] for index in extra]
