"""Which side of a job each row is on: as its files, its owner, a fold or `data.split` say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facial_r1.data.files import Files, owners
from facial_r1.data.identity import place
from facial_r1.data.owned import entry_name, named, protocol_of
from facial_r1.data.protocol import Protocol
from facial_r1.data.record import Record
from facial_r1.data.records import Records
from facial_r1.data.selection import by_fold, divide, split_side
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from facial_r1.config.schema import Data as DataConfig


def divide_files(
    loaded: Records,
    sources: Sequence[Files],
    config: DataConfig,
    rules: Protocol,
    own_test: bool,
    notes: list[str],
) -> tuple[list[Record], list[Record]]:
    """Train and test rows of the files that are not for testing alone.

    Sources that name a side keep all rows on it. Of the others, rows for testing or validation are left out
    where there are test files; else they are divided, by `data.fold` or as `data.split` says. A part of a mix
    whose owner names no sides is divided by itself.
    """
    owner = owners(sources)
    fixed: list[Record] = []
    free: list[Record] = []
    whole: dict[int, list[Record]] = {}
    for record in loaded:
        source = owner[place(record)[0]]
        if source.whole:
            assert source.entry is not None
            whole.setdefault(source.entry, []).append(record)
        else:
            (fixed if source.split == "train" else free).append(record)
    tests: list[Record] = []
    for number, rows in whole.items():
        train, test = _divide_entry(rows, number, config, notes)
        fixed += train
        tests += test
    if config.fold is not None and (own_test or not free):
        raise InputError(f"data.fold={config.fold}: the rows have a test side of their own; set data.fold=null")
    if own_test or tests or not free:
        return fixed + _leave_out(free, "test", "data.files", notes), tests
    if config.fold is not None:
        divided = by_fold(free, rules.folds, config.fold)
    else:
        divided = divide(free, config.split.by, config.split.test, config.split.seed)
        if rules.folds:
            notes.append(_folds_exist(rules, "data"))
    notes += divided.notes
    return fixed + divided.train, list(divided.test)


def _divide_entry(
    rows: list[Record], number: int, config: DataConfig, notes: list[str]
) -> tuple[Sequence[Record], Sequence[Record]]:
    """The sides of a set of a mix whose owner names none: by its `fold`, else as `data.split` says."""
    entry, name = config.sources[number], entry_name(config, number)
    if entry.split is not None:
        return (rows, []) if entry.split == "train" else ([], rows)
    rules = protocol_of(config, entry)
    with named(config, number):
        if entry.fold is not None:
            divided = by_fold(rows, rules.folds, entry.fold)
        else:
            divided = divide(rows, config.split.by, config.split.test, config.split.seed)
            if rules.folds:
                notes.append(_folds_exist(rules, f"data.sources.{name}"))
    notes += [f"{name}: {note}" for note in divided.notes]
    return divided.train, divided.test


def _folds_exist(rules: Protocol, where: str) -> str:
    return (
        f"protocol {rules.name} is scored by {len(rules.folds)} folds: {where}.fold=0 to {len(rules.folds) - 1} choose the test "
        "side; without it, data.split does"
    )


def for_test(loaded: Records, config: DataConfig, notes: list[str]) -> list[Record]:
    """Rows of the test files, without those that say that they are for training."""
    if config.kind == "schematic":
        return list(loaded)
    return _leave_out(loaded.records, "train", "data.test_files", notes)


def _leave_out(records: Sequence[Record], other: str, name: str, notes: list[str]) -> list[Record]:
    keep = [record for record in records if split_side(record) not in (other, "validation")]
    if len(keep) < len(records):
        count = len(records) - len(keep)
        notes.append(f"{count} rows of {name} say that they are for {other} or validation: left out")
    return keep
