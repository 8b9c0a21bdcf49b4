"""Tables of frame-by-frame AU occurrence: a column of frame numbers, then one column an action unit."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from facial_r1.affect import normalise_code
from facial_r1.data.problems import Problem
from facial_r1.data.sources.listing import table


@dataclass(frozen=True, slots=True)
class Coded:
    """One row of a table.

    Attributes:
        line: Line of the file, from 1.
        frame: Number of the frame, as written.
        present: Canonical codes of the units coded 1, in the order of the columns.
        unknown: Canonical codes of the units that could not be coded (hidden, out of view, not coded in this set).
    """

    line: int
    frame: int
    present: tuple[str, ...]
    unknown: tuple[str, ...]


def read_occurrence(
    path: Path, needed: Sequence[str], others: bool, unknown: Collection[str], problems: list[Problem]
) -> list[Coded]:
    """Rows of the table at `path`; what breaks its layout goes to `problems`.

    Args:
        needed: Canonical codes that must have a column.
        others: Whether columns of further action units are read too. Columns that FACS does not know are passed over.
        unknown: What is written for "not known", beside 0 (absent) and 1 (present).
    """
    lines = table(path, problems)
    first, header = next(lines, (0, []))
    columns = {code: at for at, cell in enumerate(header) if at and (code := normalise_code(cell)) is not None}
    missing = [code for code in needed if code not in columns]
    if missing:
        reason = f"no column for {', '.join(missing)}" if header else "the file is empty"
        fix = "the first line names the action unit of each column (frame, 1, 2, 4, ...): copy the file again"
        problems.append(Problem(str(path), first, "header", reason, fix))
        return []
    read = {code: at for code, at in columns.items() if others or code in needed}
    codes, places = tuple(read), tuple(read.values())
    known = {"0", "1", *unknown}
    rows: list[Coded] = []
    seen: set[int] = set()
    for line, cells in lines:
        if len(cells) != len(header) or not cells[0].isdecimal():
            reason = f"{len(cells)} cells, not {len(header)}" if cells[0].isdecimal() else f"{cells[0]!r} is no frame number"
            problems.append(Problem(str(path), line, "row", reason, "mend the line or remove it"))
            continue
        values = [cells[at] for at in places]
        if not known.issuperset(values):
            code, value = next((code, value) for code, value in zip(codes, values, strict=True) if value not in known)
            reason, fix = f"{value!r} is no code", "codes are 0 (absent), 1 (present) and 9 (unknown)"
            problems.append(Problem(str(path), line, code, reason, fix))
            continue
        frame = int(cells[0])
        if frame in seen:
            problems.append(Problem(str(path), line, "frame", f"frame {frame} is already above", "remove one of the two lines"))
            continue
        seen.add(frame)
        present = tuple(code for code, value in zip(codes, values, strict=True) if value == "1")
        hidden = tuple(code for code, value in zip(codes, values, strict=True) if value not in ("0", "1"))
        rows.append(Coded(line, frame, present, hidden))
    return rows
