"""BP4D: tables of occurrence, unknown codes, names of frames, faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facial_r1.data.protocol import load_protocol
from facial_r1.data.sources.bp4d import BENCHMARK
from facial_r1.data.sources.registry import Reading, read_source
from facial_r1.errors import InputError
from tests.data.sources import layouts_au as layouts

ROWS = {2440: {}, 2441: {6: 1, 12: 1}, 2442: {6: 9, 12: 1}, 2443: dict.fromkeys(layouts.BP4D_UNITS, 9), 2444: {4: 1, 11: 1, 5: 0}}
TASK = ("F001", "T1")


def read(root: Path, **options: Any) -> Reading:
    return read_source("bp4d", root, **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return layouts.bp4d(tmp_path, {TASK: ROWS})


@pytest.fixture
def table(root: Path) -> Path:
    return root / "AUCoding/AU_OCC/F001_T1.csv"


def test_units_coded_one_are_present(root: Path) -> None:
    assert {record.id: record.AUs for record in read(root).records} == {
        "bp4d/F001/T1/2440": (),
        "bp4d/F001/T1/2441": ("AU6", "AU12"),
        "bp4d/F001/T1/2444": ("AU4",),
    }


def test_frames_with_a_nine_are_left_out_and_counted(root: Path) -> None:
    assert read(root).excluded == {"9 (unknown) for one of the 12 benchmark action units": 2}


def test_kept_frames_list_what_is_unknown(root: Path) -> None:
    reading = read(root, unknown="keep")
    record = next(record for record in reading.records if record.id.endswith("2442"))
    assert (record.AUs, record.meta_info["unknown"]) == (("AU12",), ["AU6"])


def test_a_frame_with_nothing_known_is_never_kept(root: Path) -> None:
    assert read(root, unknown="keep").excluded == {"9 (unknown) for all of the 12 benchmark action units": 1}


def test_all_columns(root: Path) -> None:
    record = read(root, action_units="all").records[-1]
    assert record.AUs == ("AU4", "AU11")
    assert {"AU5", "AU11", "AU4"}.isdisjoint(record.meta_info["unknown"])
    assert {"AU9", "AU30"} <= set(record.meta_info["unknown"])


def test_frames_without_unit_can_be_left_out(root: Path) -> None:
    assert read(root, keep_empty=False).excluded["no action unit present"] == 1


def test_each_second_frame(root: Path) -> None:
    reading = read(root, every=2, unknown="keep")
    assert [record.meta_info["frame"] for record in reading.records] == [2440, 2442, 2444]
    assert reading.excluded == {"not each 2. frame": 2}


def test_record_says_where_it_is_from(root: Path, table: Path) -> None:
    record = read(root).records[1]
    assert record.to_json() == {
        "id": "bp4d/F001/T1/2441",
        "dataset": "BP4D",
        "image": str(root / "2D/F001/T1/2441.jpg"),
        "question": "",
        "AUs": ["AU6", "AU12"],
        "labels": [],
        "description": "",
        "meta_info": {"task": "T1", "frame": 2441},
        "subject": "F001",
    }
    assert record.source == f"{table}:3"


@pytest.mark.parametrize(
    "name", ["F001/T1/2441.jpg", "F001/T1/0002441.jpg", "F001_T1/2441.png", "F001_T1_2441.jpg", "x/F001/T1/F001_T1_2441.jpg"]
)
def test_frames_are_found_under_each_usual_name(tmp_path: Path, name: str) -> None:
    layouts.bp4d_table(tmp_path / "AU_OCC/F001_T1.csv", {2441: {}})
    layouts.picture(tmp_path / "pictures" / name)
    assert [record.id for record in read(tmp_path).records] == ["bp4d/F001/T1/2441"]


def test_intensity_tables_are_not_taken_for_occurrence(root: Path) -> None:
    layouts.text(root / "AUCoding/AU_INT/AU06/F001_T1_AU06.csv", ["2440,0", "2441,3"])
    assert len(read(root).records) == 3


def test_frames_without_coding_are_counted(root: Path) -> None:
    layouts.picture(root / "2D/F001/T1/9.jpg")
    assert read(root).excluded["picture without coding"] == 1


def test_a_missing_frame_is_a_problem(root: Path, table: Path) -> None:
    (root / "2D/F001/T1/2441.jpg").unlink()
    problem = read(root).problems[0]
    assert (problem.place, problem.field) == (f"{table}:3", "image")
    assert "no picture of frame 2441" in problem.reason


def test_a_task_without_frames_is_a_problem(root: Path) -> None:
    layouts.bp4d_table(root / "AUCoding/AU_OCC/M002_T8.csv", {1: {}})
    assert "no frame of M002, T8" in read(root).problems[0].reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2441,2", "2 cells, not 29"),
        ("x" + ",0" * 28, "'x' is no frame number"),
        ("2440" + ",0" * 28, "frame 2440 is already above"),
    ],
)
def test_a_broken_row_is_a_problem(root: Path, table: Path, line: str, reason: str) -> None:
    lines = table.read_text().splitlines()
    layouts.text(table, [*lines[:2], line, *lines[3:]])
    problem = read(root).problems[0]
    assert (problem.place, problem.reason) == (f"{table}:3", reason)


def test_an_unknown_code_is_a_problem_that_names_the_unit(root: Path, table: Path) -> None:
    lines = table.read_text().splitlines()
    layouts.text(table, [*lines[:2], "2441,0,7" + ",0" * 26, *lines[3:]])
    problem = read(root).problems[0]
    assert (problem.field, problem.reason) == ("AU2", "'7' is no code")


def test_a_table_without_a_needed_column_is_a_problem(root: Path) -> None:
    layouts.bp4d_table(root / "AUCoding/AU_OCC/F001_T1.csv", ROWS, [unit for unit in layouts.BP4D_COLUMNS if unit != 24])
    assert read(root).problems[0].reason == "no column for AU24"


def test_an_empty_table_is_a_problem(root: Path, table: Path) -> None:
    table.write_text("")
    assert read(root).problems[0].reason == "the file is empty"


def test_a_root_without_tables_shows_the_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"AU_OCC/F001_T1\.csv"):
        read(tmp_path)


def test_tables_without_any_frame_show_the_layout(tmp_path: Path) -> None:
    layouts.bp4d_table(tmp_path / "AU_OCC/F001_T1.csv", ROWS)
    with pytest.raises(InputError, match="tables but no frame"):
        read(tmp_path)


def test_protocol_has_the_three_folds_of_41_people() -> None:
    folds = load_protocol("bp4d").folds
    assert [len(fold) for fold in folds] == [14, 14, 13]
    people = [subject for fold in folds for subject in fold]
    assert (sum(name.startswith("F") for name in people), sum(name.startswith("M") for name in people)) == (23, 18)


def test_protocol_asks_for_the_twelve_units_and_no_emotion() -> None:
    protocol = load_protocol("bp4d")
    assert (protocol.labels, protocol.action_units, protocol.counts) == (None, BENCHMARK, {"all": 50631 + 50182 + 46034})
