"""What readers share: finding folders, listing pictures, reading tables with their line numbers."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from facial_r1.config.suggest import did_you_mean
from facial_r1.data.locate import IMAGE_SUFFIXES
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record

CLASS_FOLDERS = {
    "angry": "anger",
    "contempt": "contempt",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
}
"""Names of class folders, in lower case, to nouns."""


def first_folder(root: Path, *names: str) -> Path | None:
    """The first of the folders `names` below `root` that exists; "." is `root` itself."""
    return next((folder for name in names if (folder := Path(os.path.normpath(root / name))).is_dir()), None)


def first_file(root: Path, *names: str) -> Path | None:
    """The first of the files `names` below `root` that exists."""
    return next((file for name in names if (file := root / name).is_file()), None)


def pictures(folder: Path) -> list[str]:
    """Names of the image files directly in a folder, sorted; hidden files (also "._x.jpg" of macOS) are none."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122
        )


def subfolders(folder: Path) -> list[Path]:
    """The visible folders directly in a folder, sorted by name."""
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__MACOSX")))


def table(file: Path, problems: list[Problem], delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield `(line, cells)` for each row of a delimited file; blank rows are passed over, cells are stripped.

    What cannot be read as a row is added to `problems`. Lines count from 1; a row that spans several has its last.
    """
    with open(file, encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                fix = "mend the line: a quote is not closed, or the file is no table"
                problems.append(Problem(str(file), reader.line_num, "row", f"broken row: {error}", fix))
                continue
            cells = [cell.strip() for cell in cells]
            if any(cells):
                yield reader.line_num, cells


def words(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield `(line, words)` for each line of a file of words between blanks; blank lines are passed over."""
    with open(file, encoding="utf-8-sig", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            if parts := line.split():
                yield number, parts


def columns(file: Path, header: list[str], wanted: tuple[str, ...]) -> list[int] | Problem:
    """Where the columns `wanted` are in a header (case and blanks ignored), or a problem that names the one not there."""
    found = {name.strip().lower(): place for place, name in enumerate(header)}
    for name in wanted:
        if name.lower() not in found:
            reason = f"there is no column {name!r}; the columns are {', '.join(header[:12])}"
            return Problem(str(file), 1, name, reason, f"{did_you_mean(name.lower(), found)} Give the owner's file", True)
    return [found[name.lower()] for name in wanted]


def class_of(text: str, classes: Mapping[int, str]) -> str | None:
    """The label of a class id as written ("3", "3.0"); None when there is no such class."""
    try:
        number = float(text)
    except ValueError:
        return None
    return classes.get(int(number)) if number.is_integer() else None


def class_problem(file: Path, line: int, text: str, classes: Mapping[int, str]) -> Problem:
    """The problem of a class id that the set does not have."""
    known = ", ".join(f"{number} {label}" for number, label in classes.items())
    return Problem(str(file), line, "class", f"unknown class id {text!r}", f"the ids are {known}: mend or remove the line")


def row_problem(file: Path, line: int, cells: list[str], wanted: str) -> Problem:
    """The problem of a row that has not the cells it should have."""
    shown = " ".join(cells)[:60]
    return Problem(str(file), line, "row", f"broken row {shown!r}", f"a row is: {wanted}. Mend or remove the line")


def face(
    dataset: str,
    name: str,
    image: Path | str | None,
    label: str | None,
    split: str | None,
    source: str,
    meta_info: dict[str, object] | None = None,
) -> Record:
    """A record of an emotion set: one image, one label, no action units."""
    return Record(
        id=name,
        dataset=dataset,
        images=() if image is None else (str(image),),
        question="",
        AUs=None,
        labels=() if label is None else (label,),
        split=split,
        meta_info=dict(meta_info or {}),
        source=source,
    )
