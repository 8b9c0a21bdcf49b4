"""JSON objects with their line numbers, from JSON lines or one JSON array, plain or gzipped."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from facial_r1.data.problems import Problem

_AROUND = 24
"""Characters shown on each side of the place where JSON breaks."""


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]] | Problem]:
    """Yield `(line, object)` for each row of a file, in order, and a `Problem` for what cannot be read.

    Lines count from 1. Blank lines and a byte-order mark are passed over. In an array the line is the one on
    which the element starts; after a broken element nothing more can be read, so the problem is the last
    thing yielded.

    Args:
        path: `.jsonl` or `.json`, also gzipped. What decides is the content: an array starts with `[`.
    """
    try:
        with _open(path) as stream:
            start = _first_character(stream)
            stream.seek(0)
            if not start:
                yield Problem(str(path), 0, "file", "the file is empty", "give a file with one JSON object a line", True)
            elif start == b"[":
                yield from _array(path, stream.read())
            else:
                yield from _lines(path, stream)
    except (OSError, EOFError, zlib.error) as error:
        yield Problem(str(path), 0, "file", f"cannot be read: {error}", "check the file, or copy it again", True)


def _open(path: Path) -> BinaryIO:
    with open(path, "rb") as stream:
        gzipped = stream.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb") if gzipped else open(path, "rb"))


def _first_character(stream: BinaryIO) -> bytes:
    """First byte that is neither white space nor part of a UTF-8 byte-order mark; empty for a blank file."""
    while block := stream.read(4096):
        text = block.removeprefix(b"\xef\xbb\xbf").lstrip()
        if text:
            return text[:1]
    return b""


def _lines(path: Path, stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]] | Problem]:
    for line, raw in enumerate(stream, start=1):
        if not raw.strip():
            continue
        try:
            text = raw.decode("utf-8-sig" if line == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            binary = b"\x00" in raw  # not a text file at all, so that every further line would fail the same way
            yield _not_text(path, line, error, binary)
            if binary:
                return
            continue
        if text.strip() == "{":
            reason = "one row is spread over several lines"
            fix = "write each row on one line, or all rows as one array: [...]"
            yield Problem(str(path), line, "json", reason, fix, True)
            return
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            yield _broken(path, line, error.colno, error.pos, error.msg, text)
            continue
        yield _object(path, line, value)


def _array(path: Path, raw: bytes) -> Iterator[tuple[int, dict[str, Any]] | Problem]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield _not_text(path, raw.count(b"\n", 0, error.start) + 1, error, True)
        return
    decoder = json.JSONDecoder()
    position, counted, line, first = text.index("[") + 1, 0, 1, True
    while True:
        position = _skip_space(text, position)
        if text[position : position + 1] == "]":
            if first:
                yield Problem(str(path), 0, "file", "the file is empty: []", "give a file with at least one row", True)
            return
        if not first:
            if text[position : position + 1] != ",":
                yield _broken_array(path, text, position, "Expecting ',' delimiter")
                return
            position = _skip_space(text, position + 1)
        line += text.count("\n", counted, position)
        counted = position
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            yield _broken_array(path, text, error.pos, error.msg)
            return
        first = False
        yield _object(path, line, value)


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _object(path: Path, line: int, value: Any) -> tuple[int, dict[str, Any]] | Problem:
    if isinstance(value, dict):
        return line, value
    reason = f"the row is a {type(value).__name__}, not an object"
    return Problem(str(path), line, "json", reason, 'write each row as {"image": ..., "labels": [...], ...}')


def _not_text(path: Path, line: int, error: UnicodeDecodeError, whole_file: bool) -> Problem:
    reason = f"byte {error.start + 1} is not UTF-8 text"
    return Problem(str(path), line, "json", reason, "save the file as UTF-8 JSON lines", whole_file)


def _broken_array(path: Path, text: str, position: int, message: str) -> Problem:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return _broken(path, line, column, position, message, text, True)


def _broken(path: Path, line: int, column: int, position: int, message: str, text: str, whole_file: bool = False) -> Problem:
    around = text[max(0, position - _AROUND) : position + _AROUND].strip()
    reason = f"broken JSON at column {column}: {message}, near {around!r}"
    if not text[position:].strip() or "Unterminated" in message:
        fix = "the row ends too early: write it again whole, or remove it"
    elif text[position : position + 1] == "'" or ("property name" in message and "'" in around):
        fix = "JSON needs double quotes around names and text, and no comma after the last item"
    elif text.lstrip()[:1] not in ("{", "["):
        fix = "give a file of JSON objects, one a line; other formats have to be converted first"
    else:
        fix = "mend the line or remove it"
    return Problem(str(path), line, "json", reason, fix, whole_file)
