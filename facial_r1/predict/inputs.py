"""What to look at: files of pictures, videos and sounds, folders of them, files of records, and lines of standard input."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from facial_r1.config.suggest import nearest
from facial_r1.data.convert import RowReader
from facial_r1.data.locate import IMAGE_SUFFIXES, ImageFinder, absolute
from facial_r1.data.media.finding import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from facial_r1.data.problems import Problem
from facial_r1.data.protocol import Protocol
from facial_r1.data.record import Record
from facial_r1.data.rows import read_rows

DATASET = "predicted"
"""`dataset` of rows that are made of picture files."""
STANDARD_INPUT = "-"
_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES | AUDIO_SUFFIXES

_ROWS = (".jsonl", ".json", ".ndjson")
_KNOWN = ("AUs", "labels", "description", "is_valid")
"""What a row says about its face: it is what is asked for, so it is neither read nor shown to the model."""


@dataclass
class Inputs:
    """What was found.

    Attributes:
        records: To be asked about, each id once.
        problems: What cannot be looked at, each with its fix.
    """

    records: list[Record] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _with_id: dict[str, list[Record]] = field(default_factory=dict, repr=False)

    def add(self, record: Record) -> None:
        """Keep a record; a picture that is there already is not asked about twice, and an id that is taken gets a number."""
        same = self._with_id.setdefault(record.id, [])
        if record not in same:
            same.append(record)
            self.records.append(record if len(same) == 1 else replace(record, id=f"{record.id} ({len(same)})"))


def gather(
    paths: Sequence[str], lines: Iterable[str], protocol: Protocol, *, recursive: bool = False, question: str = ""
) -> Inputs:
    """Records for everything that `paths` name, in their order; folders in the order of their names.

    Args:
        paths: Pictures, videos, sounds, folders, JSON or JSON lines files of records, or `-` for `lines`.
        lines: Standard input: a path or a record as JSON on each line.
        protocol: Reads the candidate labels of records.
        recursive: Look into the folders of folders.
        question: Asked of files; records carry their own, this one is for those without.
    """
    found = Inputs()
    for path in paths:
        if path == STANDARD_INPUT:
            _from_lines(found, lines, protocol, recursive, question)
        else:
            _from_path(found, path, protocol, recursive, question)
    return found


def _from_path(found: Inputs, name: str, protocol: Protocol, recursive: bool, question: str) -> None:
    path = absolute(name)
    if path.is_dir():
        _from_folder(found, path, recursive, question)
    elif not path.exists():
        found.problems.append(Problem(name, 0, "path", "there is no such file or folder", _nearby(path)))
    elif path.name.lower().removesuffix(".gz").endswith(_ROWS):
        reader = _reader(path, protocol)
        for item in read_rows(path):
            if isinstance(item, Problem):
                found.problems.append(item)
            else:
                _from_row(found, reader, *item, question)
        found.problems += reader.problems
    else:
        found.add(_shown(path, question))


def _from_folder(found: Inputs, folder: Path, recursive: bool, question: str) -> None:
    files = folder.rglob("*") if recursive else folder.iterdir()
    own = sorted(path for path in files if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."))
    videos = {path.with_suffix("") for path in own if path.suffix.lower() in VIDEO_SUFFIXES}
    for path in own:
        if path.suffix.lower() in AUDIO_SUFFIXES and path.with_suffix("") in videos:
            continue  # the sound of the video of this name
        found.add(_shown(path, question))
    if not own:
        deeper = not recursive and any(path.suffix.lower() in _SUFFIXES for path in folder.rglob("*"))
        known = f"{', '.join(sorted(IMAGE_SUFFIXES))} files, of videos or of sounds"
        fix = "its folders hold some: --recursive" if deeper else f"give a folder of {known}"
        found.problems.append(Problem(str(folder), 0, "folder", "there are no pictures, videos or sounds in it", fix))


def _from_lines(found: Inputs, lines: Iterable[str], protocol: Protocol, recursive: bool, question: str) -> None:
    reader = _reader(Path.cwd() / "standard input", protocol)
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        if not text.startswith("{"):
            _from_path(found, text, protocol, recursive, question)
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            reason = f"broken JSON at column {error.colno}: {error.msg}"
            fix = "write each record on one line, or a path without braces"
            found.problems.append(Problem("standard input", number, "json", reason, fix))
            continue
        _from_row(found, reader, number, row, question)
    found.problems += [replace(problem, file="standard input") for problem in reader.problems]


def _from_row(found: Inputs, reader: RowReader, line: int, row: dict[str, Any], question: str) -> None:
    record = reader.read(line, {key: value for key, value in row.items() if key not in _KNOWN})
    if record is not None:
        found.add(replace(record, question=record.question or question, source=""))


def _reader(file: Path, protocol: Protocol) -> RowReader:
    return RowReader(file, ImageFinder(file, None), protocol, ("image",), DATASET)


def _shown(path: Path, question: str) -> Record:
    """A row for a file; its id is its path, as seen from here where it lies below. A sound of a video's name goes with the video."""
    here = Path.cwd()
    name = path.relative_to(here) if path.is_relative_to(here) else path
    record = Record(name.as_posix(), DATASET, (), question, None, ())
    if path.suffix.lower() in VIDEO_SUFFIXES:
        beside = (path.with_suffix(suffix) for suffix in sorted(AUDIO_SUFFIXES))
        sound = next((other for other in beside if other.is_file()), "")
        return replace(record, video=os.fspath(path), audio=os.fspath(sound))
    if path.suffix.lower() in AUDIO_SUFFIXES:
        return replace(record, audio=os.fspath(path))
    return replace(record, images=(os.fspath(path),))


def _nearby(path: Path) -> str:
    siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    close = nearest(path.name, siblings)
    return f"did you mean {path.parent / close}?" if close else f"check the path; relative ones start from {Path.cwd()}"
