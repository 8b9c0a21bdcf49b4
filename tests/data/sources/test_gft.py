"""GFT: tables of occurrence with three ways to say unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facial_r1.data.protocol import load_protocol
from facial_r1.data.sources.gft import BENCHMARK
from facial_r1.data.sources.registry import Reading, read_source
from facial_r1.errors import InputError
from tests.data.sources import layouts_au as layouts

NONE = [0] * 10
SMILE = [0, 0, 0, 1, 0, 1, 0, 0, 0, 0]


def read(root: Path, **options: Any) -> Reading:
    return read_source("gft", root, **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return layouts.gft(tmp_path, {"001A": [NONE, SMILE, [9, *SMILE[1:]], [-999] * 10], "032C": [SMILE]})


def test_units_coded_one_are_present(root: Path) -> None:
    assert [(record.id, record.AUs) for record in read(root).records] == [
        ("gft/001A/1", ()),
        ("gft/001A/2", ("AU6", "AU12")),
        ("gft/032C/1", ("AU6", "AU12")),
    ]


def test_unknown_frames_are_left_out_and_counted(root: Path) -> None:
    assert read(root).excluded == {"one of the 10 action units is unknown": 2}


def test_kept_frames_list_what_is_unknown(root: Path) -> None:
    reading = read(root, unknown="keep")
    assert [record.meta_info.get("unknown") for record in reading.records] == [None, None, ["AU1"], None]
    assert reading.excluded == {"one of the 10 action units is unknown": 1}


def test_people_are_subjects_and_know_their_group(root: Path) -> None:
    record = read(root).records[-1]
    assert (record.subject, record.meta_info["group"], record.split) == ("032C", "032", None)


def test_frames_that_were_not_extracted_are_counted(root: Path) -> None:
    (root / "frames/001A/0001.jpg").unlink()
    assert read(root).excluded["no picture was extracted"] == 1


def test_a_person_without_frames_is_a_problem(root: Path) -> None:
    (root / "frames/032C/0001.jpg").unlink()
    assert "no frame of 032C" in read(root).problems[0].reason


def test_a_root_without_tables_shows_the_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"001A\.csv"):
        read(tmp_path)


def test_protocol_asks_for_the_ten_units() -> None:
    protocol = load_protocol("gft")
    assert (protocol.labels, protocol.action_units) == (None, BENCHMARK)
