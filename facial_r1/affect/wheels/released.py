"""The released tables (MER2025, MER2026), read from a folder that the user has; nothing of them is part of this package.

Read once, they are kept in the cache as one compact JSON file whose name holds the hash of what it was made from.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from facial_r1 import atomic
from facial_r1.affect.wheels.spreadsheet import read_xlsx
from facial_r1.affect.wheels.tables import WHEELS, Source, Tree, invert, sectors_of
from facial_r1.affect.wheels.trees import TREES
from facial_r1.affect.wheels.unpickling import read_object_npz
from facial_r1.errors import InputError

_SHEETS = ("synonym.xlsx", *(f"wheel{number}.xlsx" for number in range(1, WHEELS + 1)))
_NPZ = "wheel_mapping.npz"
_CACHE_FORMAT = 1
_RUN = re.compile(r"word_run(\d+)")
_Listed = Mapping[str, Sequence[str]]
_Sectors = Sequence[Sequence[Mapping[str, str]]]
_log = logging.getLogger(__name__)


def read_released(name: str, root: str | Path | None, cache: str | Path | None = None) -> Source:
    """The tables of a release.

    Args:
        name: ``mer2025`` or ``mer2026``.
        root: The folder ``emotion_wheel`` of the release (``format.csv`` and ``synonym.xlsx``, ``wheel1.xlsx`` ... ``wheel5.xlsx``, or
            ``wheel_mapping.npz``), or a folder that holds one named ``mer2025`` and/or ``mer2026``.
        cache: Where the compact file is kept; by default ``$FACIAL_R1_CACHE`` or ``~/.cache/facial_r1``.

    Raises:
        InputError: A file is missing or cannot be read; the message says which and what to do.
    """
    folder = _folder(name, root)
    paths, read = _plan(name, folder)
    digest = hashlib.sha256(f"{_CACHE_FORMAT} {name}".encode())
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    sha256 = digest.hexdigest()
    kept = _cache_folder(cache) / "wheels" / f"{name}-{sha256[:16]}.json"
    return _from_cache(kept, name, sha256) or _to_cache(kept, read(sha256))


def _folder(name: str, root: str | Path | None) -> Path:
    if root is None:
        raise InputError(
            f"wheels {name}: give the folder with the released tables (root=...); they are not part of this package. "
            "The source 'embedded' needs no folder"
        )
    folder = Path(root).expanduser()
    for candidate in (folder / name, folder / "emotion_wheel", folder):
        if (candidate / "format.csv").is_file():
            return candidate
    raise InputError(
        f"wheels {name}: no format.csv in {folder} or {folder / name}; give the folder 'emotion_wheel' of the release"
    )


def _plan(name: str, folder: Path) -> tuple[list[Path], Callable[[str], Source]]:
    """The files to read and how: what the release itself holds first, else the sheets of the release beside it."""
    table, npz = folder / "format.csv", folder / _NPZ
    if npz.is_file():
        return [table, npz], partial(_from_npz, name, npz)
    for candidate in (folder, folder.parent / "mer2025"):
        sheets = [candidate / sheet for sheet in _SHEETS]
        if all(sheet.is_file() for sheet in sheets):
            return [table, *sheets], partial(_from_sheets, name, table, sheets)
    missing = [sheet for sheet in _SHEETS if not (folder / sheet).is_file()]
    raise InputError(
        f"wheels {name}: {folder} has neither {_NPZ} nor {', '.join(missing)}; copy the folder of the release completely"
    )


def _source(name: str, forms: _Listed, labels: _Listed, trees: Sequence[Tree], sectors: _Sectors, sha256: str) -> Source:
    # The code released with the tables of 2025 divides by 0; that of 2026 does not.
    return Source(name, forms, labels, trees, sectors, nan=name == "mer2025", sha256=sha256)


# --- spreadsheets ----------------------------------------------------------------------------------------------------


def _from_sheets(name: str, table: Path, sheets: Sequence[Path], sha256: str) -> Source:
    trees = [_tree(sheet) for sheet in sheets[1:]]
    sectors = [[sectors_of(tree, 1), sectors_of(tree, 2)] for tree in trees]
    return _source(name, _forms(table), _synonyms(sheets[0]), trees, sectors, sha256)


def _forms(path: Path) -> dict[str, list[str]]:
    """Surface form to base words, from the rows ``name, format`` (a base word and its comma-separated forms)."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error}); give the file as it was released") from error
    listed: dict[str, list[str]] = {}
    for number, row in enumerate(rows, start=2):
        if row.get("name") is None or row.get("format") is None:
            raise InputError(f"{path}:{number}: the columns name and format are needed; give the file as it was released")
        base = row["name"].strip().lower()
        listed.setdefault(base, []).extend([base, *_items(row["format"])])
    return invert(listed)


