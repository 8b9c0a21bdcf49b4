"""From the `data` part of a job to the rows of its train and test side."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1.data.convert import stem
from facial_r1.data.drawn import drawn_faces
from facial_r1.data.identity import place
from facial_r1.data.jsonl import load_pairs, pair_folders, split_paths
from facial_r1.data.mixture import Mixture, Part, mix
from facial_r1.data.problems import Problem, skipped_rows
from facial_r1.data.protocol import Protocol, load_protocol
from facial_r1.data.record import Record
from facial_r1.data.records import Records
from facial_r1.data.selection import Amount, by_fold, divide, filled, split_side
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from facial_r1.config.schema import Data as DataConfig
    from facial_r1.data.prepared import Prepared

SIDES = ("train", "test")


@dataclass(frozen=True)
class Data:
    """What a stage works on.

    Attributes:
        train, test: rows of each side; empty for a side that was not asked for.
        protocol: label space, action units and scoring rules.
        problems: bad rows that were left out under `data.on_error=skip`, with file, line, field, reason and
            fix.
        notes: what the user should know, each one line, for example rows without a subject.
    """

    train: Mixture
    test: Mixture
    protocol: Protocol
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over both sides; equal for equal rows and images wherever they lie."""
        return hashlib.sha256(f"{self.train.fingerprint}:{self.test.fingerprint}".encode()).hexdigest()

    def describe(self) -> str:
        """The tables of the sides that have rows, and the notes."""
        parts = [f"{name}:\n{side.describe()}" for name, side in zip(SIDES, (self.train, self.test), strict=True) if len(side)]
        parts += [f"note: {note}" for note in self.notes]
        return "\n".join(parts)


@dataclass(frozen=True)
class _Source:
    """Files that share an amount, a weight and a side."""

    files: list[tuple[Path, Path | None]]
    amount: Amount = None
    weight: float = 1.0
    split: str | None = None


def load_data(
    config: DataConfig | Mapping[str, Any],
    *,
    need: Collection[str] = SIDES,
    require: Collection[str] = ("image",),
    having: Mapping[str, Collection[str]] | None = None,
    check_images: bool = True,
    stop: Callable[[], None] = lambda: None,
) -> Data:
    """Load, check, divide and select the rows of a job.

    Rows are read and checked, bad ones are reported or left out (`data.on_error`); then train and test are
    divided (by the files, by the field `split`, or by subject); then rows are selected (`amount` and `weight`
    of each source, then `data.amount` and `data.test_amount` of the whole). So the test side does not depend
    on the amounts of training.

    Args:
        config: the typed `data` of a job, or a mapping with its keys.
        need: the sides that must have rows: "train", "test". The other side stays empty, and is not read when
            it has files of its own.
        require: fields that every row must have filled; rows without them are problems.
        having: by side, fields that select: rows without them are not available to the amounts, and that is
            no fault.
        check_images: see `facial_r1.data.jsonl.load_records`.
        stop: called while a set is prepared; may raise to stop the work, which the next call continues.

    Raises:
        InputError: problems in the data, a needed side without rows, an amount above what there is.
    """
    config = _typed(config)
    rules = load_protocol(config.protocol)
    prepared = _prepared(config, stop) if config.kind == "source" else None
    sources = _sources(config) if prepared is None else prepared_sources(prepared)
    own_test = any(source.split == "test" for source in sources)
    groups = {
        "train": [source for source in sources if source.split != "test"],
        "test": [source for source in sources if source.split == "test"],
    }
    # Loaded apart, so that the ids of the test side do not depend on whether the train side is read too.
    loaded = {
        side: _read(groups[side] if side in need or not own_test else [], require, rules, config, check_images) for side in SIDES
    }
    notes = [] if prepared is None else _notes_on(prepared)
    notes += [note for side in SIDES for note in loaded[side].notes]
    train, test = _divide(loaded["train"], groups["train"], config, rules, own_test, notes)
    test += _for_test(loaded["test"], config, notes)
    if prepared is not None:
        notes += _unshown(rules, train + test)
    digests = loaded["train"].digests | loaded["test"].digests
    problems = [] if prepared is None else list(prepared.problems)
    problems += [problem for side in SIDES for problem in loaded[side].skipped]
    invalid = loaded["train"].invalid_by_file | loaded["test"].invalid_by_file
    mixtures = {}
    for side, rows, amount in (("train", train, config.amount), ("test", test, config.test_amount)):
        fields = (having or {}).get(side, ())
        parts = _parts(sources, rows if side in need else [], problems, invalid, side)
        name = "data.amount" if side == "train" else "data.test_amount"
        if side in need and not filled(rows, fields):
            raise InputError(_no_rows(side, config, fields, len(rows)))
        mixtures[side] = mix(parts, amount if side in need else None, config.seed, fields, digests, name)
    notes += _overlap(mixtures["train"], mixtures["test"], digests)
    if problems:
        notes.append(f"{skipped_rows(problems)} bad rows were left out (data.on_error=skip)")
    return Data(mixtures["train"], mixtures["test"], rules, problems, notes)


