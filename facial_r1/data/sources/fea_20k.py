"""FEA-20K: the annotations that Facial-R1 publishes, with pictures from the sets that they were made of.

The files are JSON lines in the published record form; names say the set, the side (Train, Test) and the stage of training
(stage1, stage2, stage3). The train side is the union of the stage1 files, the test side that of all test files. Pictures are
not part of it: each is found by its name in the folders of FABA-Instruct, RAF-AU, DISFA, BP4D, RAF-DB, AffectNet, ExpW and
FER2013 (there `image_<row>.jpg`, as `stage=prepare data=fer2013` writes them).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from facial_r1.config.suggest import did_you_mean
from facial_r1.data.convert import RowReader
from facial_r1.data.identity import unique_ids
from facial_r1.data.locate import ImageFinder
from facial_r1.data.problems import Problem
from facial_r1.data.protocol import Protocol, load_protocol
from facial_r1.data.record import Record
from facial_r1.data.rows import read_rows
from facial_r1.data.sources.options import folders
from facial_r1.data.sources.pictures import PictureIndex, files_below
from facial_r1.data.sources.registry import Reading, layout_error, source
from facial_r1.errors import InputError

DATASETS = {"faba": "FABA-Instruct", "raf-au": "RAF-AU", "rafau": "RAF-AU", "disfa": "DISFA", "bp4d": "BP4D", "expw": "ExpW",
            "fer2013": "FER2013", "affectnet": "AffectNet", "raf-db": "RAF-DB", "rafdb": "RAF-DB"}  # fmt: skip
"""What file names say, lower case, and the name of the set."""

COUNTS = {
    "FABA-Instruct": {"train": 5826, "test": 311}, "RAF-AU": {"train": 3479, "test": 853}, "DISFA": {"train": 2432, "test": 524},
    "BP4D": {"train": 2000}, "ExpW": {"train": 1000}, "FER2013": {"train": 1000}, "AffectNet": {"train": 1000},
    "RAF-DB": {"train": 1000},
}  # fmt: skip
"""Rows of each set in the stage 1 train files and the test files, rebuilt from the label shares of the released configuration: they
add up to the published 17,737 and 1,688."""

_FILE = re.compile(r".*\.jsonl?(\.gz)?", re.IGNORECASE)
_STAGE = re.compile(r"stage[_-]?(\d)", re.IGNORECASE)
_SIDE = re.compile(r"(?<![a-z])(train|test)(?![a-z])", re.IGNORECASE)
_SUBJECT = re.compile(r"(?:left|right)video(SN\d{3})_comp_\d+|([FM]\d{3})_T\d{1,2}_\d+", re.IGNORECASE)
_FRAME = re.compile(r"([FM]\d{3})_(T\d{1,2})_(\d+)", re.IGNORECASE)
_INVALID = (False, "false", "False")


@source(
    "fea_20k",
    line="FEA-20K: 19,425 annotated faces of eight sets, action units, emotions and reasoning; pictures from those sets",
    layout="""
FABA-Train-gpt_stage1.jsonl, RAF-AU-Test.jsonl, ...    published records; the names hold the set, Train or Test, and the stage
<anywhere>/0012_aligned.jpg, LeftVideoSN024_comp_0019.jpg, F004_T4_1579.jpg, <hash>.jpg, image_<row>.jpg, test_2396_aligned.jpg
                                                       below data.root or the folders of data.options.images
""",
)
def read(
    root: Path,
    images: str | list[str] | None = None,
    stage: Literal[1, 2, 3, "all"] = 1,
    side: Literal["train", "test", "both"] = "both",
    datasets: list[str] | None = None,
) -> Reading:
    """Read the published annotations.

    Args:
        root: The folder of the JSON lines files, at any depth.
        images: Folders that hold the pictures, at any depth; the first one counts where two hold the same name. None: `root`.
        stage: Which train files: those of one stage of training, or all. A file whose name says no stage belongs to each.
        side: train, test or both, by the names of files.
        datasets: Only the rows of these sets (FABA-Instruct, RAF-AU, DISFA, BP4D, ExpW, FER2013, AffectNet, RAF-DB), by what a
            row or the name of its file says; None takes all.
    """
    for name in datasets or ():
        if name not in COUNTS:
            raise InputError(f"data.options.datasets: {name}: no such set in FEA-20K; {did_you_mean(name, COUNTS)}")
    files = _files(root, stage, side)
    if not files:
        raise layout_error("fea_20k", root, f"no .jsonl file of the side {side} and stage {stage}")
    index = PictureIndex(folders("images", images, [root]))
    reading = Reading(files=list(files), official=_official(datasets) if side == "both" and stage == 1 else {})
    protocol = load_protocol("fea_20k")
    words: Counter[str] = Counter()
    for file in files:
        _read_file(file, index, protocol, reading, words, datasets)
    if datasets and not reading.records and not reading.problems:
        raise layout_error(
            "fea_20k", root, f"no row of {' or '.join(datasets)} among the files of the side {side} and stage {stage}"
        )
    reading.records, duplicates, notes = unique_ids(reading.records)
    reading.problems += duplicates
    reading.notes += notes
    if words:
        listed = ", ".join(f"{word} in {count}" for word, count in words.most_common(12))
        reading.notes.append(f"labels that are none of the eight emotions were left out of their rows: {listed}")
    if index.ambiguous:
        some = ", ".join(sorted(index.ambiguous)[:3])
        reading.notes.append(f"{len(index.ambiguous)} names fit several pictures ({some}, ...): the first folder counts")
    return reading


def dataset_of(file: Path) -> str:
    """The set that a file's name says, "FEA-20K" when it says none."""
    return _named(file.name) or "FEA-20K"


