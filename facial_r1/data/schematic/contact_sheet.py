"""Many faces in one picture, each with its emotion and action units below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from facial_r1.data.images import open_image
from facial_r1.data.schematic.drawing import draw
from facial_r1.data.schematic.faces import TEST_PEOPLE, TRAIN_PEOPLE, Face, face

PAPER = (250, 249, 246)
INK = (38, 38, 46)
SOFT_INK = (112, 112, 124)
_FILTER = Image.Resampling.LANCZOS
ORDER = ("happiness", "surprise", "sadness", "fear", "anger", "disgust", "neutral")


def contact_sheet(
    items: Sequence[Face | Mapping[str, Any] | None],
    columns: int = 7,
    tile: int = 112,
    root: Path | None = None,
    scale: int = 1,
) -> Image.Image:
    """Arrange faces row by row, with a caption below each.

    Args:
        items: Faces, which are drawn, or records, whose image files are opened (the middle square of each); None leaves a gap.
        columns: Faces in a row.
        tile: Side of a face in the sheet, in pixels before scaling.
        root: Folder that the records' image paths are relative to; the working directory without it.
        scale: Factor for everything, for sharper prints.

    Returns:
        An RGB picture of columns x (tile + gap) by rows x (tile + gap + caption).
    """
    side, gap, caption = tile * scale, 8 * scale, 30 * scale
    rows = -(-len(items) // columns)
    sheet = Image.new("RGB", (columns * (side + gap) + gap, rows * (side + caption + gap) + gap), PAPER)
    pen = ImageDraw.Draw(sheet)
    title, small = ImageFont.load_default(12 * scale), ImageFont.load_default(9 * scale)
    mask = _rounded(side, 8 * scale)
    for place, item in enumerate(items):
        if item is None:
            continue
        x = gap + (place % columns) * (side + gap)
        y = gap + (place // columns) * (side + caption + gap)
        picture, emotion, units = _content(item, side, root)
        sheet.paste(picture, (x, y), mask)
        middle = x + side / 2
        width = side + gap - 2 * scale
        pen.text((middle, y + side + 9 * scale), _fitted(emotion, title, width), font=title, fill=INK, anchor="mm")
        pen.text((middle, y + side + 22 * scale), _fitted(units, small, width), font=small, fill=SOFT_INK, anchor="mm")
    return sheet


def _content(item: Face | Mapping[str, Any], side: int, root: Path | None) -> tuple[Image.Image, str, str]:
    """Picture, emotion and action units of a tile; no units are named for a face that nobody coded."""
    if isinstance(item, Face):
        return draw(item, side), item.emotion, _units(item.action_units)
    picture = open_image((root or Path()) / item["image"])
    coded = item["AUs"] is not None
    return ImageOps.fit(picture, (side, side), _FILTER), ", ".join(item["labels"]), _units(item["AUs"]) if coded else ""


def _units(codes: Sequence[str]) -> str:
    return " ".join(["AU", *(code.removeprefix("AU") for code in codes)]) if codes else "no AU"


def _fitted(text: str, font: Any, width: float) -> str:
    """`text`, cut at a blank where it is wider than a tile."""
    while font.getlength(text) > width and " " in text:
        text = text.removesuffix(" …").rpartition(" ")[0] + " …"
    return text


def _rounded(side: int, radius: int) -> Image.Image:
    large = Image.new("L", (side * 2, side * 2), 0)
    ImageDraw.Draw(large).rounded_rectangle((0, 0, side * 2 - 1, side * 2 - 1), radius * 2, fill=255)
    return large.reduce(2)


def selection(seed: int = 0, rows: int = 6) -> list[Face]:
    """Choose faces for the README: one column an emotion, every person once, clear expressions, light and noise left out.

    They are faces of the data set of this seed (whose pictures have both); row by row in the order of `ORDER`.
    """
    columns: dict[str, list[Face]] = {emotion: [] for emotion in ORDER}
    seen: set[int] = set()
    people = [*TRAIN_PEOPLE, *TEST_PEOPLE]
    index = 0
    while any(len(column) < rows for column in columns.values()):
        one = face(seed, index, people)
        index += 1
        column = columns[one.emotion]
        looks = (one.identity.skin_tone, one.identity.hair_style)
        taken = {(other.identity.skin_tone, other.identity.hair_style) for other in column}
        styles = [other.identity.hair_style for other in column]
        clear = one.emotion == "neutral" or (
            min(min(pair) for pair in one.intensities.values()) >= 0.45 and len(one.intensities) >= 2
        )
        if len(column) >= rows or one.person in seen or looks in taken or looks[1] in styles or not clear:
            continue
        if one.nuisance.occluder or one.action_units in [other.action_units for other in column if other.intensities]:
            continue
        column.append(replace(one, nuisance=replace(one.nuisance, noise=0, light=(0.0, 0.0))))
        seen.add(one.person)
    return [columns[emotion][row] for row in range(rows) for emotion in ORDER]
