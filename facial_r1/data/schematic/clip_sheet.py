"""Clips in one picture: a row each, frames from left to right, the sound below, and what is said and meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from facial_r1.data.media.audio import waveform
from facial_r1.data.media.probing import probe
from facial_r1.data.media.video import frames
from facial_r1.data.schematic.clips import ClipSpec, draw_clip
from facial_r1.data.schematic.contact_sheet import INK, PAPER, SOFT_INK

_LINE = (66, 92, 140)
_RATE = 16_000


def clip_sheet(
    items: Sequence[ClipSpec | Mapping[str, Any]], columns: int = 8, tile: int = 84, root: Path | None = None, scale: int = 1
) -> Image.Image:
    """Arrange clips row by row.

    Args:
        items: Clips, which are drawn, or records (mappings with `video`, `audio`, `transcript`, `labels`, `AUs`), whose files are opened.
        columns: Frames of a clip, at equal distances.
        tile: Side of a frame in the sheet, in pixels before scaling.
        root: Folder that the records' paths are relative to; the working directory without it.
        scale: Factor for everything, for sharper prints.

    Returns:
        An RGB picture of columns x (tile + gap) by rows x (caption + tile + sound).
    """
    side, gap, caption, height = tile * scale, 3 * scale, 18 * scale, 30 * scale
    row = caption + side + height + 3 * gap
    sheet = Image.new("RGB", (columns * (side + gap) + gap, len(items) * row + gap), PAPER)
    pen = ImageDraw.Draw(sheet)
    title, small = ImageFont.load_default(12 * scale), ImageFont.load_default(10 * scale)
    for number, item in enumerate(items):
        top = number * row + gap
        pictures, sound, heading, text = _content(item, columns, root)
        pen.text((gap, top + caption / 2), heading, font=title, fill=INK, anchor="lm")
        pen.text((sheet.width - gap, top + caption / 2), text, font=small, fill=SOFT_INK, anchor="rm")
        for place, picture in enumerate(pictures):
            tiled = ImageOps.fit(Image.fromarray(picture), (side, side))
            sheet.paste(tiled, (gap + place * (side + gap), top + caption))
        if sound is not None:
            draw_sound(pen, sound, (gap, top + caption + side + gap, sheet.width - gap, top + caption + side + gap + height))
    return sheet


def _content(
    item: ClipSpec | Mapping[str, Any], columns: int, root: Path | None
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None, str, str]:
    """Frames, sound, heading and sentence of a clip."""
    if isinstance(item, ClipSpec):
        drawn, sound, sentence = draw_clip(item)
        places = [int((place + 0.5) * len(drawn) / columns) for place in range(min(columns, len(drawn)))]
        return drawn[places], sound, heading_of(item.emotion, item.carrier, item.action_units), sentence
    base = root or Path()
    video, audio = item.get("video") or "", item.get("audio") or item.get("video") or ""
    audio = video if audio == "video" else audio
    shown = frames(base / video, columns)[0] if video else np.zeros((0, 8, 8, 3), np.uint8)
    heard = waveform(base / audio, _RATE) if audio and probe(base / audio).audio is not None else None
    carrier = (item.get("meta_info") or {}).get("carrier", "")
    return (
        shown,
        heard,
        heading_of(", ".join(item.get("labels") or ()), carrier, item.get("AUs")),
        str(item.get("transcript") or ""),
    )


def heading_of(emotion: str, carrier: str, units: Sequence[str] | None) -> str:
    coded = "" if units is None else " ".join(["AU", *(unit.removeprefix("AU") for unit in units)]) if units else "no AU"
    return "   ".join(part for part in (emotion, f"in {carrier}" if carrier else "", coded) if part)


def draw_sound(pen: ImageDraw.ImageDraw, sound: NDArray[np.float32], box: tuple[int, int, int, int]) -> None:
    """Lowest and highest sample at each column, on a scale on which 0.5 fills the height."""
    left, top, right, bottom = box
    middle, half = (top + bottom) / 2, (bottom - top) / 2
    parts = np.array_split(sound, right - left)
    for place, part in enumerate(parts):
        if len(part):
            low, high = (float(np.clip(value / 0.5, -1, 1)) for value in (part.min(), part.max()))
            pen.line([(left + place, middle - high * half), (left + place, middle - low * half)], fill=_LINE)