def _named(text: str) -> str | None:
    """The set that a text speaks of."""
    name = text.lower().replace("_", "-")
    return next((dataset for word, dataset in DATASETS.items() if word in name), None)


def _official(datasets: Sequence[str] | None) -> dict[str, int | Mapping[str, int]] | None:
    """How many rows there are by side; None for those of the protocol, which are about all sets."""
    if not datasets:
        return None
    counts = {side: sum(COUNTS[name].get(side, 0) for name in datasets) for side in ("train", "test")}
    return {side: count for side, count in counts.items() if count}


def _files(root: Path, stage: int | str, side: str) -> list[Path]:
    found = []
    for folder, name in files_below(root):
        path = Path(folder, name)
        if not _FILE.fullmatch(name) or (dataset_of(path) == "FEA-20K" and not (_SIDE.search(name) or _STAGE.search(name))):
            continue
        said = _SIDE.search(name)
        written = _STAGE.search(name)
        if said and side not in ("both", said[1].lower()):
            continue
        test = said is not None and said[1].lower() == "test"
        if written is None or test or stage in ("all", int(written[1])):
            found.append(path)
    return found


class _ByName(ImageFinder):
    """Finds pictures by name in an index of folders."""

    def __init__(self, file: Path, index: PictureIndex) -> None:
        super().__init__(file, None)
        self._pictures = index

    def find(self, name: str) -> str | None:
        found = self._pictures.find(name)
        match = _FRAME.fullmatch(_stem(name)) if found is None else None
        if match is None:
            return found
        person, task, number = match.groups()  # BP4D as its owner distributes it: F004/T4/1579.jpg
        folder = f"/{person}/{task}/".lower()
        ways = (self._pictures.find(f"{person}/{task}/{number.zfill(digits)}.jpg") for digits in (1, 4, 5))
        return next((path for path in ways if path and folder in path.lower()), None)

    def reason(self, name: str) -> str:
        searched = ", ".join(map(str, self._pictures.roots))
        return f"image {name!r} is missing; {self._pictures.count} pictures searched by name below {searched}"

    def fix(self, name: str) -> str:
        return "name the folders of the sets that the pictures come from: data.options.images=[dirA,dirB]"


def _read_file(
    file: Path,
    index: PictureIndex,
    protocol: Protocol,
    reading: Reading,
    words: Counter[str],
    datasets: Sequence[str] | None,
) -> None:
    said, written = _SIDE.search(file.name), _STAGE.search(file.name)
    reader = RowReader(file, _ByName(file, index), protocol, ("image",), dataset_of(file))
    before = len(reading.records)
    for item in read_rows(file):
        if isinstance(item, Problem):
            reading.problems.append(item)
            continue
        line, row = item
        dataset = _named(str(row.get("dataset") or row.get("source") or "")) or dataset_of(file)
        if datasets and dataset not in datasets:
            continue
        if row.get("is_valid", True) in _INVALID:
            reading.excluded["is_valid: false"] += 1
            continue
        row, left_out = _known_labels(row, protocol)
        words.update(left_out)
        record = reader.read(line, row)
        if record is None:
            continue
        facts: dict[str, Any] = dict(record.meta_info)
        if written is not None:
            facts["stage"] = int(written[1])
        if left_out:
            facts["other_labels"] = left_out
        split = record.split or (said[1].lower() if said else None)
        subject = record.subject or _subject(record)
        reading.records.append(replace(record, dataset=dataset, subject=subject, split=split, meta_info=facts))
    reading.problems += reader.problems
    if said is None and any(record.split is None for record in reading.records[before:]):
        reading.notes.append(f"{file.name}: neither its name nor its rows say Train or Test; data.split decides for it")


def _known_labels(row: dict[str, Any], protocol: Protocol) -> tuple[dict[str, Any], list[str]]:
    """The row without labels outside the eight emotions, and those labels.

    The published files of DISFA and BP4D carry guesses of a language model, some of them free words (confusion, pride).
    """
    labels = row.get("labels")
    given: Sequence[Any] = [labels] if isinstance(labels, str) else labels if isinstance(labels, list) else []
    left_out = [text for text in given if isinstance(text, str) and text.strip() and protocol.label(text) is None]
    if not left_out:
        return row, []
    return row | {"labels": [text for text in given if text not in left_out]}, left_out


def _subject(record: Record) -> str | None:
    """The person that the picture's name says, for the sets whose names say one."""
    match = _SUBJECT.fullmatch(_stem(record.images[0]))
    return (match[1] or match[2]).upper() if match else None


def _stem(path: str) -> str:
    """File name without folder and ending."""
    return path.rpartition("/")[2].rpartition(".")[0]