def check_settings(config: DataConfig) -> None:
    """What can be said about the data's settings without looking at files.

    Raises:
        InputError: no such source, option or protocol, a value of the wrong type, or no such fold.
    """
    if config.kind == "source":
        from facial_r1.data.sources import checked_options

        checked_options(str(config.source), config.options)
    rules = load_protocol(config.protocol)
    if config.fold is not None:
        by_fold([], rules.folds, config.fold)


def _typed(config: DataConfig | Mapping[str, Any]) -> DataConfig:
    if not isinstance(config, Mapping):
        return config
    from pydantic import ValidationError

    from facial_r1.config.schema import Data as DataConfig

    try:
        return DataConfig(**{"name": config.get("kind", "jsonl"), "kind": "jsonl", **config})
    except ValidationError as error:
        lines = [f"data.{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise InputError("\n".join(lines)) from error


def _sources(config: DataConfig) -> list[_Source]:
    """All sources of the configuration; those of test files have `split="test"`."""
    if config.kind == "schematic":
        folder = drawn_faces(config.schematic, config.cache)
        return [
            _Source([(folder / "train.jsonl", folder)], split="train"),
            _Source([(folder / "test.jsonl", folder)], split="test"),
        ]
    sources = _one_a_file(config.files, config.images, "data.files")
    for index, source in enumerate(config.sources):
        if source.split not in (None, *SIDES):
            raise InputError(f"data.sources[{index}].split={source.split}: give train, test or null")
        files = pair_folders(source.files, source.images, f"data.sources[{index}].files")
        sources.append(_Source(files, source.amount, source.weight, source.split))
    _no_file_twice(sources)
    return sources + _one_a_file(config.test_files, config.test_images, "data.test_files", "test")


def _prepared(config: DataConfig, stop: Callable[[], None]) -> Prepared:
    # Imports every reader; data from files needs none of them.
    from facial_r1.data.prepared import prepare_source

    return prepare_source(config, stop)


def prepared_sources(prepared: Prepared) -> list[_Source]:
    """The files of a prepared set, each on the side that its owner put it on; those for validation are on neither."""
    sides = {"train": "train", "test": "test", "all": None}
    return [
        _Source([(prepared.file(side), prepared.folder)], split=split) for side, split in sides.items() if side in prepared.rows
    ]


def _notes_on(prepared: Prepared) -> list[str]:
    notes = list(prepared.notes)
    if prepared.excluded:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in prepared.excluded.items())
        notes.append(f"{sum(prepared.excluded.values())} of the owner's rows are left out on purpose: {reasons}")
    if count := prepared.rows.get("validation"):
        notes.append(f"{count} rows are for validation and are on neither side; they lie in {prepared.file('validation')}")
    return notes


def _unshown(rules: Protocol, records: Sequence[Record]) -> list[str]:
    """A note on labels that a prompt would offer and no row has, as when contempt was left out of AffectNet."""
    shown = {label for record in records for label in record.labels}
    missing = [label for label in rules.labels or () if label not in shown]
    if not records or not missing:
        return []
    return [f"no row shows {', '.join(missing)}, which protocol {rules.name} has among its labels"]


def _one_a_file(files: Any, images: Any, name: str, split: str | None = None) -> list[_Source]:
    if not split_paths(files):
        if split_paths(images):
            folder = name.replace("files", "images")
            raise InputError(f"{folder} is given but {name} is empty: give one file for each folder")
        return []
    return [_Source([pair], split=split) for pair in pair_folders(files, images, name)]


def _no_file_twice(sources: Sequence[_Source]) -> None:
    counts = Counter(file for source in sources for file, _ in source.files)
    twice = [file for file, count in counts.items() if count > 1]
    if twice:
        raise InputError(
            f"{twice[0]} is named by two sources of data: name it once; weight=2 repeats its rows, "
            "and the field split of its rows, or data.split, divides them"
        )


def _read(
    sources: Sequence[_Source],
    require: Collection[str],
    rules: Protocol,
    config: DataConfig,
    check_images: bool,
) -> Records:
    pairs = [pair for source in sources for pair in source.files]
    if not pairs:
        return Records([])
    return load_pairs(pairs, rules, config.on_error, require, check_images=check_images)


