"""RAF-DB, the part with one basic emotion a face (Li, Deng and Du, CVPR 2017)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from facial_r1.data.problems import Problem
from facial_r1.data.sources.listing import (
    class_of,
    class_problem,
    columns,
    face,
    first_file,
    first_folder,
    pictures,
    row_problem,
    subfolders,
    table,
    words,
)
from facial_r1.data.sources.registry import Reading, layout_error, source

CLASSES = {1: "surprise", 2: "fear", 3: "disgust", 4: "happiness", 5: "sadness", 6: "anger", 7: "neutral"}
"""The owner's ids."""

_SPLITS = {"train": "train", "test": "test"}
_LAYOUT = """
  basic/
    EmoLabel/list_patition_label.txt     train_00001.jpg 5
    Image/aligned/train_00001_aligned.jpg
    Image/original/train_00001.jpg       (data.options.images=original)
or, as on Kaggle:
  DATASET/
    train/1/train_00010_aligned.jpg ... train/7/, test/1/ ... test/7/
    train_labels.csv, test_labels.csv    image,label (where they are there)
"""


@source("raf_db", "RAF-DB basic: 15,339 photographs, seven emotions", _LAYOUT)
def read(root: Path, images: Literal["aligned", "original"] = "aligned") -> Reading:
    """Read the owner's label list, or the class folders of the Kaggle version.

    Args:
        images: "aligned" faces of 100 x 100 pixels, or the "original" photographs they were cut from.

    Raises:
        InputError: neither layout is there.
    """
    labels = first_file(root, "basic/EmoLabel/list_patition_label.txt", "EmoLabel/list_patition_label.txt")
    if labels is not None:
        return _from_list(root, labels, images)
    folder = first_folder(root, "DATASET", ".")
    if folder is not None and first_folder(folder, "train", "test") is not None:
        return _from_folders(folder)
    raise layout_error("raf_db", root, "neither EmoLabel/list_patition_label.txt nor train/ and test/ is there")


def _from_list(root: Path, labels: Path, images: str) -> Reading:
    folder = labels.parent.parent / "Image" / images
    if not folder.is_dir():
        raise layout_error("raf_db", root, f"the folder {folder} is missing")
    reading = Reading()
    ending = "_aligned" if images == "aligned" else ""
    for line, cells in words(labels):
        if len(cells) != 2:
            reading.problems.append(row_problem(labels, line, cells, "train_00001.jpg 5"))
            continue
        name, number = cells
        stem, _, suffix = name.rpartition(".")
        split = _SPLITS.get(stem.split("_")[0])
        label = class_of(number, CLASSES)
        if label is None:
            reading.problems.append(class_problem(labels, line, number, CLASSES))
        elif split is None:
            fix = "names start with train_ or test_: mend or remove the line"
            reading.problems.append(Problem(str(labels), line, "split", f"{name!r} says no side", fix))
        else:
            image = folder / f"{stem}{ending}.{suffix}"
            reading.records.append(face("RAF-DB", f"raf_db/{stem}", image, label, split, f"{labels}:{line}"))
    return reading


def _from_folders(root: Path) -> Reading:
    reading = Reading(notes=["read from class folders (Kaggle); the owner's own list is EmoLabel/list_patition_label.txt"])
    for split in _SPLITS:
        if not (root / split).is_dir():
            continue
        listed = _listed(root / f"{split}_labels.csv", reading)
        for folder in subfolders(root / split):
            label = class_of(folder.name, CLASSES)
            if label is None:
                reading.problems.append(class_problem(folder, 0, folder.name, CLASSES))
                continue
            for name in pictures(folder):
                other = listed.get(name)
                if other is not None and class_of(other[1], CLASSES) != label:
                    reason = f"{name} is class {other[1]} here and lies in the folder {folder.name}"
                    fix = "one of the two is wrong: compare with the owner's list"
                    reading.problems.append(Problem(str(root / f"{split}_labels.csv"), other[0], "class", reason, fix))
                    continue
                stem = name.rpartition(".")[0].removesuffix("_aligned")
                image = folder / name
                reading.records.append(face("RAF-DB", f"raf_db/{stem}", image, label, split, f"{image}:0"))
    return reading


def _listed(file: Path, reading: Reading) -> dict[str, tuple[int, str]]:
    """Line and class of each image that a csv of the Kaggle version names; empty without the file."""
    found: dict[str, tuple[int, str]] = {}
    if not file.is_file():
        return found
    reading.files.append(file)
    rows = table(file, reading.problems)
    places = columns(file, next(rows, (1, [""]))[1], ("image", "label"))
    if isinstance(places, Problem):
        reading.problems.append(places)
        return found
    for line, cells in rows:
        if len(cells) <= max(places):
            reading.problems.append(row_problem(file, line, cells, "image,label"))
            continue
        found[cells[places[0]]] = (line, cells[places[1]])
    return found
