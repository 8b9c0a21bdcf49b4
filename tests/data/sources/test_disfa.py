"""DISFA: intensities, thresholds, names of frames, faults."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from facial_r1.data.protocol import load_protocol
from facial_r1.data.sources.disfa import UNITS, read_intensities
from facial_r1.data.sources.registry import Reading, read_source
from facial_r1.errors import InputError
from tests.data.sources import layouts_au as layouts

FRAMES = [{}, {12: 1}, {6: 2, 12: 5}, {15: 3}]


def read(root: Path, **options: Any) -> Reading:
    return read_source("disfa", root, **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return layouts.disfa(tmp_path, {"SN001": FRAMES, "SN024": FRAMES[:2]})


def units(reading: Reading, subject: str = "SN001") -> list[tuple[str, ...] | None]:
    return [record.AUs for record in reading.records if record.subject == subject]


def test_a_unit_counts_from_intensity_two(root: Path) -> None:
    assert units(read(root)) == [(), (), ("AU6", "AU12"), ("AU15",)]


def test_threshold_one_as_published(root: Path) -> None:
    assert units(read(root, threshold=1)) == [(), ("AU12",), ("AU6", "AU12"), ("AU15",)]


def test_eight_units_leave_out_the_others(root: Path) -> None:
    assert units(read(root, action_units=8)) == [(), (), ("AU6", "AU12"), ()]


def test_frames_without_unit_can_be_left_out_and_are_counted(root: Path) -> None:
    reading = read(root, keep_empty=False)
    assert (len(reading.records), reading.excluded["no action unit present"]) == (2, 4)


def test_each_second_frame(root: Path) -> None:
    reading = read(root, every=2)
    assert [record.id for record in reading.records] == [
        "disfa/SN001/left/0001",
        "disfa/SN001/left/0003",
        "disfa/SN024/left/0001",
    ]
    assert sum(reading.excluded.values()) == 3


def test_record_says_where_it_is_from(root: Path) -> None:
    record = read(root).records[2]
    assert record.to_json() == {
        "id": "disfa/SN001/left/0003",
        "dataset": "DISFA",
        "image": str(root / "frames/LeftVideoSN001_comp/LeftVideoSN001_comp_0003.jpg"),
        "question": "",
        "AUs": ["AU6", "AU12"],
        "labels": [],
        "description": "",
        "meta_info": {"camera": "left", "frame": 3, "intensities": {"AU6": 2, "AU12": 5}},
        "subject": "SN001",
    }
    assert record.source == f"{root}/ActionUnit_Labels/SN001/SN001_au1.txt:3"


def test_all_label_files_are_named(root: Path) -> None:
    assert len(read(root).files) == 24


@pytest.mark.parametrize(
    "name",
    [
        "LeftVideoSN001_comp_0003.jpg",
        "LeftVideoSN001_comp/LeftVideoSN001_comp_0003.png",
        "leftVideoSN001_Comp/00003.jpg",
        "Videos_LeftCamera_frames/SN001_0003.jpg",
        "SN001/3.png",
    ],
)
def test_frames_are_found_under_each_usual_name(tmp_path: Path, name: str) -> None:
    layouts.disfa_labels(tmp_path, "SN001", FRAMES)
    layouts.picture(tmp_path / "pictures" / name)
    assert [record.id for record in read(tmp_path).records] == ["disfa/SN001/left/0003"]


def test_the_published_name_of_a_frame(tmp_path: Path) -> None:
    layouts.disfa_labels(tmp_path, "SN024", [{}] * 19)
    layouts.picture(tmp_path / "LeftVideoSN024_comp_0019.jpg")
    assert read(tmp_path).records[0].meta_info["frame"] == 19


def test_both_cameras(tmp_path: Path) -> None:
    layouts.disfa(tmp_path, {"SN001": FRAMES}, ("Left", "Right"))
    assert Counter(record.meta_info["camera"] for record in read(tmp_path, camera="both").records) == {"left": 4, "right": 4}


def test_the_right_camera_is_not_the_left(root: Path) -> None:
    with pytest.raises(InputError, match="neither pictures nor videos of the right camera"):
        read(root, camera="right")


def test_pictures_that_count_from_zero_are_refused(tmp_path: Path) -> None:
    layouts.disfa_labels(tmp_path, "SN001", FRAMES)
    for number in range(4):
        layouts.picture(tmp_path / "SN001" / f"{number}.jpg")
    with pytest.raises(InputError, match=r"data.options.first_frame=0"):
        read(tmp_path)


def test_pictures_that_count_from_zero_are_shifted(tmp_path: Path) -> None:
    layouts.disfa_labels(tmp_path, "SN001", FRAMES)
    for number in range(4):
        layouts.picture(tmp_path / "SN001" / f"{number}.jpg")
    by_frame = {record.meta_info["frame"]: Path(record.images[0]).name for record in read(tmp_path, first_frame=0).records}
    assert by_frame == {1: "0.jpg", 2: "1.jpg", 3: "2.jpg", 4: "3.jpg"}


def test_videos_alone_give_the_command_that_extracts_them(tmp_path: Path) -> None:
    layouts.disfa_labels(tmp_path, "SN001", FRAMES)
    (tmp_path / "Videos_LeftCamera").mkdir()
    (tmp_path / "Videos_LeftCamera/LeftVideoSN001_comp.avi").write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"ffmpeg -i \"\$video\".*frames/\$name/\$\{name\}_%04d\.jpg"):
        read(tmp_path)


def test_the_command_names_frames_as_the_reader_finds_them(tmp_path: Path) -> None:
    from facial_r1.data.sources.disfa import extraction

    assert re.search(r'mkdir -p "frames/\$name"', extraction(tmp_path))


def test_a_root_without_labels_shows_the_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"SN001/SN001_au1\.txt"):
        read(tmp_path)


def test_a_person_without_pictures_is_a_problem(root: Path) -> None:
    shutil.rmtree(root / "frames/LeftVideoSN024_comp")
    problem = read(root).problems[0]
    assert "no picture of SN024 by the left camera" in problem.reason
    assert "ffmpeg" in problem.fix


def test_coded_frames_without_picture_are_counted(root: Path) -> None:
    (root / "frames/LeftVideoSN001_comp/LeftVideoSN001_comp_0002.jpg").unlink()
    assert read(root).excluded == {"no picture was extracted": 1}


def test_pictures_without_coding_are_counted(root: Path) -> None:
    layouts.picture(root / "frames/LeftVideoSN001_comp/LeftVideoSN001_comp_0005.jpg")
    assert read(root).excluded == {"picture without coding": 1}


def spoil(root: Path, unit: int, lines: list[str]) -> str:
    return str(layouts.text(root / f"ActionUnit_Labels/SN001/SN001_au{unit}.txt", lines))


@pytest.mark.parametrize("bad", ["2,6", "2,2.5", "2,-1", "2,", "2", "two,1", "2;1"])
def test_a_bad_line_is_a_problem_and_its_frame_is_left_out(root: Path, bad: str) -> None:
    file = spoil(root, 5, ["1,0", bad, "3,0", "4,0"])
    reading = read(root)
    assert (reading.problems[0].file, reading.problems[0].line, reading.problems[0].field) == (file, 2, "intensity")
    assert [record.meta_info["frame"] for record in reading.records if record.subject == "SN001"] == [1, 3, 4]


def test_frames_that_not_all_units_code_are_left_out(root: Path) -> None:
    file = spoil(root, 20, ["1,0", "2,0"])
    reading = read(root)
    assert "2 frames that other action units code have no sound line, the first 3" in reading.problems[0].reason
    assert reading.problems[0].file == file
    assert reading.excluded["not coded for all 12 action units"] == 2


def test_a_missing_file_leaves_the_person_out(root: Path) -> None:
    (root / "ActionUnit_Labels/SN001/SN001_au9.txt").unlink()
    reading = read(root)
    assert "no file SN001_au9.txt" in reading.problems[0].reason
    assert {record.subject for record in reading.records} == {"SN024"}


def test_a_frame_twice_is_a_problem(root: Path) -> None:
    spoil(root, 1, ["1,0", "2,0", "3,0", "4,0", "4,1"])
    assert read(root).problems[0].reason == "frame 4 is already above"


def test_blanks_and_windows_line_ends_are_read(root: Path) -> None:
    path = root / "ActionUnit_Labels/SN001/SN001_au1.txt"
    path.write_bytes(b"1, 0\r\n2, 0\r\n3, 4\r\n4, 0\r\n\r\n")
    reading = read(root)
    assert reading.problems == []
    assert units(reading)[2] == ("AU1", "AU6", "AU12")


def test_protocol_has_the_three_folds_of_27_people() -> None:
    folds = load_protocol("disfa").folds
    assert [len(fold) for fold in folds] == [9, 9, 9]
    assert len({subject for fold in folds for subject in fold}) == 27
    assert folds[0] == ("SN002", "SN010", "SN001", "SN026", "SN027", "SN032", "SN030", "SN009", "SN016")


def test_protocol_asks_for_the_twelve_units_and_no_emotion() -> None:
    protocol = load_protocol("disfa")
    assert (protocol.labels, protocol.action_units, protocol.presence_threshold) == (None, UNITS, 2.0)


def test_the_whole_set_is_parsed_in_seconds(tmp_path: Path) -> None:
    """27 people, 4,845 frames, 12 files: 1.6 million lines. A second or two here; the bound is for loaded machines."""
    content = "".join(f"{frame},{frame % 6}\n" for frame in range(1, 4846))
    for number in range(1, 28):
        folder = tmp_path / f"SN{number:03d}"
        folder.mkdir()
        for unit in layouts.DISFA_UNITS:
            (folder / f"SN{number:03d}_au{unit}.txt").write_text(content)
    began = time.process_time()
    tables = read_intensities(tmp_path, [], Counter())
    assert sum(len(table.values) for table in tables.values()) == 27 * 4845
    assert time.process_time() - began < 12
