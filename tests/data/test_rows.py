"""Arrays are read block by block: the same rows, lines and problems whatever the size of a block."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1.data import rows
from facial_r1.data.problems import Problem
from facial_r1.data.rows import read_distinct_rows, read_rows

ELEMENTS = st.sampled_from([{}, {"a": "x\ny"}, {"a": ["h\u00e9", 1], "b": None}, {"k": {"\u4e2d": 2.5}}, 12, 345, "s", [1]])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    block = rows._BLOCK
    yield tmp_path_factory.mktemp("rows") / "a.json"
    rows._BLOCK = block


def read(file: Path, raw: bytes, block: int) -> list[Any]:
    file.write_bytes(raw)
    rows._BLOCK = block
    found: list[Any] = []
    for entry in read_rows(file):
        if isinstance(entry, Problem):  # the text that a message quotes depends on what was read so far
            found.append((entry.line, entry.reason.partition(", near")[0], entry.fix, entry.whole_file))
        else:
            found.append(entry)
    return found


@settings(max_examples=150, deadline=None)
@given(
    elements=st.lists(ELEMENTS, max_size=5),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
    start=st.sampled_from([b"", b"\xef\xbb\xbf", b"\n", b" \r\n"]),
    block=st.integers(1, 40),
    damage=st.one_of(st.none(), st.tuples(st.integers(0, 200), st.sampled_from([b"", b"}", b",", b"x", b'"', b"\n"]))),
)
def test_the_size_of_a_block_changes_nothing(
    file: Path,
    elements: list[Any],
    indent: int | None,
    ascii_only: bool,
    start: bytes,
    block: int,
    damage: tuple[int, bytes] | None,
) -> None:
    raw = start + json.dumps(elements, indent=indent, ensure_ascii=ascii_only).encode()
    if damage is not None:
        raw = raw[: damage[0]] + damage[1] + raw[damage[0] + 1 :] if damage[1] else raw[: damage[0] + 1]
    assert read(file, raw, block) == read(file, raw, 1 << 20)


def test_rows_come_with_the_line_on_which_they_start(file: Path) -> None:
    raw = b'\xef\xbb\xbf\n[ {"a": "x\\ny"},\n\n {"b":\n 1}, {"c": "h\xc3\xa9"}\n]'
    assert read(file, raw, 3) == [(2, {"a": "x\ny"}), (4, {"b": 1}), (5, {"c": "h\u00e9"})]


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_a_byte_that_is_no_text_is_named_by_its_place(file: Path, block: int) -> None:
    raw = b'[{"a": "h\xc3\xa9"},\n{"b": "\xff"}]'
    assert read(file, raw, block)[-1][:2] == (2, f"byte {raw.index(0xFF) + 1} is not UTF-8 text")


def test_a_broken_element_of_a_large_file_is_found_without_reading_again_and_again(file: Path) -> None:
    raw = b"[" + b'{"a": "' + b"x" * 3_000_000 + b'"},' * 1 + b'{"b" 1},' + b'{"c": "y"},' * 500_000 + b"{}]"
    found = read(file, raw, 4096)
    assert len(found) == 2 and "Expecting ':' delimiter" in found[1][1]


def test_rows_that_share_a_line_get_numbers_of_their_own(file: Path) -> None:
    file.write_text('[{"a": 1}, {"a": 2}, 3, {"a": 4},\n\n\n\n {"a": 5}]')
    numbers = [entry.line if isinstance(entry, Problem) else entry[0] for entry in read_distinct_rows(file)]
    assert numbers == [1, 2, 3, 4, 5]
    file.write_text('{"a": 1}\n\n{"a": 2}\n')
    assert [entry[0] for entry in read_distinct_rows(file) if not isinstance(entry, Problem)] == [1, 3]
