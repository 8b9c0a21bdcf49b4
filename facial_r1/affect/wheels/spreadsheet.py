"""Simple spreadsheets (.xlsx): the text of the first sheet, row by row, with the standard library only."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

from facial_r1.errors import InputError

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_LARGEST = 64 << 20
_COLUMN = re.compile(r"[A-Z]{1,3}")


def read_xlsx(path: Path) -> list[list[str]]:
    """The cells of the first sheet as text; cells that are not there are "".

    Raises:
        InputError: The file is missing, or is no spreadsheet that can be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            shared = _shared(archive)
            sheets = sorted(
                (name for name in archive.namelist() if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", name)), key=_number
            )
            if not sheets:
                raise InputError(f"{path}: no sheet in this spreadsheet; save it as .xlsx again")
            return _rows(_parsed(archive, sheets[0]), shared)
    except (OSError, zipfile.BadZipFile, ElementTree.ParseError, KeyError, IndexError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as .xlsx ({error}); give the file as it was released") from error


def _number(name: str) -> int:
    return int("".join(character for character in name if character.isdigit()))


def _parsed(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    if archive.getinfo(name).file_size > _LARGEST:
        raise ValueError(f"{name} is larger than {_LARGEST >> 20} MiB")
    return ElementTree.fromstring(archive.read(name))


def _shared(archive: zipfile.ZipFile) -> list[str]:
    name = "xl/sharedStrings.xml"
    return [_text(item) for item in _parsed(archive, name)] if name in archive.namelist() else []


def _text(node: ElementTree.Element) -> str:
    return "".join(part.text or "" for part in node.iter(f"{_MAIN}t"))


def _rows(sheet: ElementTree.Element, shared: list[str]) -> list[list[str]]:
    rows = []
    for row in sheet.iter(f"{_MAIN}row"):
        cells: dict[int, str] = {}
        for cell in row.iter(f"{_MAIN}c"):
            column = _column(cell.get("r", ""), len(cells))
            value = cell.find(f"{_MAIN}v")
            if cell.get("t") == "inlineStr":
                cells[column] = _text(cell)
            elif value is not None and value.text is not None:
                cells[column] = shared[int(value.text)] if cell.get("t") == "s" else value.text
        rows.append([cells.get(column, "") for column in range(max(cells, default=-1) + 1)])
    return rows


def _column(reference: str, position: int) -> int:
    """Number of the column in a reference like "AB12"; writers may leave references out."""
    match = _COLUMN.match(reference)
    if match is None:
        return position
    number = 0
    for letter in match.group():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
