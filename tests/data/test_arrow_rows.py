"""Large row files: streamed, kept as Arrow, mapped."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from facial_r1.data.arrow_rows import LazyRecords, arrow_rows
from facial_r1.data.record import Record
from facial_r1.errors import InputError
from tests.command import ROOT

COLUMNS = ("a", "b")


def write(path: Path, rows: list[Any], form: str = "json") -> Path:
    text = "\n".join(map(json.dumps, rows)) if "jsonl" in form else json.dumps(rows, indent=1)
    path = path / f"rows.{form}"
    path.write_bytes(gzip.compress(text.encode()) if form.endswith("gz") else text.encode())
    return path


@pytest.mark.parametrize("form", ["json", "jsonl", "json.gz", "jsonl.gz"])
def test_columns_come_back_in_order_with_their_lines(tmp_path: Path, form: str) -> None:
    path = write(tmp_path, [{"a": f"x{n}", "b": "h\u00e9", "c": 1} for n in range(40_000)], form)
    rows = arrow_rows(path, COLUMNS, cache=str(tmp_path))
    assert len(rows) == 40_000 and not rows.problems
    assert list(rows.column("a")) == [f"x{n}" for n in range(40_000)]
    assert rows.table.column("line").to_pylist()[:2] == ([1, 2] if "jsonl" in form else [2, 7])


def test_the_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, [{"a": "x", "b": "y"}])
    assert len(arrow_rows(path, COLUMNS, cache=str(tmp_path))) == 1
    with monkeypatch.context() as patch:
        patch.setattr("facial_r1.data.arrow_rows.read_distinct_rows", lambda path: pytest.fail("read again"))
        assert len(arrow_rows(path, COLUMNS, cache=str(tmp_path))) == 1
    write(tmp_path, [{"a": "x", "b": "y"}] * 2)
    assert len(arrow_rows(path, COLUMNS, cache=str(tmp_path))) == 2


def test_bad_rows_are_left_out_and_told_also_from_the_cache(tmp_path: Path) -> None:
    path = write(tmp_path, [{"a": "x", "b": "y"}, {"a": "x"}, {"a": 1, "b": "y"}, {"a": "bad", "b": "y"}, 3], "jsonl")

    def check(row: Any) -> tuple[str, str, str] | None:
        return ("a", "is bad", "write another") if row["a"] == "bad" else None

    for _ in range(2):
        rows = arrow_rows(path, COLUMNS, check, cache=str(tmp_path))
        assert len(rows) == 1
        assert [(problem.line, problem.field) for problem in rows.problems] == [(2, "b"), (3, "a"), (4, "a"), (5, "json")]


def test_an_interrupted_conversion_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, [{"a": "x", "b": "y"}])

    def stopped(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("facial_r1.data.arrow_rows._batches", stopped)
        with pytest.raises(KeyboardInterrupt):
            arrow_rows(path, COLUMNS, cache=str(tmp_path))
    assert not [path for path in (tmp_path / "arrow").iterdir() if path.suffix != ".lock"]
    assert len(arrow_rows(path, COLUMNS, cache=str(tmp_path))) == 1


def test_a_missing_file_and_an_unwritable_cache_are_errors_of_the_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        arrow_rows(tmp_path / "x.json", COLUMNS)
    (tmp_path / "arrow").write_text("in the way")
    with pytest.raises(InputError, match="Set FACIAL_R1_CACHE"):
        arrow_rows(write(tmp_path, [{"a": "x", "b": "y"}]), COLUMNS, cache=str(tmp_path))


def record(row: Any, place: str) -> Record:
    return Record(row["a"], "d", (), row["b"], None, (), source=place)


def test_records_are_made_when_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, [{"a": str(n), "b": "y"} for n in range(100)], "jsonl")
    rows = arrow_rows(path, COLUMNS, cache=str(tmp_path))
    every, some = LazyRecords(rows, record), LazyRecords(rows, record, [3, 1])
    assert len(every) == 100 and every[-1].id == "99" and [one.id for one in every] == [str(n) for n in range(100)]
    assert [one.id for one in every[2:6:2]] == ["2", "4"] and every[7].source == f"{path}:8"
    assert [one.id for one in some] == ["3", "1"] == [some[0].id, some[1].id]
    with pytest.raises(IndexError):
        every[100]


def test_360_000_rows_load_in_seconds_and_bounded_memory(tmp_path: Path) -> None:
    """A process of its own measures time and peak memory, cold and warm; the bounds on time are generous, for a busy machine."""
    question = "Which of these eight labels fits the face best: neutral, happiness, sadness, surprise, fear, disgust, anger? " * 3
    with open(tmp_path / "rows.json", "w", encoding="utf-8") as stream:
        stream.write("[")
        for n in range(360_000):
            path = f"/AffectNet/train/{n % 1300}/{n:056x}.jpg"
            stream.write(",\n" * (n > 0) + json.dumps({"image_path": path, "problem": question, "solution": "fear"}, indent=2))
        stream.write("]")
    code = (
        "import sys; from facial_r1.data.sources.unifer import load; "
        "rows = load('unifer_rlvr', sys.argv[1], '/data', sys.argv[2]); assert len(rows) == 360000 and rows[-1].labels == ('fear',); "
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    for bound in (60, 15):
        began = time.perf_counter()
        command = [sys.executable, "-c", code, str(tmp_path / "rows.json"), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert time.perf_counter() - began < bound
        assert int(done.stdout) < 1024**2, "kilobytes"
