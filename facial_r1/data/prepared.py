"""A dataset in its owner's folders into JSON lines, once: read, checked, faces cut out or decoded, kept in the cache.

The folder of a prepared set is named after its content, so that what is in it never changes and a killed process is
finished by the next. Beside it lies an index, named after what was asked for (source, root, options), that says which
content that was and how the label files looked; when they changed, the set is read again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1 import atomic
from facial_r1.data import sources
from facial_r1.data.cutouts import write_pictures
from facial_r1.data.drawn import cache_folder, exclusive
from facial_r1.data.identity import place, unique_ids
from facial_r1.data.jsonl import verify_images
from facial_r1.data.locate import IMAGE_SUFFIXES, absolute
from facial_r1.data.media.checking import check_media, media_of
from facial_r1.data.problems import Problem, describe_problems, fail, skipped_rows
from facial_r1.data.protocol import load_protocol, shipped_protocols
from facial_r1.data.record import Record
from facial_r1.data.selection import split_side
from facial_r1.data.sources import Reading
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from facial_r1.config.schema import Data as DataConfig

VERSION = 1
"""Raise it when what readers give or how pictures are written changes."""

CARD = "prepared.json"
"""Description of the folder; it is there only when everything else is."""

_NAMED = 4
"""Classes that a note on counts names."""

SIDES = ("train", "validation", "test", "all")
"""Files of a prepared set; `all` holds the rows that the owner put on no side."""


@dataclass(frozen=True)
class Prepared:
    """A prepared set.

    Attributes:
        folder: holds `<side>.jsonl` and, where pictures were written, `images/`.
        rows: how many rows each side has, in the order of `SIDES`; sides without rows are left out.
        problems: bad rows that were left out under `data.on_error=skip`, at their place in the owner's files.
        excluded: rows left out on purpose, by reason.
        notes: what the user should know, each one line.
        label_files: sha256 of the owner's label files, by path relative to the root.
        counts: by split, what was found and what the owner's lists hold: {"found": ..., "official": ...}.
        pictures: how many pictures were written.
    """

    folder: Path
    rows: dict[str, int]
    problems: list[Problem] = field(default_factory=list)
    excluded: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    label_files: dict[str, str] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    pictures: int = 0

    def file(self, side: str) -> Path:
        """The JSON lines of a side."""
        return self.folder / f"{side}.jsonl"


def prepare_source(config: DataConfig, stop: Callable[[], None] = lambda: None) -> Prepared:
    """The prepared form of the set that `config` (with `kind=source`) names; made now if it is not in the cache.

    Processes that ask at the same time prepare once: the others wait. What a killed process left is completed.

    Args:
        stop: called between pictures; may raise to stop the work, which the next call continues.

    Raises:
        InputError: unknown source or option, a root without the owner's layout, a cache that cannot be written, and (under
            `data.on_error=fail`) rows that break the layout.
    """
    assert config.source is not None and config.root is not None, "validated with the configuration"
    options = sources.checked_options(config.source, config.options)
    root = absolute(config.root)
    base = cache_folder(config.cache) / "prepared"
    wanted = json.dumps([VERSION, config.source, str(root), options], sort_keys=True, default=str)
    name = f"{config.source}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
    try:
        base.mkdir(parents=True, exist_ok=True)
        with exclusive(base / f".{name}.lock"):
            index = base / f"{name}.json"
            prepared = _found(base, index)
            if prepared is None:
                prepared = _prepare(config, root, options, base, index, stop)
    except OSError as error:
        raise InputError(
            f"data.source={config.source} cannot be prepared in {base}: {error.strerror or error}: {error.filename}. "
            "Set data.cache or FACIAL_R1_CACHE to a folder that you may write"
        ) from error
    _refuse(prepared.problems, config, any(prepared.rows.values()))
    return prepared


def _refuse(problems: Sequence[Problem], config: DataConfig, rows: bool) -> None:
    fail([problem for problem in problems if problem.whole_file])
    if config.on_error == "fail":
        fail(problems)
    if not rows:
        count = skipped_rows(problems)
        found = f"; {count} rows are bad:\n{describe_problems(problems)}" if problems else ""
        raise InputError(f"data.root={config.root}: {config.source} has no sound row there{found}")


def _found(base: Path, index: Path) -> Prepared | None:
    """The complete set that the index names, when the owner's files look as they did; None otherwise."""
    try:
        known = atomic.read_json(index)
        folder = base / known["folder"]
        card = atomic.read_json(folder / CARD)
        if any(_look(Path(path)) != look for path, look in known["seen"].items()):
            return None
        return _from_card(folder, card)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _look(path: Path) -> list[int]:
    """Byte size and time of change of a file; of a folder only the time, which changes when entries come or go."""
    facts = path.stat()
    return [0 if path.is_dir() else facts.st_size, facts.st_mtime_ns]


