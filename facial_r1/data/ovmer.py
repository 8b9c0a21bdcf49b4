"""Files of OV-MER, AffectGPT and the MER challenges: labels by clip, who overlaps with whom, and the split that AffectGPT-R1 trains on.

All files list clips by name. Labels come in three styles (a quoted list, a list without quotes, words with commas), which one parser reads
(`facial_r1.affect.wheels.parsing`). Clips of test sets occur in training files (548 of the 1,532 clips with human labels are in
MER-Caption+ too), so whatever is trained on is passed through `exclude_names`, which says what it took out.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from facial_r1.affect.wheels.parsing import parse
from facial_r1.config.suggest import did_you_mean
from facial_r1.errors import InputError

T = TypeVar("T")

LABEL_COLUMNS = ("openset", "ovlabel", "label", "labels")
"""Columns that labels are looked for in, in this order."""


@dataclass(frozen=True, slots=True)
class Excluded:
    """What `exclude_names` did.

    Attributes:
        before: Clips that were there.
        names: Names to take out.
        removed: Clips taken out, that is, how many names the two have in common.
    """

    before: int
    names: int
    removed: int

    def __str__(self) -> str:
        left = self.before - self.removed
        return f"{self.before:,} clips, {self.removed:,} of them among the {self.names:,} names to exclude; {left:,} are left"


def read_labels(path: str | Path, column: str | None = None) -> dict[str, list[str]]:
    """Labels by clip name.

    Args:
        path: A CSV with the columns ``name`` and ``openset``, or an ``.npz`` with the arrays of strings ``filenames`` and ``fileitems``.
        column: The CSV column with the labels; by default the first of `LABEL_COLUMNS` that there is.

    Raises:
        InputError: The file is missing, broken or has no such column; names line and fix.
    """
    found = read_items(path, column)
    return {name: parse(text) for name, text in found.items()}


def read_items(path: str | Path, column: str | None = None) -> dict[str, str]:
    """What a file says about each clip, as text: the labels as written, or a sentiment word; files as for `read_labels`."""
    file = Path(path)
    if file.suffix == ".npz":
        return _from_npz(file)
    rows = _csv_rows(file)
    head = list(rows[0]) if rows else []
    chosen = column or next((name for name in LABEL_COLUMNS if name in head), None)
    if rows and chosen not in head:
        raise InputError(f"{file}:1: no column {chosen or ' or '.join(LABEL_COLUMNS)}; {did_you_mean(str(chosen), head)}")
    return _by_name(file, rows, str(chosen))


def read_texts(path: str | Path, column: str = "reason") -> dict[str, str]:
    """Free text by clip name: a column of a CSV (``reason``, ``english``, ...), or a JSON object, also gzipped.

    Raises:
        InputError: The file is missing, broken or has no such column.
    """
    file = Path(path)
    if file.suffix in (".json", ".gz"):
        try:
            content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            values = json.loads(content)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{file}: cannot be read ({error}); give a JSON object from name to text") from error
        if not isinstance(values, dict):
            raise InputError(f"{file}: holds a {type(values).__name__}; give a JSON object from name to text")
        return {str(name): str(text or "") for name, text in values.items()}
    rows = _csv_rows(file)
    if rows and column not in rows[0]:
        raise InputError(f"{file}:1: no column {column}; {did_you_mean(column, rows[0])}")
    return _by_name(file, rows, column)


def read_names(path: str | Path) -> list[str]:
    """The clip names of a CSV with the column ``name``, in order."""
    file = Path(path)
    return list(_by_name(file, _csv_rows(file), "name"))


def exclude_names(clips: Mapping[str, T], names: Iterable[str]) -> tuple[dict[str, T], Excluded]:
    """The clips without those named, and what was taken out.

    Example:
        >>> kept, report = exclude_names({"a": 1, "b": 2}, ["b", "c"])
        >>> str(report)
        '2 clips, 1 of them among the 2 names to exclude; 1 are left'
    """
    without = set(names)
    kept = {name: value for name, value in clips.items() if name not in without}
    return kept, Excluded(len(clips), len(without), len(clips) - len(kept))


def intersections(train: Mapping[str, Iterable[str]], test: Mapping[str, Iterable[str]]) -> dict[tuple[str, str], int]:
    """Names in common, for every pair of a training and a test set."""
    sets = {name: set(clips) for name, clips in test.items()}
    return {(one, two): len(set(clips) & others) for one, clips in train.items() for two, others in sets.items()}


def rl_split(human: str | Path, test_names: str | Path) -> tuple[dict[str, list[str]], Excluded]:
    """The clips that AffectGPT-R1 is trained on with reinforcement learning: human labels without OV-MERD+.

    That this is the split follows from the numbers: 1,532 clips with human labels in the MER2026 file, of which the 532 of OV-MERD+
    leave the 1,000 of the paper.

    Args:
        human: ``track2_train_human.csv`` of MER2026.
        test_names: A CSV with the names of OV-MERD+.

    Returns:
        Labels by clip name, clips without labels left out, and what was excluded.
    """
    kept, report = exclude_names(read_labels(human), read_names(test_names))
    return {name: labels for name, labels in kept.items() if labels}, report


def cold_start_records(
    texts: Mapping[str, str], labels: Mapping[str, Iterable[str]], dataset: str = "mercaptionplus", video: str = "{name}.mp4"
) -> list[dict[str, Any]]:
    """Records for supervised fine-tuning: a clip's description as reasoning, its labels as answer. Clips without either are left out.

    Args:
        texts: Description by clip name.
        labels: Labels by clip name.
        dataset: Name of the set in the records.
        video: Path of a clip, with ``{name}``.
    """
    records = []
    for name, text in texts.items():
        words = [word.strip() for word in labels.get(name, ()) if word.strip()]
        if not words or not text.strip():
            continue
        description = f"<think>{' '.join(text.split())}</think><answer>{', '.join(words)}</answer>"
        records.append(
            {
                "id": name,
                "dataset": dataset,
                "video": video.format(name=name),
                "labels": words,
                "AUs": None,
                "description": description,
            }
        )
    return records


def _csv_rows(path: Path) -> list[dict[str, str]]:
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path}: cannot be read as CSV ({error}); give a UTF-8 file with the columns name and openset"
        ) from error
    if rows and "name" not in rows[0]:
        raise InputError(f"{path}:1: no column name; {did_you_mean('name', [str(column) for column in rows[0]])}")
    return rows


def _by_name(path: Path, rows: list[dict[str, str]], column: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line, row in enumerate(rows, start=2):
        name = (row["name"] or "").strip()
        if not name:
            raise InputError(f"{path}:{line}: the name is empty; give every row the name of its clip")
        if name in found:
            raise InputError(f"{path}:{line}: the clip {name!r} is listed twice; keep one row")
        found[name] = row[column] or ""
    return found


def _from_npz(path: Path) -> dict[str, str]:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            names, items = arrays["filenames"], arrays["fileitems"]
    except KeyError as error:
        raise InputError(f"{path}: {error}; give an .npz with the arrays filenames and fileitems") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: cannot be read without running code from it ({error}); give one with arrays of strings"
        ) from error
    if names.shape != items.shape or names.ndim != 1:
        raise InputError(f"{path}: {names.shape} filenames and {items.shape} fileitems; give one item for each name")
    return {str(name): str(item) for name, item in zip(names.tolist(), items.tolist(), strict=True)}
