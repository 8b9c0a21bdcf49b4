"""Records from JSONL files: found, read and checked all at once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from facial_r1.config.suggest import nearest
from facial_r1.data.convert import FIELDS, RowReader, stem
from facial_r1.data.identity import place, unique_ids
from facial_r1.data.images import ImageError, ImageFacts, verify
from facial_r1.data.locate import ImageFinder, absolute
from facial_r1.data.media.checking import Wanted, check_media, media_of, narrow
from facial_r1.data.media.finding import MediaFinder
from facial_r1.data.problems import Problem, describe_problems, fail, skipped_rows
from facial_r1.data.protocol import Protocol, load_protocol
from facial_r1.data.record import Record
from facial_r1.data.records import Records
from facial_r1.data.rows import read_rows
from facial_r1.errors import InputError
from facial_r1.progress import progress, progress_bar

REQUIRABLE = ("image", "AUs", "labels", "description", "subject", "split", "question")
_THREADS = 8
_CHUNK = 64
_INVALID = (False, "false", "False")
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None


def load_records(
    files: Paths,
    images: Paths = None,
    *,
    protocol: Any = None,
    on_error: Literal["fail", "skip"] = "fail",
    require: Collection[str] = ("image",),
    split: str | None = None,
    check_images: bool = True,
    wanted: Wanted | None = None,
) -> Records:
    """Read records of the published format.

    Args:
        files: JSON lines or JSON arrays, plain or gzipped; a list, one path, or paths joined with ":".
        images: image folders, one for each file, in the same form. Without them images are looked for beside
            the file and in `images/` beside it.
        protocol: a `Protocol`, its name or its mapping; `generic` if not given.
        on_error: "fail" raises one error about all problems; "skip" leaves bad rows out and lists them. A
            missing or empty file is an error in both cases.
        require: fields that a row must have filled: image, AUs, labels, description, subject, split,
            question.
        split: keep only rows with this `split`; None keeps all.
        check_images: whether each image, video and sound file is looked at (exists, header readable, not cut off). Without it,
            paths are taken as they are, and only rows that say `"audio": "video"` have the sound of their video.
        wanted: which modalities, and how long videos and sounds may be; by default everything that a record has.

    Raises:
        InputError: up to 20 problems with file, line, field, reason and fix, and the count of the rest.
    """
    return load_pairs(pair_folders(files, images), load_protocol(protocol), on_error, require, split, check_images, wanted=wanted)


def load_pairs(
    pairs: Sequence[tuple[Path, Path | None]],
    rules: Protocol | Sequence[Protocol],
    on_error: Literal["fail", "skip"] = "fail",
    require: Collection[str] = ("image",),
    split: str | None = None,
    check_images: bool = True,
    checked: Collection[Path] = (),
    wanted: Wanted | None = None,
) -> Records:
    """`load_records` for absolute files, each with its image folder or None.

    Args:
        rules: One protocol for all files, or one a file.
        checked: Files whose images were looked at when the file was written: they are not looked at again.
    """
    unknown = [name for name in require if name not in REQUIRABLE]
    if unknown or on_error not in ("fail", "skip"):
        raise ValueError(f"require={list(require)}, on_error={on_error!r}: require may name {REQUIRABLE}")
    each = [rules] * len(pairs) if isinstance(rules, Protocol) else list(rules)
    loaded = [
        _read_file(path, folder, own, require, split, check_images and path not in checked)
        for (path, folder), own in zip(pairs, each, strict=True)
    ]
    fail([problem for part in loaded for problem in part.problems if problem.whole_file])
    records, left_empty = narrow([record for part in loaded for record in part.records], wanted or Wanted())
    problems = [problem for part in loaded for problem in part.problems] + left_empty
    notes = [note for part in loaded for note in part.notes]
    digests: dict[str, str] = {}
    if check_images:
        known = {str(path) for path in checked}
        unseen = [record for record in records if place(record)[0] not in known] if known else records
        digests, bad = verify_images(unseen)
        problems += bad
        records = _without(records, bad)
        if any(media_of(record) for record in unseen):
            records, bad = _look_at_media(records, known, wanted, digests, notes)
            problems += bad
    records, duplicates, renamed = unique_ids(records)
    problems = _in_file_order(problems + duplicates, [path for path, _ in pairs])
    if on_error == "fail":
        fail(problems)
    elif problems and not records:
        count = skipped_rows(problems)
        raise InputError(f"no sound row is left, {count} rows are bad:\n{describe_problems(problems)}")
    return Records(
        records=records,
        skipped=problems,
        invalid_by_file={str(path): part.invalid for (path, _), part in zip(pairs, loaded, strict=True)},
        notes=notes + renamed,
        files=[str(path) for path, _ in pairs],
        digests=digests,
    )


def split_paths(paths: Paths) -> list[str]:
    """Paths as a list. A string may join several with ":"; a path that exists is taken whole."""
    if paths is None or paths == "":
        return []
    items = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    result: list[str] = []
    for item in (os.fspath(item) for item in items):
        if ":" in item and not Path(item).exists():
            result += [part for part in item.split(":") if part]
        else:
            result.append(item)
    return result


def pair_folders(files: Paths, images: Paths, name: str = "data.files") -> list[tuple[Path, Path | None]]:
    """Each file, absolute, with its image folder.

    Raises:
        InputError: no files, a file twice, or a number of folders other than the number of files.
    """
    paths = [absolute(path) for path in split_paths(files)]
    folders = [absolute(path) for path in split_paths(images)]
    folder_name = name.replace("files", "images")
    if not paths:
        raise InputError(f"{name} is empty: give at least one JSONL file, {name}=[train.jsonl]")
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise InputError(f"{name} names {twice[0]} twice: name it once; data.sources with weight=2 repeats its rows")
    if folders and len(folders) != len(paths):
        given = f"{name} names {len(paths)} file(s), {folder_name} {len(folders)} folder(s)"
        suggestion = ",".join([str(folders[0])] * len(paths)) if len(folders) == 1 else "one folder for each file"
        raise InputError(
            f"{given}: give one folder for each file, in the same order (again where files share one): "
            f"{folder_name}=[{suggestion}]"
        )
    return [(path, folders[index] if folders else None) for index, path in enumerate(paths)]


@dataclass
class _Part:
    records: list[Record] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    invalid: int = 0


def _read_file(
    path: Path, folder: Path | None, rules: Protocol, require: Collection[str], split: str | None, check: bool
) -> _Part:
    part = _Part()
    absent = _missing_file(path, folder)
    if absent:
        part.problems.append(absent)
        return part
    media = {kind: MediaFinder(path, folder, kind, check) for kind in ("video", "audio")}
    reader = RowReader(path, ImageFinder(path, folder, check), rules, require, stem(path), media)
    unknown: Counter[str] = Counter()
    rows = valid = 0
    for item in progress(read_rows(path), what=f"reading {path.name}", unit="rows"):
        if isinstance(item, Problem):
            part.problems.append(item)
            continue
        line, row = item
        rows += 1
        if row.get("is_valid", True) in _INVALID:
            part.invalid += 1
            continue
        valid += 1
        unknown.update(key for key in row if key not in FIELDS)
        record = reader.read(line, row)
        if record is not None and (split is None or record.split == split):
            part.records.append(record)
    if rows and not valid:
        reason = f"all {rows} rows say is_valid: false"
        part.problems.append(Problem(str(path), 0, "is_valid", reason, "give a file with at least one valid row", True))
    part.problems += reader.problems
    part.notes += _misspelt(path, unknown, part.records)
    if reader.unasked:
        part.notes.append(f"{path.name}: {reader.unasked} rows have labels; protocol {rules.name} asks for no emotion: left out")
    return part


def _missing_file(path: Path, folder: Path | None) -> Problem | None:
    if path.is_dir():
        fix = "name the JSONL file; the folder goes to data.images"
        return Problem(str(path), 0, "file", "this is a folder", fix, True)
    if not path.is_file():
        siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        close = nearest(path.name, siblings)
        fix = f"did you mean {path.parent / close}?" if close else "check data.files; paths are relative to " + str(Path.cwd())
        return Problem(str(path), 0, "file", "the file does not exist", fix, True)
    if folder is not None and not folder.is_dir():
        fix = "set data.images to the folder that its image paths are relative to"
        return Problem(str(path), 0, "images", f"the image folder {folder} does not exist", fix, True)
    return None


def _misspelt(path: Path, unknown: Mapping[str, int], records: Sequence[Record]) -> list[str]:
    """Notes about unknown keys that look like a known one."""
    notes = []
    for key, count in unknown.items():
        known = {name.lower(): name for name in FIELDS}
        close = nearest(key.lower(), known)
        if close and key.lower() != "source":
            notes.append(f"{path.name}: {count} rows have the unknown field {key!r}; did you mean {known[close]!r}?")
    return notes


def verify_images(records: Sequence[Record]) -> tuple[dict[str, str], list[Problem]]:
    """Digest of each sound image, and a problem for each row that shows an unsound one."""
    paths = list(dict.fromkeys(path for record in records for path in record.images))
    digests: dict[str, str] = {}
    bad: dict[str, ImageError] = {}
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    with (
        ThreadPoolExecutor(_THREADS) as pool,
        progress_bar(len(paths), "checking images", "images") as advance,
    ):
        for chunk, outcomes in zip(chunks, pool.map(_verify, chunks), strict=True):
            for path, outcome in zip(chunk, outcomes, strict=True):
                if isinstance(outcome, ImageError):
                    bad[path] = outcome
                else:
                    digests[path] = outcome.digest
            advance(len(chunk))
    problems = [
        Problem(*place(record), "image", f"{error.path}: {error.reason}", error.fix)
        for record in (records if bad else ())
        for error in (bad[path] for path in record.images if path in bad)
    ]
    return digests, problems


def _look_at_media(
    records: list[Record], known: Collection[str], wanted: Wanted | None, digests: dict[str, str], notes: list[str]
) -> tuple[list[Record], list[Problem]]:
    """Sound records with the sound that they use, and the problems of the others. Adds to `digests` and `notes`.

    Rows of the files `known` stay as they are.
    """
    fresh = [record for record in records if place(record)[0] not in known] if known else records
    checked = check_media(fresh, wanted)
    digests |= checked.digests
    notes += checked.notes
    with_sound = {id(before): after for before, after in zip(fresh, checked.records, strict=True)}
    return _without([with_sound.get(id(record), record) for record in records], checked.problems), checked.problems


def _verify(paths: Sequence[str]) -> list[ImageFacts | ImageError]:
    outcomes: list[ImageFacts | ImageError] = []
    for path in paths:
        try:
            outcomes.append(verify(path))
        except ImageError as error:
            outcomes.append(error)
    return outcomes


def _without(records: list[Record], problems: Iterable[Problem]) -> list[Record]:
    bad = {problem.place for problem in problems}
    return [record for record in records if record.source not in bad] if bad else records


def _in_file_order(problems: list[Problem], files: Sequence[Path]) -> list[Problem]:
    order = {str(path): index for index, path in enumerate(files)}
    return sorted(problems, key=lambda problem: (order.get(problem.file, 0), problem.line))
