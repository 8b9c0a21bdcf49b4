"""FEA-20K: published files by set, side and stage; pictures found by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facial_r1.data.protocol import load_protocol
from facial_r1.data.sources.fea_20k import dataset_of
from facial_r1.data.sources.registry import Reading, read_source
from facial_r1.errors import InputError
from tests.data.sources import layouts_au as layouts
from tests.data.sources.layouts_au import HASH, fea_file, fea_row

FACE = f"{HASH}2.jpg"
PUBLISHED = [
    FACE,
    "0012_aligned.jpg",
    "F004_T4_1579.jpg",
    "LeftVideoSN024_comp_0019.jpg",
    "image_32301.jpg",
    "test_2396_aligned.jpg",
]


def read(root: Path, **options: Any) -> Reading:
    return read_source("fea_20k", root, **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fea_file(tmp_path / "FABA-Train-gpt_stage1.jsonl", [fea_row(FACE, ["AU6", "AU12"], "happiness")])
    fea_file(tmp_path / "FABA-Train-iter1_stage3.jsonl", [fea_row(FACE, ["AU6"], "happiness")])
    fea_file(tmp_path / "RAF-AU-Test-gpt.jsonl", [fea_row("0012_aligned.jpg", ["AU4"], "anger")])
    for name in PUBLISHED:
        layouts.picture(tmp_path / "pictures" / name)
    return tmp_path


def test_train_rows_are_those_of_stage_one(root: Path) -> None:
    assert [(record.split, record.AUs, record.labels) for record in read(root).records] == [
        ("train", ("AU6", "AU12"), ("happiness",)),
        ("test", ("AU4",), ("anger",)),
    ]


def test_another_stage(root: Path) -> None:
    reading = read(root, stage=3, side="train")
    assert [(record.AUs, record.meta_info["stage"]) for record in reading.records] == [(("AU6",), 3)]


def test_all_stages_keep_ids_apart(root: Path) -> None:
    reading = read(root, stage="all")
    assert (len(reading.records), len({record.id for record in reading.records}), reading.problems) == (3, 3, [])
    assert "share ids" in reading.notes[0]


def test_one_side(root: Path) -> None:
    assert [record.split for record in read(root, side="test").records] == ["test"]


def test_the_set_is_that_of_the_file_name(root: Path) -> None:
    assert [record.dataset for record in read(root).records] == ["FABA-Instruct", "RAF-AU"]


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("DISFA-Train-3-gpt_stage1.jsonl", "DISFA"),
        ("BP4D-gpt-c-Train.jsonl", "BP4D"),
        ("FER2013-Train-1000_stage1.jsonl", "FER2013"),
        ("AffectNet-Test-full.jsonl", "AffectNet"),
        ("RAF_DB-Train.jsonl", "RAF-DB"),
        ("ExpW-Train.jsonl", "ExpW"),
        ("train_stage1.jsonl", "FEA-20K"),
    ],
)
def test_names_of_files(name: str, dataset: str) -> None:
    assert dataset_of(Path(name)) == dataset


@pytest.mark.parametrize("name", PUBLISHED)
def test_pictures_are_found_by_their_published_name(root: Path, name: str) -> None:
    fea_file(root / "RAF-AU-Test-gpt.jsonl", [fea_row(name, ["AU4"])])
    assert read(root, side="test").records[0].images == (str(root / "pictures" / name),)


@pytest.mark.parametrize("name", ["FACE_1.JPG", "face_1.png", "deep/er/Face_1.jpg"])
def test_case_ending_and_folder_do_not_matter(root: Path, name: str) -> None:
    fea_file(root / "RAF-AU-Test-gpt.jsonl", [fea_row("images/face_1.jpg", ["AU4"])])
    path = layouts.picture(root / "other" / name)
    assert read(root, side="test").records[0].images == (str(path),)


@pytest.mark.parametrize("name", ["F004/T4/1579.jpg", "F004/T4/01579.jpg"])
def test_frames_of_bp4d_are_found_where_its_owner_has_them(root: Path, name: str) -> None:
    (root / "pictures/F004_T4_1579.jpg").unlink()
    layouts.picture(root / "BP4D/F005/T4" / Path(name).name)
    path = layouts.picture(root / "BP4D" / name)
    fea_file(root / "BP4D-Test.jsonl", [fea_row("F004_T4_1579.jpg", ["AU4"])])
    record = next(record for record in read(root, side="test").records if record.dataset == "BP4D")
    assert record.images == (str(path),)


def test_a_frame_of_another_person_is_not_taken(root: Path) -> None:
    (root / "pictures/F004_T4_1579.jpg").unlink()
    layouts.picture(root / "BP4D/F005/T4/1579.jpg")
    fea_file(root / "RAF-AU-Test-gpt.jsonl", [fea_row("F004_T4_1579.jpg", ["AU4"])])
    assert "'F004_T4_1579.jpg' is missing" in read(root, side="test").problems[0].reason


def test_several_picture_folders(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first, second = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    faces = [layouts.picture(first / FACE), layouts.picture(second / "x/0012_aligned.jpg")]
    assert [record.images for record in read(root, images=[str(first), str(second)]).records] == [(str(face),) for face in faces]


def test_the_first_folder_wins_and_that_is_noted(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first, second = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    for folder in (first, second):
        layouts.picture(folder / FACE)
    reading = read(root, images=[str(first), str(second)], side="train")
    assert reading.records[0].images == (str(first / FACE),)
    assert "1 names fit several pictures" in reading.notes[-1]


def test_a_missing_picture_names_the_folders_searched(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first, second = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    layouts.picture(first / FACE)
    problem = read(root, images=[str(first), str(second)]).problems[0]
    assert problem.place == f"{root}/RAF-AU-Test-gpt.jsonl:1"
    assert problem.reason.endswith(f"below {first}, {second}")
    assert "data.options.images" in problem.fix


def test_a_folder_that_is_not_there_is_an_error(root: Path) -> None:
    with pytest.raises(InputError, match=r"data.options.images: /nowhere"):
        read(root, images="/nowhere")


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("LeftVideoSN024_comp_0019.jpg", "SN024"),
        ("F004_T4_1579.jpg", "F004"),
        ("0012_aligned.jpg", None),
        ("test_2396_aligned.jpg", None),
    ],
)
def test_the_person_is_that_of_the_picture_name(root: Path, name: str, subject: str | None) -> None:
    fea_file(root / "RAF-AU-Test-gpt.jsonl", [fea_row(name, ["AU4"])])
    assert read(root, side="test").records[0].subject == subject


def test_an_empty_list_of_units_is_not_coded(root: Path) -> None:
    fea_file(root / "RAF-AU-Test-gpt.jsonl", [fea_row("0012_aligned.jpg", [], "anger")])
    assert read(root, side="test").records[0].AUs is None


def test_free_words_are_left_out_of_labels_and_noted(root: Path) -> None:
    fea_file(root / "DISFA-Test.jsonl", [fea_row("LeftVideoSN024_comp_0019.jpg", ["AU4"], "confusion")])
    reading = read(root, side="test")
    record = next(record for record in reading.records if record.dataset == "DISFA")
    assert (record.labels, record.meta_info["other_labels"]) == ((), ["confusion"])
    assert "confusion in 1" in reading.notes[-1]


def test_invalid_rows_are_left_out_and_counted(root: Path) -> None:
    fea_file(root / "RAF-AU-Test-gpt.jsonl", [fea_row(FACE, ["AU4"]), fea_row("0012_aligned.jpg", ["AU4"], is_valid=False)])
    assert read(root, side="test").excluded == {"is_valid: false": 1}


@pytest.mark.parametrize(
    ("row", "field"), [("{broken", "json"), (fea_row(FACE, ["AU99"]), "AUs"), (fea_row("", ["AU4"]), "image")]
)
def test_a_broken_row_is_a_problem(root: Path, row: dict[str, Any] | str, field: str) -> None:
    path = fea_file(root / "RAF-AU-Test-gpt.jsonl", [fea_row(FACE, ["AU4"]), row])
    problem = read(root, side="test").problems[0]
    assert (problem.place, problem.field) == (f"{path}:2", field)


def test_files_that_are_no_annotations_are_passed_over(root: Path) -> None:
    (root / "config.json").write_text('{"FABA": 1}')
    (root / "dataset_infos.json").write_text("{}")
    assert len(read(root).records) == 2


def test_the_record_is_the_published_one(root: Path) -> None:
    row = fea_row(FACE, ["AU6", "AU12"], "happiness")
    record = read(root).records[0]
    assert (record.id, record.question, record.description) == (row["id"], row["question"], row["description"])


def test_a_root_without_files_shows_the_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"FABA-Train-gpt_stage1\.jsonl"):
        read(tmp_path)


def test_protocol_has_the_published_counts() -> None:
    assert load_protocol("fea_20k").counts == {"train": 17737, "test": 1688}
