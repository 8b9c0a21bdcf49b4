"""Ids that name one row only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from facial_r1.data.convert import stem
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record


def unique_ids(records: list[Record]) -> tuple[list[Record], list[Problem], list[str]]:
    """Records with unique ids, problems for real duplicates, and notes on ids that were changed.

    The same id twice in a file, or on equal rows of two files, is a duplicate. Different rows of two files
    may share ids (files that count from 1 do): then every id of these files gets the file's name in front,
    whatever the order of the files.
    """
    first: dict[str, Record] = {}
    problems: list[Problem] = []
    clashing: dict[str, None] = {}
    kept = []
    for record in records:
        other = first.setdefault(record.id, record)
        if other is record:
            kept.append(record)
            continue
        file, line = place(record)
        if file == place(other)[0] or record == other:
            fix = "give each row its own id, or none (then made from file and line); weights repeat rows"
            problems.append(Problem(file, line, "id", f"id {record.id!r} is already that of {other.source}", fix))
        else:
            clashing |= {file: None, place(other)[0]: None}
            kept.append(record)
    if not clashing:
        return kept, problems, []
    prefixes = _distinct_names(list(clashing))
    renamed: list[Record] = []
    seen: dict[str, str] = {}
    for record in kept:
        file, line = place(record)
        if file in prefixes:
            record = replace(record, id=f"{prefixes[file]}:{record.id}")
        if record.id in seen:
            fix = "give each row its own id, or none (ids are then made from file and line)"
            problems.append(Problem(file, line, "id", f"id {record.id!r} is already that of {seen[record.id]}", fix))
            continue
        seen[record.id] = record.source
        renamed.append(record)
    names = ", ".join(sorted(prefixes.values()))
    return renamed, problems, [f"the files {names} share ids; their ids now start with the file's name"]


def _distinct_names(files: list[str]) -> dict[str, str]:
    """A short distinct name for each file: its stem, with as many parent folders as it takes."""
    depth = 1
    while True:
        names = {file: "/".join([*Path(file).parts[-depth:-1], stem(Path(file))]) for file in files}
        if len(set(names.values())) == len(files) or depth > 64:
            return names
        depth += 1


def place(record: Record) -> tuple[str, int]:
    """File and line that a record was read from."""
    file, _, line = record.source.rpartition(":")
    return file, int(line)
