"""ExpW, Expression in-the-Wild (Zhang, Luo, Loy and Tang, IJCV 2018): faces in web photographs, given by boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from facial_r1.data.problems import Problem
from facial_r1.data.sources.listing import class_of, class_problem, face, first_file, first_folder, row_problem, words
from facial_r1.data.sources.registry import Reading, layout_error, source

CLASSES = {0: "anger", 1: "disgust", 2: "fear", 3: "happiness", 4: "sadness", 5: "surprise", 6: "neutral"}
"""The owner's ids."""

_COLUMNS = "image_name face_id box_top box_left box_right box_bottom confidence expression"
_LAYOUT = """
  label/label.lst           image_name face_id box_top box_left box_right box_bottom confidence expression
  image/origin/*.jpg        whole photographs
"""


@source("expw", "ExpW: 91,793 faces cut from web photographs, seven emotions, no split", _LAYOUT)
def read(
    root: Path,
    margin: Annotated[float, Field(ge=0, le=1)] = 0.0,
    min_confidence: Annotated[float, Field(ge=0)] = 0.0,
    suffix: Literal["png", "jpg"] = "jpg",
) -> Reading:
    """Read the list of boxes; the faces are cut out when the set is prepared.

    Args:
        margin: Added on every side, as a share of the box's width and height.
        min_confidence: Rows whose box has a lower confidence are left out, and counted.
        suffix: Of the faces that are written: "jpg" (quality 95) or "png" (lossless, about five times the size).

    Raises:
        InputError: the list or the photographs are not there.
    """
    labels = first_file(root, "label/label.lst", "label.lst", "data/label/label.lst")
    if labels is None:
        raise layout_error("expw", root, "label/label.lst is missing")
    images = first_folder(root, "image/origin", "data/image/origin", "image", "data/image", "origin", "images")
    if images is None:
        raise layout_error("expw", root, "the folder image/origin is missing")
    reading = Reading(suffix=suffix)
    if min_confidence > 0:
        reading.official = {}
    for line, cells in words(labels):
        _read_row(labels, line, cells, images, margin, min_confidence, reading)
    return reading


def _read_row(
    file: Path, line: int, cells: list[str], images: Path, margin: float, min_confidence: float, reading: Reading
) -> None:
    if len(cells) != 8:
        reading.problems.append(row_problem(file, line, cells, _COLUMNS))
        return
    image, number, *_, expression = cells
    label = class_of(expression, CLASSES)
    if label is None:
        reading.problems.append(class_problem(file, line, expression, CLASSES))
        return
    try:
        top, left, right, bottom = (int(float(cell)) for cell in cells[2:6])
        confidence = float(cells[6])
    except (ValueError, OverflowError):
        reading.problems.append(row_problem(file, line, cells, _COLUMNS))
        return
    if right <= left or bottom <= top:
        reason = f"an empty box: left {left}, right {right}, top {top}, bottom {bottom}"
        reading.problems.append(Problem(str(file), line, "box", reason, f"a row is: {_COLUMNS}. Mend or remove the line"))
        return
    if confidence < min_confidence:
        reading.excluded[f"confidence below {min_confidence:g}"] += 1
        return
    name = f"expw/{Path(image).stem}_{number}"
    wide, high = round(margin * (right - left)), round(margin * (bottom - top))
    meta: dict[str, object] = {"image": image, "box": [left, top, right, bottom], "confidence": confidence}
    reading.records.append(face("ExpW", name, images / image, label, None, f"{file}:{line}", meta))
    reading.crops[name] = (left - wide, top - high, right + wide, bottom + high)