def _synonyms(path: Path) -> dict[str, list[str]]:
    """Base word to wheel labels: each label stands for itself, and each synonym for every label that lists it in any run."""
    head, *rows = read_xlsx(path)
    runs = [number for column in head if (match := _RUN.fullmatch(column.strip())) and (number := match.group(1))]
    places = [(head.index(f"word_run{run}"), head.index(f"synonym_run{run}")) for run in runs if f"synonym_run{run}" in head]
    if not places:
        raise InputError(f"{path}: no columns word_run1, synonym_run1, ...; give the file as it was released")
    listed: dict[str, list[str]] = {}
    for row in rows:
        for word, synonyms in places:
            if word < len(row) and (label := row[word].strip().lower()):
                listed.setdefault(label, [label]).extend(_items(row[synonyms]) if synonyms < len(row) else ())
    return {base: sorted(labels) for base, labels in invert(listed).items()}


def _items(text: str) -> list[str]:
    return [item for part in text.split(",") if (item := part.strip().lower())]


def _tree(path: Path) -> Tree:
    head, *rows = read_xlsx(path)
    if [cell.strip() for cell in head[:3]] != ["level1", "level2", "level3"]:
        raise InputError(f"{path}: the columns level1, level2, level3 are needed; give the file as it was released")
    tree: dict[str, dict[str, list[str]]] = {}
    top = middle = ""
    for number, row in enumerate(rows, start=2):
        cells = [cell.strip().lower() for cell in (*row, "", "", "")[:3]]
        if not any(cells):
            continue
        top, middle = cells[0] or top, cells[1] or middle  # a blank cell repeats the one above
        if not (top and middle and cells[2]):
            raise InputError(f"{path}:{number}: a label is missing; give the file as it was released")
        tree.setdefault(top, {}).setdefault(middle, []).append(cells[2])
    return tree


# --- the archive of 2026 ---------------------------------------------------------------------------------------------


def _from_npz(name: str, path: Path, sha256: str) -> Source:
    content = read_object_npz(path)
    try:
        forms = {str(form): [str(base) for base in bases] for form, bases in content["format_mapping"].items()}
        labels = {str(base): sorted(map(str, listed)) for base, listed in content["raw_mapping"].items()}
        maps = [content["wheel_map_whole"][f"wheel{number}"] for number in range(1, WHEELS + 1)]
        sectors = [[dict(each["level1"]), dict(each["level2"])] for each in maps]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: format_mapping, raw_mapping and wheel_map_whole (wheel1 ... wheel5) are needed ({error}); "
            "give the file as it was released"
        ) from error
    # The archive holds where each label belongs, not how the wheels are drawn; the wheels themselves are the published ones.
    return _source(name, forms, labels, TREES, sectors, sha256)


# --- the cache -------------------------------------------------------------------------------------------------------


def _cache_folder(cache: str | Path | None) -> Path:
    return Path(cache or os.environ.get("FACIAL_R1_CACHE") or "~/.cache/facial_r1").expanduser()


def _from_cache(path: Path, name: str, sha256: str) -> Source | None:
    try:
        kept: Any = json.loads(path.read_text(encoding="utf-8"))
        if kept["sha256"] != sha256:
            return None
        return _source(name, kept["forms"], kept["labels"], kept["trees"], kept["sectors"], sha256)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there yet, or damaged: it is made anew


def _to_cache(path: Path, source: Source) -> Source:
    kept = ("sha256", "forms", "labels", "trees", "sectors")
    content = {key: getattr(source, key) for key in kept}
    try:
        atomic.write_text(path, json.dumps(content, ensure_ascii=False, separators=(",", ":")))
    except OSError as error:  # a read-only home folder costs time, not results
        _log.warning("the wheel tables are not cached: %s", error)
    return source
