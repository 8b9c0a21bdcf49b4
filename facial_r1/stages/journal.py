"""Journals: JSON lines that ranks append while they work, read back after an interruption."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from facial_r1 import atomic
from facial_r1.disk import writing


def append(folder: Path, name: str, rank: int, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows to this rank's journal `<name>.rank<rank>.jsonl`, on a line of their own even after a kill cut the last one off."""
    path = folder / f"{name}.rank{rank}.jsonl"
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with writing(path.name, folder), path.open("ab+") as file:
        if file.tell():
            file.seek(-1, 2)
            text = text if file.read(1) == b"\n" else "\n" + text
        file.write(text.encode("utf-8"))


def read(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """Every row that the ranks have written; a line that a kill cut off is left out, its work is done again."""
    for file in sorted(folder.glob(f"{name}.rank*.jsonl")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


def replace(folder: Path, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Make `rows` all that the journal holds, in the file of rank 0. For one rank, while the others wait."""
    atomic.write_text(folder / f"{name}.rank0.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    for file in folder.glob(f"{name}.rank*.jsonl"):
        if file.name != f"{name}.rank0.jsonl":
            file.unlink()
