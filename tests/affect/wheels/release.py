"""A small release in the published file formats, made up for tests: spreadsheets, CSV and pickled archive."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

WHEEL = [
    ["level1", "level2", "level3"],
    [" Happy ", "Joyful", "Content"],
    ["", "", "Relieved"],
    ["", "Brave", "Daring"],
    ["Sad", "Hurt", "Upset"],
    ["", "Scared", "Fearful"],
]
OTHER = [["level1", "level2", "level3"], ["Good", "Happy", "Joyful"], ["Bad", "Sad", "Hurt"]]
SYNONYMS = [
    ["word_run1", "synonym_run1", "word_run2", "synonym_run2"],
    ["happy", "glad, cheerful", "joyful", "glad"],
    ["fearful", "fear, afraid", "daring", "fearless"],
]
FORMATS = 'name,format\nglad,"gladly, gladness"\nhappy,happily\nfear,"fears"\nfearless,"fear,fearlessly"\nno words,\n'


def write_xlsx(path: Path, rows: Sequence[Sequence[str]], inline: bool = False) -> None:
    """A spreadsheet as writers make them: shared strings, or inline ones; empty cells are left out."""
    shared: list[str] = []
    lines = []
    for number, row in enumerate(rows, start=1):
        cells = []
        for column, text in enumerate(row):
            if not text:
                continue
            reference = f"{chr(ord('A') + column)}{number}"
            if inline:
                cells.append(f'<c r="{reference}" t="inlineStr"><is><t>{escape(text)}</t></is></c>')
            else:
                shared.append(text)
                cells.append(f'<c r="{reference}" t="s"><v>{len(shared) - 1}</v></c>')
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    name = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "xl/worksheets/sheet1.xml", f'<worksheet xmlns="{name}"><sheetData>{"".join(lines)}</sheetData></worksheet>'
        )
        if not inline:
            items = "".join(f'<si><t xml:space="preserve">{escape(text)}</t></si>' for text in shared)
            archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{name}">{items}</sst>')


def write_2025(folder: Path) -> Path:
    """A folder like `emotion_wheel` of MER2025."""
    folder.mkdir(parents=True)
    (folder / "format.csv").write_text(FORMATS, encoding="utf-8")
    write_xlsx(folder / "synonym.xlsx", SYNONYMS)
    for number in range(1, 6):
        write_xlsx(folder / f"wheel{number}.xlsx", WHEEL if number == 1 else OTHER, inline=number == 3)
    return folder


def write_2026(folder: Path, **changed: Any) -> Path:
    """A folder like `emotion_wheel` of MER2026."""
    folder.mkdir(parents=True)
    (folder / "format.csv").write_text(FORMATS, encoding="utf-8")
    maps = {"level1": {"happy": "good", "good": "good"}, "level2": {"happy": "happy", "good": "happy"}}
    content: Mapping[str, Any] = {
        "format_mapping": {"gladly": ["glad"], "glad": ["glad", "glad"]},
        "raw_mapping": {"glad": ["happy"]},
        "wheel_map_whole": {f"wheel{number}": maps for number in range(1, 6)},
    }
    np.savez(
        folder / "wheel_mapping.npz", **{key: np.array(value, dtype=object) for key, value in {**content, **changed}.items()}
    )
    return folder


def object_npy(pickled: bytes, header: str = "{'descr': '|O', 'fortran_order': False, 'shape': (), }") -> bytes:
    """An .npy entry with any pickle in it."""
    text = header.encode() + b"\n"
    buffer = io.BytesIO()
    buffer.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + pickled)
    return buffer.getvalue()
