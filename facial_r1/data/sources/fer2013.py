"""FER2013 (Goodfellow et al., ICONIP 2013): 35,887 grey faces of 48 x 48 pixels, in a table or in folders."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from facial_r1.config.suggest import did_you_mean
from facial_r1.data.problems import Problem
from facial_r1.data.sources.listing import (
    CLASS_FOLDERS,
    class_of,
    class_problem,
    columns,
    face,
    first_file,
    pictures,
    row_problem,
    subfolders,
    table,
)
from facial_r1.data.sources.registry import Reading, layout_error, source

CLASSES = {0: "anger", 1: "disgust", 2: "fear", 3: "happiness", 4: "sadness", 5: "surprise", 6: "neutral"}
"""The owner's ids."""

SIDE = 48
"""Width and height of a face in pixels."""

_LEVELS = {str(level): level for level in range(256)}
_LAYOUT = """
  fer2013.csv               emotion,pixels,Usage        or
  icml_face_data.csv        emotion, Usage, pixels      or, as on Kaggle:
  train/angry/*.jpg ... train/surprise/, test/angry/ ... test/surprise/
"""
_FOLDERS_NOTE = (
    "the folder version does not say which test images are PublicTest and which PrivateTest: figures on its test side are not "
    "those of PrivateTest, which papers report; fer2013.csv says it"
)


@source("fer2013", "FER2013: 35,887 grey faces of 48 x 48 pixels, seven emotions", _LAYOUT)
def read(
    root: Path, public_test: Literal["validation", "train"] = "validation", suffix: Literal["png", "jpg"] = "png"
) -> Reading:
    """Read either table, or the class folders.

    Rows of a table become pictures named `image_<n>`, n the row counted from 0, as in the published records of this set.

    Args:
        public_test: The side of PublicTest: "validation", or "train" (as Facial-R1 used it: 32,298 rows to train on).
        suffix: Of the pictures written from a table: "png" keeps every value; "jpg" (quality 100) has the names that published
            records refer to, `image_<n>.jpg`.

    Raises:
        InputError: none of the layouts is there.
    """
    file = first_file(root, "fer2013.csv", "fer2013/fer2013.csv", "icml_face_data.csv")
    usages = {"Training": "train", "PublicTest": public_test, "PrivateTest": "test"}
    reading = _from_table(file, usages) if file is not None else _from_folders(root, usages)
    reading.suffix = suffix
    if public_test == "train":
        reading.official = {"train": 32298, "test": 3589}
    return reading


def _from_table(file: Path, usages: dict[str, str]) -> Reading:
    reading = Reading()
    rows = table(file, reading.problems)
    places = columns(file, next(rows, (1, [""]))[1], ("emotion", "pixels", "Usage"))
    if isinstance(places, Problem):
        reading.problems.append(places)
        return reading
    # A row that cannot be read still counts, so that the others keep their names.
    for number, (line, cells) in enumerate(rows):
        problem = _read_row(file, line, cells, places, number, usages, reading)
        if problem is not None:
            reading.problems.append(problem)
    return reading


def _read_row(
    file: Path, line: int, cells: list[str], places: list[int], number: int, usages: dict[str, str], reading: Reading
) -> Problem | None:
    if len(cells) <= max(places):
        return row_problem(file, line, cells, "emotion, pixels and Usage")
    emotion, text, usage = (cells[place] for place in places)
    label = class_of(emotion, CLASSES)
    if label is None:
        return class_problem(file, line, emotion, CLASSES)
    if usage not in usages:
        return Problem(str(file), line, "Usage", f"unknown usage {usage!r}", did_you_mean(usage, usages))
    try:
        levels = grey_values(text)
    except KeyError as error:
        return Problem(str(file), line, "pixels", f"{error.args[0]!r} is no grey value", "values are 0 to 255 between blanks")
    if len(levels) != SIDE * SIDE:
        reason = f"{len(levels)} pixels, not {SIDE} x {SIDE} = {SIDE * SIDE}"
        return Problem(str(file), line, "pixels", reason, "the row is cut off: take the owner's file again, or remove the row")
    name = f"fer2013/image_{number}"
    reading.records.append(face("FER2013", name, None, label, usages[usage], f"{file}:{line}", {"usage": usage}))
    reading.pixels[name] = (SIDE, SIDE, levels)
    return None


def grey_values(text: str) -> bytes:
    """Numbers from 0 to 255 between blanks, as bytes.

    Raises:
        KeyError: the first that is no such number.
    """
    import numpy as np

    if text.isascii() and text.replace(" ", "").isdecimal():
        values = np.fromstring(text, dtype=np.int32, sep=" ")
        if values.max() < 256:
            return values.astype(np.uint8).tobytes()
    return bytes(map(_LEVELS.__getitem__, text.split()))  # six times slower, and says what is wrong


def _from_folders(root: Path, usages: dict[str, str]) -> Reading:
    if not ((root / "train").is_dir() or (root / "test").is_dir()):
        raise layout_error("fer2013", root, "neither fer2013.csv nor icml_face_data.csv nor train/ and test/ is there")
    reading = Reading()
    unnamed = 0
    for side in ("train", "test"):
        for folder in subfolders(root / side) if (root / side).is_dir() else ():
            label = CLASS_FOLDERS.get(folder.name.lower())
            if label not in CLASSES.values():
                fix = did_you_mean(folder.name.lower(), [name for name in CLASS_FOLDERS if name != "contempt"])
                reading.problems.append(Problem(str(folder), 0, "class", f"unknown class folder {folder.name!r}", fix))
                continue
            for name in pictures(folder):
                split = usages.get(name.split("_")[0]) if side == "test" else "train"
                unnamed += split is None
                image = folder / name
                stem = f"fer2013/{side}/{folder.name}/{image.stem}"
                reading.records.append(face("FER2013", stem, image, label, split or "test", f"{image}:0"))
    if unnamed:
        reading.notes.append(_FOLDERS_NOTE)
        reading.official = {"train": 28709, "test": 7178}
    return reading
