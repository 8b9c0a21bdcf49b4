"""RAF-AU: codes with prefixes, null, emotions from RAF-ML, a split by hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facial_r1.data.protocol import load_protocol
from facial_r1.data.sources.raf_au import EMOTIONS, UNITS, side_of
from facial_r1.data.sources.registry import Reading, read_source
from facial_r1.errors import InputError
from tests.data.sources import layouts_au as layouts

ROWS = {"0001": "1+2+5+26", "0002": "null", "0012": "4+L12+25", "0013": "L6+R6+B25+T10+12", "0014": "39", "0015": "9+39"}
SHARES = {
    "0001": (0.9, 0.1, 0, 0, 0, 0),
    "0002": (0, 0, 0.5, 0, 0.5, 0),
    "0012": (0, 0, 0.2, 0.6, 0.1, 0.1),
    "0013": (0.1, 0.3, 0.3, 0.1, 0.1, 0.1),
}


def read(root: Path, **options: Any) -> Reading:
    return read_source("raf_au", root, **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return layouts.raf_au(tmp_path / "RAF-AU", ROWS, SHARES)


def by_name(reading: Reading) -> dict[str, Any]:
    return {record.id.removeprefix("raf_au/"): record for record in reading.records}


def test_prefixes_are_merged_into_the_plain_unit(root: Path) -> None:
    records = by_name(read(root))
    assert records["0012"].AUs == ("AU4", "AU12", "AU25")
    assert records["0013"].AUs == ("AU6", "AU10", "AU12", "AU25")


def test_laterality_is_kept(root: Path) -> None:
    records = by_name(read(root))
    assert records["0012"].meta_info["laterality"] == {"AU12": ["L"]}
    assert records["0013"].meta_info["laterality"] == {"AU6": ["L", "R"], "AU10": ["T"], "AU25": ["B"]}
    assert "laterality" not in records["0001"].meta_info


def test_null_is_left_out_and_counted(root: Path) -> None:
    assert read(root).excluded["null: no action unit coded"] == 1


def test_units_outside_the_vocabulary_are_dropped_and_counted(root: Path) -> None:
    reading = read(root)
    assert by_name(reading)["0015"].AUs == ("AU9",)
    assert by_name(reading)["0015"].meta_info["other_action_units"] == ["AU39"]
    assert any("AU39 in 2 pictures" in note for note in reading.notes)


def test_pictures_with_other_units_only_are_left_out(root: Path) -> None:
    assert read(root).excluded["only action units outside the vocabulary"] == 1


def test_pictures_with_other_units_only_can_be_kept(root: Path) -> None:
    assert by_name(read(root, keep_empty=True))["0014"].AUs == ()


def test_all_units(root: Path) -> None:
    assert by_name(read(root, action_units="all"))["0015"].AUs == ("AU9", "AU39")


def test_frequent_units(root: Path) -> None:
    assert by_name(read(root, action_units="frequent"))["0001"].AUs == ("AU1", "AU2", "AU5", "AU26")


def test_the_emotion_with_most_votes_is_the_label(root: Path) -> None:
    records = by_name(read(root))
    assert records["0001"].labels == ("surprise",)
    assert records["0012"].labels == ("happiness",)
    assert records["0012"].meta_info["distribution"] == dict(zip(EMOTIONS, SHARES["0012"], strict=True))


def test_equal_votes_give_the_first_of_the_owners_order(root: Path) -> None:
    assert by_name(read(root))["0013"].labels == ("fear",)


def test_pictures_without_votes_have_no_label_and_are_counted(root: Path) -> None:
    reading = read(root)
    assert by_name(reading)["0015"].labels == ()
    assert any(note.startswith("1 pictures are not in RAF-ML") for note in reading.notes)


def test_without_raf_ml_there_is_no_emotion_but_a_note(tmp_path: Path) -> None:
    reading = read(layouts.raf_au(tmp_path, ROWS))
    assert {record.labels for record in reading.records} == {()}
    assert any("data.options.raf_ml" in note for note in reading.notes)


def test_raf_ml_beside_the_root(tmp_path: Path) -> None:
    root = layouts.raf_au(tmp_path / "RAF-AU", ROWS, SHARES)
    (root / "RAF-ML").rename(tmp_path / "RAF-ML")
    assert by_name(read(root))["0001"].labels == ("surprise",)


def test_raf_ml_elsewhere(tmp_path: Path) -> None:
    root = layouts.raf_au(tmp_path / "a/RAF-AU", ROWS, SHARES)
    (root / "RAF-ML").rename(tmp_path / "ml")
    assert by_name(read(root, raf_ml=str(tmp_path / "ml")))["0001"].labels == ("surprise",)


def test_raf_ml_that_is_not_there_is_an_error(root: Path) -> None:
    with pytest.raises(InputError, match=r"data\.options\.raf_ml"):
        read(root, raf_ml="/nowhere/RAF-ML")


def test_broken_votes_are_a_problem(root: Path) -> None:
    file = layouts.text(
        root / "RAF-ML/EmoLabel/distribution.txt", ["0001.jpg 1 0 0 0 0", "0012.jpg 0 0 0 0.5 x 0", "0013.jpg 0 0 0 0 0 0"]
    )
    assert [problem.place for problem in read(root).problems] == [f"{file}:1", f"{file}:2", f"{file}:3"]


@pytest.mark.parametrize(
    ("line", "field", "shown"),
    [
        ("0099.jpg", "row", "0099.jpg"),
        ("0099.jpg 4 12", "row", "0099.jpg 4 12"),
        ("0099.jpg 4+X12", "AUs", "'X12' in '4+X12'"),
        ("0099.jpg 4++12", "AUs", "'' in '4++12'"),
        ("0012.jpg 4", "image", "already on line 3"),
        ("0099.jpg 4", "image", "no picture 0099_aligned.jpg or 0099.jpg"),
    ],
)
def test_a_broken_line_is_a_problem(root: Path, line: str, field: str, shown: str) -> None:
    with open(root / "RAFAU_label.txt", "a") as stream:
        stream.write(line + "\n")
    problem = read(root).problems[0]
    assert (problem.line, problem.field) == (7, field)
    assert shown in problem.reason


def test_pictures_are_the_aligned_ones(root: Path) -> None:
    layouts.picture(root / "original/0012.jpg")
    assert by_name(read(root))["0012"].images == (str(root / "aligned/0012_aligned.jpg"),)


def test_a_fifth_is_the_test_side() -> None:
    share = sum(side_of(f"{number:04d}") == "test" for number in range(4601)) / 4601
    assert 0.18 < share < 0.22


def test_a_side_does_not_depend_on_the_other_pictures(tmp_path: Path) -> None:
    whole = by_name(read(layouts.raf_au(tmp_path / "a", ROWS)))
    part = by_name(read(layouts.raf_au(tmp_path / "b", {"0012": ROWS["0012"]})))
    assert part["0012"].split == whole["0012"].split


def test_a_file_of_another_length_is_noted(root: Path) -> None:
    assert "the label file has 6 pictures; the owner's has 4601, 253 of them null" in read(root).notes


def test_a_root_without_label_file_shows_the_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0012\.jpg 4"):
        read(tmp_path)


def test_protocol_has_the_27_published_units_and_six_emotions() -> None:
    protocol = load_protocol("raf_au")
    assert (protocol.action_units, protocol.labels, len(UNITS)) == (UNITS, EMOTIONS, 27)