def _prepare(
    config: DataConfig, root: Path, options: Mapping[str, Any], base: Path, index: Path, stop: Callable[[], None]
) -> Prepared:
    began = time.time_ns()
    reading = sources.read_source(str(config.source), root, **options)
    _refuse(reading.problems, config, bool(reading.records))
    digests, bad = verify_images(reading.records)
    clips = check_media(reading.records)
    bad += clips.problems
    problems = [*reading.problems, *(_in_owners_words(problem) for problem in bad)]
    records, twice, renamed = unique_ids(_without(reading.records, bad))
    problems += twice
    _refuse(problems, config, bool(records))
    notes = [*reading.notes, *renamed]
    seen = _files_and_folders(root, reading)
    label_files = {_relative(path, root): _sha256(path) for path in seen if path.is_file()}
    content = _digest(reading, records, problems, label_files, digests)
    folder = base / f"{config.source}-{content[:12]}"
    with exclusive(base / f".{folder.name}.lock"):
        if not (folder / CARD).is_file():
            folder.mkdir(exist_ok=True)
            records, unfit = write_pictures(folder / "images", reading, records, stop)
            problems += unfit
            rows = _write_rows(folder, records)
            counts, differences = compare_counts(records, _official(str(config.source), reading))
            card = {
                "source": config.source,
                "options": dict(options),
                "rows": rows,
                "problems": [asdict(problem) for problem in problems],
                "excluded": dict(reading.excluded),
                "notes": [*notes, *differences],
                "label_files": label_files,
                "counts": counts,
                "pictures": sum(record.id in reading.crops or record.id in reading.pixels for record in records),
            }
            atomic.write_json(folder / CARD, card)
    looks = {str(path): _look(path) for path in seen}
    if all(look[1] < began for look in looks.values()):  # what changed while it was read is read again next time
        atomic.write_json(index, {"folder": folder.name, "seen": looks})
    return _from_card(folder, atomic.read_json(folder / CARD))


def _from_card(folder: Path, card: Mapping[str, Any]) -> Prepared:
    return Prepared(
        folder,
        dict(card["rows"]),
        [Problem(**problem) for problem in card["problems"]],
        dict(card["excluded"]),
        list(card["notes"]),
        dict(card["label_files"]),
        dict(card["counts"]),
        int(card["pictures"]),
    )


def _in_owners_words(problem: Problem) -> Problem:
    if "data.images" not in problem.fix:
        return problem
    return replace(problem, fix="unpack the owner's archive again, or check data.root")


def _without(records: Sequence[Record], problems: Iterable[Problem]) -> list[Record]:
    bad = {(problem.file, problem.line) for problem in problems}
    return [record for record in records if place(record) not in bad] if bad else list(records)


def _files_and_folders(root: Path, reading: Reading) -> list[Path]:
    """Label files and the folders (up to the root) of labels and images: what changes when the set does."""
    names = {place(record)[0] for record in reading.records} | {problem.file for problem in reading.problems}
    labels = {Path(name) for name in names} | set(reading.files)
    labels = {path for path in labels if path.suffix.lower() not in (*IMAGE_SUFFIXES, ".npy") and path.is_file()}
    folders = {Path(name).parent for name in names}
    folders |= {Path(image).parent for record in reading.records for image in record.images}
    folders |= {Path(path).parent for record in reading.records for path in media_of(record)}
    for folder in list(folders):
        folders |= {parent for parent in folder.parents if parent.is_relative_to(root)}
    folders = {folder for folder in folders if folder.is_relative_to(root) and folder.is_dir()}
    return sorted(labels) + sorted(folders | {root})


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(
    reading: Reading,
    records: Sequence[Record],
    problems: Sequence[Problem],
    label_files: Mapping[str, str],
    digests: Mapping[str, str],
) -> str:
    """Names the content of the folder: equal when rows, pictures and what is said about them are equal."""
    total = hashlib.sha256()

    def add(*parts: object) -> None:
        total.update(json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass"))

    add(VERSION, reading.suffix, reading.notes, sorted(reading.excluded.items()), sorted(label_files.items()))
    add([asdict(problem) for problem in problems])
    for record in records:
        add(record.to_json())
        if record.id in reading.crops:
            add(reading.crops[record.id], [digests[image] for image in record.images])
        if record.id in reading.pixels:
            high, wide, levels = reading.pixels[record.id]
            add(high, wide)
            total.update(levels)
    return total.hexdigest()


def _write_rows(folder: Path, records: Sequence[Record]) -> dict[str, int]:
    lines: dict[str, list[str]] = {side: [] for side in SIDES}
    for record in records:
        row = record.to_json()
        images = [_relative(Path(image), folder) for image in record.images]
        row["image"] = images[0] if len(images) == 1 else images
        lines[split_side(record) or "all"].append(json.dumps(row, ensure_ascii=False) + "\n")
    for side, rows in lines.items():
        if rows:
            atomic.write_text(folder / f"{side}.jsonl", "".join(rows))
    return {side: len(rows) for side, rows in lines.items() if rows}


def _official(name: str, reading: Reading) -> Mapping[str, int | Mapping[str, int]]:
    if reading.official is not None:
        return reading.official
    return load_protocol(name).counts if name in shipped_protocols() else {}


def compare_counts(
    records: Sequence[Record], official: Mapping[str, int | Mapping[str, int]]
) -> tuple[dict[str, Any], list[str]]:
    """What was found beside what the owner's lists hold, by split, and a note for each split that differs."""
    compared: dict[str, Any] = {}
    notes = []
    for split, expected in official.items():
        side = [record for record in records if (split_side(record) or "all") == split]
        total = expected if isinstance(expected, int) else sum(expected.values())
        details = ""
        found: Any = len(side)
        if not isinstance(expected, int):
            labels = Counter(record.labels[0] for record in side if record.labels)
            found = {label: labels[label] for label in [*expected, *sorted(labels.keys() - expected.keys())]}
            parts = [f"{label} {n} of {expected.get(label, 0)}" for label, n in found.items() if n != expected.get(label, 0)]
            more = f", {len(parts) - _NAMED} more classes" if len(parts) > _NAMED else ""
            details = f": {', '.join(parts[:_NAMED])}{more}" if parts else ""
        compared[split] = {"found": found, "official": expected if isinstance(expected, int) else dict(expected)}
        if details or len(side) != total:
            notes.append(f"{split}: {len(side)} rows where the owner's lists hold {total}{details}")
    return compared, notes
