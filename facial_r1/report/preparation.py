"""What a prepared dataset shows in its report: sheets of faces and clips, and the counts of clips."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from facial_r1.progress import duration
from facial_r1.report.load import Run

_SHEETS = (("contact_sheet.png", "Faces by class"), ("clip_sheet.png", "Clips: frames, sound and words"))
_WIDEST = 1600
_TALLEST = 8000
"""Pixels of a sheet in the page; larger ones are reduced, the file itself is not."""


def preparation(run: Run) -> dict[str, Any]:
    """The section's contents; empty for other stages, or where nothing was drawn."""
    if run.stage != "prepare":
        return {}
    sheets = []
    for name, title in _SHEETS:
        file = run.path / name
        if not file.is_file():
            continue
        try:
            sheets.append({"name": name, "title": title, "uri": _embedded(file)})
        except OSError as error:
            run.notes.append(f"{name} could not be read: {error}")
    rows = [*_clip_rows(run.summary.get("clips") or {}), *_face_rows(run.summary.get("faces") or {})]
    return {"sheets": sheets, "rows": rows} if sheets or rows else {}


def _embedded(file: Path) -> str:
    """The picture as JPEG, a fifth of the bytes of its PNG."""
    from PIL import Image

    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((_WIDEST, _TALLEST))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=84, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _clip_rows(clips: dict[str, Any]) -> list[tuple[str, str]]:
    if not clips:
        return []
    length = clips.get("seconds") or {}
    rows = [(f"with {name}", f"{clips.get(name, 0):,} of {clips.get('rows', 0):,}") for name in ("video", "sound", "transcript")]
    if hidden := clips.get("transcripts_not_shown"):
        rows.append(("transcripts that the prompt does not show", f"{hidden:,}"))
    if length:
        rows.append(("length, s", f"{length['shortest']:g} to {length['longest']:g}, median {length['median']:g}"))
        rows.append(("all together", duration(length["total"])))
    return rows + [(f"fault: {reason}", f"{count:,}") for reason, count in (clips.get("faults") or {}).items()]


def _face_rows(faces: dict[str, Any]) -> list[tuple[str, str]]:
    if not faces:
        return []
    done = "kept whole" if faces.get("on_missing") == "whole" else "left out"
    return [
        (f"faces cut out ({faces.get('detector')})", f"{faces.get('pictures', 0):,} pictures, {faces.get('clips', 0):,} videos"),
        (f"files without a face, {done}", f"{faces.get('without_face', 0):,}"),
    ]
