"""CK+: peaks, action units with intensities, emotions of some sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facial_r1.data.protocol import load_protocol
from facial_r1.data.sources.ck_plus import CLASSES
from facial_r1.data.sources.registry import Reading, read_source
from facial_r1.errors import InputError
from tests.data.sources import layouts_au as layouts

SEQUENCES = {
    "S005_001": (11, {9: 4, 17: 0, 1: 5}, 3),
    "S010_002": (3, {12: 2, 62: 1}, None),
    "S010_006": (2, {}, 2),
}


def read(root: Path, **options: Any) -> Reading:
    return read_source("ck_plus", root, **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return layouts.ck_plus(tmp_path, SEQUENCES)


def facs(root: Path) -> Path:
    return root / "FACS/S005/001/S005_001_00000011_facs.txt"


def test_one_record_a_sequence(root: Path) -> None:
    assert [(record.id, record.AUs, record.labels) for record in read(root).records] == [
        ("ck_plus/S005_001", ("AU1", "AU9", "AU17"), ("disgust",)),
        ("ck_plus/S010_002", ("AU12",), ()),
        ("ck_plus/S010_006", (), ("contempt",)),
    ]


def test_the_peak_is_shown(root: Path) -> None:
    record = read(root).records[0]
    assert record.images == (str(root / "cohn-kanade-images/S005/001/S005_001_00000011.png"),)
    assert (record.subject, record.meta_info) == (
        "S005",
        {"sequence": "001", "frame": "peak", "intensities": {"AU1": 5, "AU9": 4, "AU17": 0}},
    )


def test_ids_are_the_owners() -> None:
    assert dict(enumerate(["neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"])) == CLASSES


@pytest.mark.parametrize(("number", "label"), CLASSES.items())
def test_each_id(tmp_path: Path, number: int, label: str) -> None:
    assert read(layouts.ck_plus(tmp_path, {"S001_001": (1, {}, number)})).records[0].labels == (label,)


def test_codes_that_are_no_action_units_are_dropped_and_counted(root: Path) -> None:
    assert "AU62 in 1 sequences" in read(root).notes[0]


def test_onsets_are_neutral_and_not_coded(root: Path) -> None:
    onsets = [record for record in read(root, onset=True).records if record.id.endswith("/onset")]
    assert len(onsets) == 3
    assert {(record.labels, record.AUs) for record in onsets} == {(("neutral",), None)}
    assert onsets[0].images[0].endswith("S005_001_00000001.png")


def test_an_empty_emotion_file_is_no_emotion(root: Path) -> None:
    layouts.text(root / "Emotion/S010/002/S010_002_00000003_emotion.txt", [])
    assert read(root).records[1].labels == ()


def test_an_unknown_id_is_a_problem(root: Path) -> None:
    file = layouts.text(root / "Emotion/S005/001/S005_001_00000011_emotion.txt", ["   8.0000000e+00"])
    reading = read(root)
    assert reading.problems[0].place == f"{file}:1"
    assert "S005_001" not in {record.id[-8:] for record in reading.records}


@pytest.mark.parametrize("line", ["   9.0e+00", "   9.0e+00  6.0e+00", "   nine 1", "   9.5e+00 1.0e+00", "   1 2 3", "   9 nan"])
def test_a_broken_line_is_a_problem(root: Path, line: str) -> None:
    layouts.text(facs(root), ["   1.0e+00   2.0e+00", line])
    assert read(root).problems[0].place == f"{facs(root)}:2"


def test_a_missing_peak_is_a_problem(root: Path) -> None:
    (root / "cohn-kanade-images/S005/001/S005_001_00000011.png").unlink()
    assert "no picture of frame 11" in read(root).problems[0].reason


def test_an_emotion_of_another_frame_is_a_problem(root: Path) -> None:
    old = root / "Emotion/S005/001/S005_001_00000011_emotion.txt"
    old.rename(old.with_name("S005_001_00000010_emotion.txt"))
    assert "frame 10" in read(root).problems[0].reason


def test_pictures_without_coding_are_counted(root: Path) -> None:
    layouts.picture(root / "cohn-kanade-images/S999/001/S999_001_00000001.png")
    assert read(root).excluded == {"sequence without FACS file": 1}


def test_folders_may_lie_deeper(tmp_path: Path) -> None:
    layouts.ck_plus(tmp_path / "extended-cohn-kanade-images", SEQUENCES)
    assert len(read(tmp_path).records) == 3


def test_a_root_without_coding_shows_the_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"_facs\.txt"):
        read(tmp_path)


def test_protocol_has_eight_emotions_and_593_sequences() -> None:
    protocol = load_protocol("ck_plus")
    assert (protocol.labels, protocol.counts) == (tuple(CLASSES.values()), {"all": 593})
