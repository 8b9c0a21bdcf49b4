"""AffectNet (Mollahosseini, Hasani and Mahoor, IEEE TAC 2019): faces from the web, eight emotions, in two layouts."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Literal

from facial_r1.data.problems import Problem
from facial_r1.data.protocol import load_protocol
from facial_r1.data.sources.listing import (
    class_problem,
    columns,
    face,
    first_file,
    first_folder,
    pictures,
    row_problem,
    table,
)
from facial_r1.data.sources.registry import Reading, layout_error, source
from facial_r1.progress import progress

CLASSES = {
    0: "neutral",
    1: "happiness",
    2: "sadness",
    3: "surprise",
    4: "fear",
    5: "disgust",
    6: "anger",
    7: "contempt",
}
"""The owner's ids of emotions."""

OTHERS = {8: "none", 9: "uncertain", 10: "no face"}
"""The owner's ids of rows without an emotion; they are left out."""

_COLUMNS = ("subDirectory_filePath", "expression", "valence", "arousal")
_HEADER = ["subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression", "valence",
           "arousal"]  # fmt: skip
_LAYOUT = """
  Manually_Annotated_Images/<folder>/<hash>.jpg
  training.csv, validation.csv           subDirectory_filePath,face_x,...,expression,valence,arousal
or the newer release:
  train_set/images/0.jpg, train_set/annotations/0_exp.npy (_val, _aro, _lnd)
  val_set/images/0.jpg, val_set/annotations/0_exp.npy
"""


@source("affectnet", "AffectNet: 291,651 manually annotated faces, eight (or seven) emotions", _LAYOUT)
def read(root: Path, classes: Literal[7, 8] = 8, affect: bool = False) -> Reading:
    """Read either layout. The validation set is the test side, as everywhere: the owner's test set was never released.

    Args:
        classes: 8, or 7 without contempt (data=affectnet_7 also asks for seven).
        affect: Also read valence and arousal, into `meta_info` (in the newer release two more files a face).

    Raises:
        InputError: neither layout is there.
    """
    wanted = {number: label for number, label in CLASSES.items() if classes == 8 or label != "contempt"}
    reading = Reading(official=load_protocol("affectnet_7").counts if classes == 7 else None)
    new = [(folder, split) for folder, split in ((root / "train_set", "train"), (root / "val_set", "test")) if folder.is_dir()]
    for folder, split in new:
        _from_arrays(folder, split, wanted, affect, reading)
    if new:
        return reading
    lists = [
        (file, split)
        for name, split in (("training.csv", "train"), ("validation.csv", "test"))
        if (file := first_file(root, name, f"Manually_Annotated_file_lists/{name}", f"Manually_Annotated/{name}"))
    ]
    if not lists:
        raise layout_error("affectnet", root, "neither training.csv and validation.csv nor train_set/ and val_set/ is there")
    images = first_folder(root, "Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "Manually_Annotated")
    if images is None:
        raise layout_error("affectnet", root, "the folder Manually_Annotated_Images is missing")
    for file, split in lists:
        _from_list(file, images, split, wanted, affect, reading)
    return reading


def _from_list(file: Path, images: Path, split: str, wanted: dict[int, str], affect: bool, reading: Reading) -> None:
    rows = progress(table(file, reading.problems), what=f"reading {file.name}", unit="rows")
    places: list[int] | Problem | None = None
    for line, cells in rows:
        if places is None:
            bare = cells[0].lower() != _HEADER[0].lower() and "/" in cells[0]  # copies without the header line are about
            places = columns(file, _HEADER if bare else cells, _COLUMNS)
            if isinstance(places, Problem):
                reading.problems.append(places)
                return
            if not bare:
                continue
        assert not isinstance(places, Problem)
        if len(cells) <= max(places):
            reading.problems.append(row_problem(file, line, cells, ",".join(_HEADER)))
            continue
        path, expression, valence, arousal = (cells[place] for place in places)
        label = _label(file, line, expression, wanted, reading)
        if label is None:
            continue
        meta: dict[str, object] = {}
        if affect:
            try:
                meta = {"valence": float(valence), "arousal": float(arousal)}
            except ValueError:
                reason = f"valence {valence!r} or arousal {arousal!r} is no number"
                reading.problems.append(Problem(str(file), line, "valence", reason, "mend or remove the line"))
                continue
        name = path.rpartition(".")[0] or path
        reading.records.append(face("AffectNet", f"affectnet/{name}", images / path, label, split, f"{file}:{line}", meta))


def _from_arrays(folder: Path, split: str, wanted: dict[int, str], affect: bool, reading: Reading) -> None:
    images, annotations = folder / "images", folder / "annotations"
    for part in (images, annotations):
        if not part.is_dir():
            raise layout_error("affectnet", folder.parent, f"the folder {part} is missing")
    names = {name.rpartition(".")[0]: name for name in pictures(images)}
    coded = {file.name.removesuffix("_exp.npy") for file in annotations.glob("*_exp.npy")}
    for stem in sorted(names.keys() - coded, key=_numeric):
        fix = f"copy {annotations / f'{stem}_exp.npy'} again, or remove the image"
        reading.problems.append(Problem(str(images / names[stem]), 0, "annotation", "there is no expression for this image", fix))
    for stem in progress(sorted(coded, key=_numeric), what=f"reading {folder.name}", unit="rows"):
        file = annotations / f"{stem}_exp.npy"
        values: dict[str, object] = {}
        try:
            expression = scalar(file.read_bytes())
            if affect:
                parts = (("valence", "val"), ("arousal", "aro"))
                values = {name: float(scalar((annotations / f"{stem}_{part}.npy").read_bytes())) for name, part in parts}
        except (OSError, ValueError, EOFError) as error:
            reading.problems.append(Problem(str(file), 0, "annotation", f"cannot be read: {error}", "copy the file again"))
            continue
        label = _label(file, 0, expression, wanted, reading)
        if label is None:
            continue
        image = images / names.get(stem, f"{stem}.jpg")
        reading.records.append(face("AffectNet", f"affectnet/{folder.name}/{stem}", image, label, split, f"{file}:0", values))


@lru_cache(maxsize=4096)
def scalar(raw: bytes) -> str:
    """The one value in the bytes of a .npy file, as text. There are as many distinct files of expressions as classes.

    Raises:
        ValueError: no array file, not one value, or an array of Python objects (which would run code when loaded).
    """
    import numpy as np

    value = np.load(io.BytesIO(raw), allow_pickle=False)
    if value.size != 1:
        raise ValueError(f"an array of {value.size} values, not one")
    return str(value.reshape(()).item())


def _label(file: Path, line: int, text: str, wanted: dict[int, str], reading: Reading) -> str | None:
    """The label of an expression id; None after counting it as excluded or adding a problem."""
    try:
        number = int(float(text))
        known = float(text) == number and (number in CLASSES or number in OTHERS)
    except (ValueError, OverflowError):
        known, number = False, -1
    if not known:
        reading.problems.append(class_problem(file, line, text, CLASSES | OTHERS))
        return None
    if number not in wanted:
        reading.excluded[f"expression {number}: {(CLASSES | OTHERS)[number]}"] += 1
        return None
    return wanted[number]


def _numeric(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isdigit() else (-1, name)
