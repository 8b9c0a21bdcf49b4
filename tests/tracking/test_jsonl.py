"""metrics.jsonl survives kills and resumes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1.tracking import JsonlTracker, read_metrics


def written(folder: Path, steps: range, resume_step: int | None = None) -> Path:
    tracker = JsonlTracker(folder, resume_step)
    for step in steps:
        tracker.log(step, {"loss": 1 / step})
    tracker.finish("finished", {})
    return folder / "metrics.jsonl"


def steps_of(file: Path) -> list[int]:
    return [row["step"] for row in read_metrics(file)]


def test_rows_carry_step_time_and_values(tmp_path: Path) -> None:
    row = read_metrics(written(tmp_path, range(1, 2)))[0]
    assert (row["step"], row["loss"]) == (1, 1.0) and row["time"] > 1.6e9


def test_no_file_before_the_first_row(tmp_path: Path) -> None:
    JsonlTracker(tmp_path).finish("failed", {})
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    written(tmp_path, range(1, 8))
    file = written(tmp_path, range(6, 11), resume_step=5)
    assert steps_of(file) == list(range(1, 11))
    assert len(file.read_text().splitlines()) == 10


def test_resume_at_step_0_starts_afresh(tmp_path: Path) -> None:
    written(tmp_path, range(1, 8))
    assert steps_of(written(tmp_path, range(1, 3), resume_step=0)) == [1, 2]


def test_without_a_resume_step_all_rows_stay(tmp_path: Path) -> None:
    written(tmp_path, range(1, 4))
    assert steps_of(written(tmp_path, range(4, 6))) == [1, 2, 3, 4, 5]


@settings(deadline=None)
@given(cut=st.integers(min_value=0, max_value=10_000))
def test_cut_anywhere_the_whole_rows_remain(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("run")
    file = written(folder, range(1, 6))
    whole = file.read_bytes()
    cut = cut % (len(whole) + 1)
    file.write_bytes(whole[:cut])
    lines = whole[:cut].count(b"\n")
    seen = steps_of(file)
    assert seen in (list(range(1, lines + 1)), list(range(1, lines + 2)))  # a row may lack only its newline
    assert steps_of(written(folder, range(len(seen) + 1, 7))) == list(range(1, 7))


def test_a_broken_line_inside_names_its_number(tmp_path: Path) -> None:
    file = written(tmp_path, range(1, 4))
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], "{broken", lines[2]]) + "\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl:2"):
        read_metrics(file)


def test_numbers_that_are_not_finite_keep_the_file_valid_json(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path)
    tracker.log(1, {"loss": float("nan"), "kl": float("inf"), "reward/mean": 0.5})
    tracker.finish("failed", {})

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    row = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse)
    assert row["loss"] is None and row["reward/mean"] == 0.5 and row["not_finite"] == ["loss", "kl"]


def test_rows_of_one_step_are_merged_the_later_wins(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path)
    tracker.log(1, {"loss": 1.0, "kl": 0.1})
    tracker.log(1, {"loss": 2.0})
    tracker.finish("finished", {})
    [row] = read_metrics(tmp_path / "metrics.jsonl")
    assert (row["loss"], row["kl"]) == (2.0, 0.1)


def test_sigkill_loses_at_most_the_row_being_written(tmp_path: Path) -> None:
    script = (
        "import sys, itertools; from pathlib import Path; from facial_r1.tracking import JsonlTracker\n"
        "t = JsonlTracker(Path(sys.argv[1]))\n"
        "for step in itertools.count(1): t.log(step, {'loss': 1.0})"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    file = tmp_path / "metrics.jsonl"
    try:
        end = time.monotonic() + 30
        while not (file.exists() and file.stat().st_size > 10_000) and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    steps = steps_of(file)
    assert len(steps) > 100 and steps == list(range(1, len(steps) + 1))