def _divide(
    loaded: Records,
    sources: Sequence[_Source],
    config: DataConfig,
    rules: Protocol,
    own_test: bool,
    notes: list[str],
) -> tuple[list[Record], list[Record]]:
    """Train and test rows of the files that are not for testing alone.

    Sources that name a side keep all rows on it. Of the others, rows for testing or validation are left out
    where there are test files; else they are divided, by `data.fold` or as `data.split` says.
    """
    owner = {str(file): source for source in sources for file, _ in source.files}
    fixed: list[Record] = []
    free: list[Record] = []
    for record in loaded:
        (fixed if owner[place(record)[0]].split == "train" else free).append(record)
    if config.fold is not None and (own_test or not free):
        raise InputError(f"data.fold={config.fold}: the rows have a test side of their own; set data.fold=null")
    if own_test or not free:
        return fixed + _leave_out(free, "test", "data.files", notes), []
    if config.fold is not None:
        divided = by_fold(free, rules.folds, config.fold)
    else:
        divided = divide(free, config.split.by, config.split.test, config.split.seed)
        if rules.folds:
            notes.append(
                f"protocol {rules.name} is scored by {len(rules.folds)} folds: data.fold=0 to {len(rules.folds) - 1} choose the "
                "test side; without it, data.split does"
            )
    notes += divided.notes
    return fixed + divided.train, list(divided.test)


def _for_test(loaded: Records, config: DataConfig, notes: list[str]) -> list[Record]:
    """Rows of the test files, without those that say that they are for training."""
    if config.kind == "schematic":
        return list(loaded)
    return _leave_out(loaded.records, "train", "data.test_files", notes)


def _leave_out(records: Sequence[Record], other: str, name: str, notes: list[str]) -> list[Record]:
    keep = [record for record in records if split_side(record) not in (other, "validation")]
    if len(keep) < len(records):
        count = len(records) - len(keep)
        notes.append(f"{count} rows of {name} say that they are for {other} or validation: left out")
    return keep


def _parts(
    sources: Sequence[_Source],
    rows: Sequence[Record],
    problems: Sequence[Problem],
    invalid: Mapping[str, int],
    side: str,
) -> list[Part]:
    """The sources of a side with their rows. Amounts and weights are for training; testing takes all rows."""
    by_file: dict[str, list[Record]] = {}
    for record in rows:
        by_file.setdefault(place(record)[0], []).append(record)
    parts = []
    for source, name in zip(sources, _names(sources), strict=True):
        files = [str(file) for file, _ in source.files]
        records = [record for file in files for record in by_file.get(file, ())]
        if not records:
            continue
        bad = skipped_rows(problem for problem in problems if problem.file in files)
        amount, weight = (source.amount, source.weight) if side == "train" else (None, 1.0)
        parts.append(Part(name, records, amount, weight, bad, sum(invalid.get(file, 0) for file in files)))
    return parts


def _names(sources: Sequence[_Source]) -> list[str]:
    names: list[str] = []
    for source in sources:
        name = "+".join(stem(file) for file, _ in source.files)
        number = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({number + 1})" if number else name)
    return names


def _overlap(train: Mixture, test: Mixture, digests: Mapping[str, str]) -> list[str]:
    """Notes on images (also copies under another name) and subjects that both sides show."""
    shown = [{digests.get(path, path): path for record in side for path in record.images} for side in (train, test)]
    people = [{record.subject for record in side if record.subject is not None} for side in (train, test)]
    notes = []
    images = sorted(path for content, path in shown[1].items() if content in shown[0])
    if images:
        notes.append(f"{len(images)} images are on the train and the test side, for example {images[0]}")
    both = sorted(people[0] & people[1])
    if both:
        notes.append(f"{len(both)} subjects are on the train and the test side, for example {both[0]}")
    return notes


def _no_rows(side: str, config: DataConfig, having: Collection[str], available: int) -> str:
    if available and having:
        return (
            f"no row of the {side} side has {' and '.join(having)}: of {available} rows none can be used. "
            "Add the field to the rows, or choose other files"
        )
    if config.kind == "source":
        return f"the {side} side has no rows: data.root={config.root} holds none of the owner's rows for it"
    if side == "train" and not (config.files or config.sources):
        return "there is nothing to train on: set data.files=[train.jsonl] data.images=[folder]"
    if side == "test" and not config.test_files:
        return (
            f"the test side has no rows (data.split.test={config.split.test}): "
            'set data.test_files=[test.jsonl], mark rows with "split": "test", or raise data.split.test'
        )
    return f"the {side} side has no rows: all rows of its files are marked for another side by their field split"
