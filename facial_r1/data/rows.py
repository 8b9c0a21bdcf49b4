"""JSON objects with their line numbers, from JSON lines or one JSON array, plain or gzipped."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from facial_r1.data.problems import Problem

_AROUND = 24
"""Characters shown on each side of the place where JSON breaks."""
_BLOCK = 1 << 20
"""Bytes of an array that are read at once."""


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
                yield from _array(path, stream)
            else:
                yield from _lines(path, stream)
    except (OSError, EOFError, zlib.error) as error:
        yield Problem(str(path), 0, "file", f"cannot be read: {error}", "check the file, or copy it again", True)


def read_distinct_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]] | Problem]:
    """`read_rows` with a number of its own for each row, so that the number says which row it is.

    That is its line; rows that share a line (an array without line breaks) are counted on from the row before. So the rows of an
    array on one line are 1, 2, 3, ...
    """
    last = 0
    for entry in read_rows(path):
        if isinstance(entry, Problem):
            if entry.line:
                last = max(entry.line, last + 1)
            yield entry if entry.whole_file or not entry.line else replace(entry, line=last)
            continue
        last = max(entry[0], last + 1)
        yield last, entry[1]


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


def _array(path: Path, stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]] | Problem]:
    """Elements of an array. Memory holds the text of one element and one block, whatever the size of the file."""
    decoder = json.JSONDecoder()
    text = _Window(stream)
    first = True
    try:
        text.skip_space()
        text.position = text.text.index("[") + 1
        while True:
            text.skip_space()
            if text.at("]"):
                if first:
                    yield Problem(str(path), 0, "file", "the file is empty: []", "give a file with at least one row", True)
                return
            if not first:
                if not text.at(","):
                    yield text.broken(path, text.position, "Expecting ',' delimiter")
                    return
                text.position += 1
                text.skip_space()
            line = text.line()
            value, text.position = text.decode(decoder)
            first = False
            yield _object(path, line, value)
    except UnicodeDecodeError as error:
        yield _not_text(path, text.line_of_bytes(error), error, True, text.bytes_before(error))
    except json.JSONDecodeError as error:
        yield text.broken(path, error.pos, error.msg)


class _Window:
    """A part of a text file that moves over it: what was read and is still needed.

    Attributes:
        text: The part.
        position: Place in `text` from which on nothing was understood yet.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.text, self.position = "", 0
        self._stream, self._read = stream, 0
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._block, self._size, self._ended = b"", _BLOCK, False
        self._line, self._counted, self._column = 1, 0, 0

    def decode(self, decoder: json.JSONDecoder) -> tuple[Any, int]:
        """The value at the position, and where it ends; blocks are added until it is whole."""
        self._size = _BLOCK
        while True:
            try:
                value, end = decoder.raw_decode(self.text, self.position)
            except json.JSONDecodeError:
                if not self._more():
                    raise
                self._size *= 2  # so that a broken element costs no more than reading the rest of the file a few times
                continue
            if end < len(self.text) or not self._more():  # a number may go on in the next block
                return value, end

    def skip_space(self) -> None:
        """Move to the next character that is no white space, or to the end of the file."""
        while True:
            while self.position < len(self.text) and self.text[self.position] in " \t\r\n":
                self.position += 1
            if self.position < len(self.text) or not self._more():
                return

    def at(self, character: str) -> bool:
        """Whether the position is at this character."""
        return self.text[self.position : self.position + 1] == character

    def line(self) -> int:
        """Line of the position, from 1."""
        self._line += self.text.count("\n", self._counted, self.position)
        self._counted = max(self._counted, self.position)
        return self._line

    def line_of_bytes(self, error: UnicodeDecodeError) -> int:
        """Line of the byte at which decoding failed."""
        self.position = len(self.text)
        return self.line() + bytes(error.object[: error.start]).count(b"\n")

    def bytes_before(self, error: UnicodeDecodeError) -> int:
        """Bytes of the file before those that the error is about; some may be left over from the block before."""
        return self._read + len(self._block) - len(error.object)

    def broken(self, path: Path, position: int, message: str) -> Problem:
        """The problem of JSON that breaks at a place of the text."""
        line = self.line() + self.text.count("\n", self._counted, position) - self.text.count("\n", position, self._counted)
        start = self.text.rfind("\n", 0, position)
        column = position - start if start >= 0 else position + self._column + 1
        return _broken(path, line, column, position, message, self.text, True)

    def _more(self) -> bool:
        """Read a block and drop what was understood, but for a few characters that messages quote. False at the end."""
        if self._ended:
            return False
        self._read += len(self._block)
        self._block = self._stream.read(self._size)
        self._ended = not self._block
        added = self._decoder.decode(self._block, final=self._ended)
        drop = max(0, self.position - 2 * _AROUND)
        if drop:
            self.line()
            before = self.text.rfind("\n", 0, drop)
            self._column = drop - before - 1 if before >= 0 else self._column + drop
            self._counted -= drop
            self.position -= drop
        self.text = self.text[drop:] + added
        return True


def _object(path: Path, line: int, value: Any) -> tuple[int, dict[str, Any]] | Problem:
    if isinstance(value, dict):
        return line, value
    reason = f"the row is a {type(value).__name__}, not an object"
    return Problem(str(path), line, "json", reason, 'write each row as {"image": ..., "labels": [...], ...}')


def _not_text(path: Path, line: int, error: UnicodeDecodeError, whole_file: bool, before: int = 0) -> Problem:
    reason = f"byte {before + error.start + 1} is not UTF-8 text"
    return Problem(str(path), line, "json", reason, "save the file as UTF-8 JSON lines", whole_file)


def _broken(path: Path, line: int, column: int, position: int, message: str, text: str, whole_file: bool = False) -> Problem:
    around = text[max(0, position - _AROUND) : position + _AROUND].strip()
    reason = f"broken JSON at column {column}: {message}, near {around!r}"
    if not text[position:].strip() or "Unterminated" in message:
        fix = "the row ends too early: write it again whole, or remove it"
    elif text[position : position + 1] == "'" or ("property name" in message and "'" in around):
        fix = "JSON needs double quotes around names and text, and no comma after the last item"
    elif not whole_file and text.lstrip()[:1] not in ("{", "["):
        fix = "give a file of JSON objects, one a line; other formats have to be converted first"
    else:
        fix = "mend the line or remove it"
    return Problem(str(path), line, "json", reason, fix, whole_file)
