"""The files of a job's data, each with its side, amount, protocol, and the part of the mix that its rows make up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1.data.balance import By
from facial_r1.data.convert import stem
from facial_r1.data.drawn import drawn_faces
from facial_r1.data.identity import place
from facial_r1.data.jsonl import pair_folders, split_paths
from facial_r1.data.mixture import Part
from facial_r1.data.owned import protocol_of
from facial_r1.data.problems import Problem, skipped_rows
from facial_r1.data.protocol import Protocol
from facial_r1.data.record import Record
from facial_r1.data.selection import Amount
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from facial_r1.config.schema import Data as DataConfig
    from facial_r1.data.prepared import Prepared

SIDES = ("train", "test")


@dataclass(frozen=True)
class Files:
    """Files that share an amount, a weight, a side and a protocol.

    Attributes:
        files: each with its image folder or None.
        entry: its place in `data.sources`, where it has one; the files of an owner's set are several sources of one entry.
        rules: its own protocol; None where that of the whole holds.
        owned: whether the files are a prepared set, whose images were looked at when it was prepared.
        name: shown in tables; None takes the names of the files.
    """

    files: list[tuple[Path, Path | None]]
    amount: Amount = None
    weight: float = 1.0
    split: str | None = None
    test_amount: Amount = None
    balance: By | None = None
    repeats: bool = False
    entry: int | None = None
    rules: Protocol | None = None
    owned: bool = False
    name: str | None = None

    @property
    def whole(self) -> bool:
        """Whether these are rows of a part of a mix whose owner names no sides: they are divided among themselves."""
        return self.owned and self.split is None and self.entry is not None


def files_of(config: DataConfig, entries: Sequence[tuple[int, Prepared]]) -> list[Files]:
    """All sources of the configuration; those of test files have `split="test"`."""
    if config.kind == "schematic":
        folder = _drawn(config)
        return [
            Files([(folder / "train.jsonl", folder)], split="train"),
            Files([(folder / "test.jsonl", folder)], split="test"),
        ]
    sources = _one_a_file(config.files, config.images, "data.files")
    several = bool(entries) or any(source.protocol is not None for source in config.sources)
    owned = dict(entries)
    for index, source in enumerate(config.sources):
        if source.split not in (None, *SIDES):
            raise InputError(f"data.sources[{index}].split={source.split}: give train, test or null")
        facts: dict[str, Any] = {
            "amount": source.amount,
            "weight": source.weight,
            "test_amount": source.test_amount,
            "balance": source.balance,
            "repeats": source.repeats,
            "entry": index,
            "rules": protocol_of(config, source) if several else None,
            "name": source.name or source.source,
        }
        if index in owned:
            parts = prepared_files(owned[index])
            sources += [replace(part, **facts) for part in parts if source.split is None or part.split in (None, source.split)]
            continue
        files = pair_folders(source.files, source.images, f"data.sources[{index}].files")
        sources.append(Files(files, split=source.split, **facts))
    _no_file_twice(sources)
    return sources + _one_a_file(config.test_files, config.test_images, "data.test_files", "test")


def _drawn(config: DataConfig) -> Path:
    """The folder of the drawn pictures, or clips, of a configuration."""
    if config.clips is None:
        return drawn_faces(config.schematic, config.cache)
    # Drawing needs numpy, and clips PyAV too.
    from facial_r1.data.schematic.clip_folder import drawn_clips

    return drawn_clips(config.schematic, config.clips, config.cache)


def prepared_files(prepared: Prepared) -> list[Files]:
    """The files of a prepared set, each on the side that its owner put it on; those for validation are on neither."""
    sides = {"train": "train", "test": "test", "all": None}
    return [
        Files([(prepared.file(side), prepared.folder)], split=split, owned=True)
        for side, split in sides.items()
        if side in prepared.rows
    ]


def _one_a_file(files: Any, images: Any, name: str, split: str | None = None) -> list[Files]:
    if not split_paths(files):
        if split_paths(images):
            folder = name.replace("files", "images")
            raise InputError(f"{folder} is given but {name} is empty: give one file for each folder")
        return []
    return [Files([pair], split=split) for pair in pair_folders(files, images, name)]


def _no_file_twice(sources: Sequence[Files]) -> None:
    counts = Counter(file for source in sources for file, _ in source.files)
    twice = [file for file, count in counts.items() if count > 1]
    if twice:
        raise InputError(
            f"{twice[0]} is named by two sources of data: name it once; weight=2 repeats its rows, "
            "and the field split of its rows, or data.split, divides them"
        )


def owners(sources: Sequence[Files]) -> dict[str, Files]:
    """The source of each file."""
    return {str(file): source for source in sources for file, _ in source.files}


def parts_of(
    sources: Sequence[Files],
    rows: Sequence[Record],
    problems: Sequence[Problem],
    invalid: Mapping[str, int],
    side: str,
) -> list[Part]:
    """The sources of a side with their rows. Amounts and weights are for training; testing takes all rows."""
    by_file: dict[str, list[Record]] = {}
    for record in rows:
        by_file.setdefault(place(record)[0], []).append(record)
    parts: dict[str, Part] = {}
    for source, name in zip(sources, names_of(sources), strict=True):
        files = [str(file) for file, _ in source.files]
        records = [record for file in files for record in by_file.get(file, ())]
        if not records:
            continue
        bad = skipped_rows(problem for problem in problems if problem.file in files)
        part = Part(name, records, source.test_amount, 1.0, bad, sum(invalid.get(file, 0) for file in files))
        if side == "train":
            part = replace(part, amount=source.amount, weight=source.weight, balance=source.balance, repeats=source.repeats)
        if name in parts:  # the other files of an owner's set
            part = replace(parts[name], records=[*parts[name].records, *records])
        parts[name] = part
    return list(parts.values())


def names_of(sources: Sequence[Files]) -> list[str]:
    names: list[str] = []
    owned: dict[int, str] = {}
    for source in sources:
        name = source.name or "+".join(stem(file) for file, _ in source.files)
        number = sum(other == name or other.startswith(f"{name} (") for other in {*names})
        if source.owned and source.entry is not None and source.entry in owned:
            names.append(owned[source.entry])
            continue
        names.append(f"{name} ({number + 1})" if number else name)
        if source.owned and source.entry is not None:
            owned[source.entry] = names[-1]
    return names
