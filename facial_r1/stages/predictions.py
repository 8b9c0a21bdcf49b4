"""Answers that are there already: of an earlier run, or of anyone's model, read from files in place of an engine."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facial_r1.config.suggest import did_you_mean
from facial_r1.data import Record
from facial_r1.data.problems import Problem
from facial_r1.data.rows import read_rows
from facial_r1.data.unibench import prediction_files
from facial_r1.errors import InputError
from facial_r1.stages import journal

#: Keys under which models' answers are found in the wild, in the order in which they are looked for.
TEXT_KEYS = ("completion", "model_response", "response", "prediction", "output", "answer", "text")
#: Keys that name the record; an image is compared by its file name.
ID_KEYS = ("id", "record_id", "key")
IMAGE_KEYS = ("image", "image_path", "images")

_SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")


def read_predictions(path: str | Path, records: Sequence[Record]) -> tuple[list[dict[str, Any]], list[str]]:
    """One answer for each record, in their order.

    Args:
        path: A run directory (its answers), a JSON lines or JSON array file, or a folder of such files. A row names its record
            by `id` (or `record_id`, `key`), else by the file name of its image, and carries the answer under one of `TEXT_KEYS`;
            `finish_reason` and `tokens` are taken along.
        records: What was asked.

    Returns:
        Rows `{"id", "completion", "finish_reason", "tokens"}`, and notes on what was not used.

    Raises:
        InputError: nothing can be read, a row has no answer or names no record, two rows answer the same record, or a record has
            no answer (leaving it out would change the denominator).
    """
    folder = Path(path).expanduser()
    rows = _rows(folder)
    names = _names(records)
    found: dict[str, dict[str, Any]] = {}
    strangers: list[str] = []
    for place, row in rows:
        name = _record_of(row, names, place)
        if name is None:
            strangers.append(place)
            continue
        if name in found:
            raise InputError(f"{place}: a second answer for record {name}: keep one row a record")
        found[name] = {
            "id": name,
            "completion": text_of(row, place),
            "finish_reason": row.get("finish_reason"),
            "tokens": row.get("tokens"),
        }
    missing = [record.id for record in records if record.id not in found]
    if missing:
        raise InputError(
            f"stage.predictions={path}: {len(missing)} of {len(records)} records have no answer, for example {missing[0]}. "
            'Add them (an empty answer, "completion": "", counts as wrong), or choose the rows with data.test_amount or data.test_files'
        )
    notes = [f"{len(strangers)} answers are for other records, for example {strangers[0]}: not used"] if strangers else []
    return [found[record.id] for record in records], notes


def digest(path: str | Path) -> str:
    """sha256 over the files that are scored, so that changed answers are scored again.

    They are those that `read_predictions` would read, else the label files of `facial_r1.data.unibench` at a path or pattern.
    """
    whole = hashlib.sha256()
    for file in _hashed(str(path)):
        whole.update(file.name.encode())
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()


def _hashed(path: str) -> list[Path]:
    place = Path(path).expanduser()
    released = glob.has_magic(path) and not place.exists()
    if place.is_dir():
        released = not (place / "samples.jsonl").is_file() and not any(file.name.endswith(_SUFFIXES) for file in place.iterdir())
        released = released and any(place.rglob("*.npz"))
    return prediction_files(path) if released or place.suffix == ".npz" else _files(place)


def _files(path: Path) -> list[Path]:
    """The files with answers at `path`; a run directory's journals come before what was made of them."""
    if not path.exists():
        raise InputError(f"stage.predictions={path}: there is no such file or folder")
    if not path.is_dir():
        return [path]
    journals = sorted(path.glob("answers.rank*.jsonl"))
    if journals:
        return journals
    if (path / "samples.jsonl").is_file():
        return [path / "samples.jsonl"]
    files = sorted(file for file in path.iterdir() if file.name.endswith(_SUFFIXES))
    if not files:
        raise InputError(f"stage.predictions={path}: neither a run directory nor a folder with .json or .jsonl files")
    return files


def _rows(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    files = _files(path)
    if files[0].name.startswith("answers.rank"):
        return [
            (f"{path}: record {name}", row) for name, row in {row["id"]: row for row in journal.read(path, "answers")}.items()
        ]
    found: list[tuple[str, Mapping[str, Any]]] = []
    for file in files:
        if file.suffix in (".npz", ".csv"):
            raise InputError(
                f"stage.predictions={file}: holds labels by clip, not answers; protocol=mer_unibench scores them against stage.truths"
            )
        for entry in read_rows(file):
            if isinstance(entry, Problem):
                raise InputError(f"stage.predictions: {entry}")
            line, row = entry
            found.append((f"{file}:{line}", row))
    return found


def _names(records: Sequence[Record]) -> dict[str, str | None]:
    """Record ids, and names of image files, to record ids; None for an image that several records show."""
    names: dict[str, str | None] = {}
    for record in records:
        for image in record.images:
            file = _file_name(image)
            names[file] = None if file in names else record.id
    return names | {record.id: record.id for record in records}


def _record_of(row: Mapping[str, Any], names: Mapping[str, str | None], place: str) -> str | None:
    for key in ID_KEYS:
        if key in row:
            return names.get(str(row[key]))
    for key in IMAGE_KEYS:
        if row.get(key):
            image = row[key][0] if isinstance(row[key], list) else row[key]
            file = _file_name(str(image))
            if file in names and names[file] is None:
                raise InputError(f"{place}: {file} is shown by several records: name the record by its id")
            return names.get(file)
    raise InputError(f"{place}: the row names no record: give its id ({', '.join(ID_KEYS)}) or its image")


def text_of(row: Mapping[str, Any], place: str) -> str:
    """The answer in a row, under the first of `TEXT_KEYS` that it has; null is "". Raises InputError when there is none."""
    for key in TEXT_KEYS:
        if key in row:
            if row[key] is None:
                return ""
            if not isinstance(row[key], str):
                raise InputError(f"{place}: {key} is {type(row[key]).__name__}, not text")
            return row[key]
    raise InputError(f"{place}: no answer in the row; {did_you_mean(next(iter(row), ''), TEXT_KEYS)}")


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]
