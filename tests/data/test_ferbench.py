"""FERBench's question files, the names of its datasets, and where their pictures lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facial_r1.data.ferbench import (
    DATASETS,
    LABELS,
    QUESTIONS,
    answer_block,
    dataset_in,
    dataset_name,
    dataset_of,
    picture_stem,
    read_questions,
)
from facial_r1.data.ferbench_images import PLACES, PictureFinder, overlap
from facial_r1.data.problems import Problem
from facial_r1.errors import InputError
from tests.metrics.ferbench_cases import question, write


@pytest.mark.parametrize(
    ("written", "name"),
    [("rafdb", "rafdb"), ("RAF-DB", "rafdb"), ("raf_db", "rafdb"), ("sfew_2.0", "sfew"), ("SFEW 2.0", "sfew"), ("FER+", "ferplus"),
     ("AffectNet", "affectnet"), ("total", "total"), ("pooled", "total")],
)  # fmt: skip
def test_the_usual_spellings_of_a_dataset(written: str, name: str) -> None:
    assert dataset_name(written) == name


def test_a_row_tells_its_dataset_by_name_path_or_candidates() -> None:
    assert dataset_of({"dataset": "raf_db", "image_path": "/SFEW-2.0/x"}) == "rafdb"
    for name in DATASETS:
        asked = question(name, 0)
        assert dataset_of({"image_path": asked["image_path"]}) == name
        assert dataset_of({"image_path": "/x.jpg", "candidate_labels": sorted(asked["candidate_labels"])}) == name
    with pytest.raises(InputError, match=r"row 3.*belong to a FERBench dataset"):
        dataset_of({"image_path": "/x.jpg"}, "row 3")


def test_names_in_paths() -> None:
    assert dataset_in("sfew_2.0_unifer_7b_results.json") == "sfew" and dataset_in("unifer_7b_results.json") is None
    assert picture_stem("/a/b.c/AFilm_1.2_3.png") == "AFilm_1.2_3" and picture_stem("name") == "name"


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("<answer>a\nb</answer><answer>c</answer>", "a\nb"),
        ("<ANSWER>a</ANSWER>", None),
        ("<answer>a", None),
        ("</answer><answer>a", None),
    ],
)
def test_the_first_answer_block(text: str, block: str | None) -> None:
    assert answer_block(text) == block


# --- questions ---------------------------------------------------------------------------------------------------------


def test_the_published_question_files_are_read_as_they_are(reference: Path) -> None:
    problems: list[Problem] = []
    found = read_questions(reference / "ferbench", problems)
    assert not problems and {name: len(rows) for name, rows in found.items()} == QUESTIONS
    for name, rows in found.items():
        assert {row.candidate_labels for row in rows} == {LABELS[name]}
        assert len({row.to_record().id for row in rows}) == len(rows)
    raw = json.loads((reference / "ferbench" / "sfew_2.0_qa.json").read_text())
    assert [row.to_json() for row in found["sfew"]] == raw


def test_a_question_as_a_record_keeps_the_words_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "sfew_2.0_qa.json", [question("sfew", 3)])
    record = read_questions(path, [])["sfew"][0].to_record(["/pictures/a.png"])
    assert (record.labels, record.candidate_labels) == (("happiness",), LABELS["sfew"])
    assert record.meta_info == {"ferbench": question("sfew", 3)} and record.split == "test" and record.AUs is None
    assert record.source == f"{path}:2" and record.question == question("sfew", 3)["prompt"]


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"true_label": "joy"}, "true_label", "'joy' is not among candidate_labels (surprise"),
        ({"true_label": None}, "true_label", "is null, not text"),
        ({"candidate_labels": "fear"}, "candidate_labels", "is a str, not a list of texts"),
        ({"image_path": "/x.jpg", "candidate_labels": ["surprise", "b"]}, "image_path", "belong to a FERBench dataset"),
        ({"image_path": question("rafdb", 0)["image_path"].lstrip("/")}, "image_path", "is asked about at"),
    ],
)
def test_bad_questions_are_problems_with_file_line_and_key(
    tmp_path: Path, change: dict[str, object], field: str, reason: str
) -> None:
    path = write(tmp_path, "rafdb_qa.json", [question("rafdb", 0), question("rafdb", 7) | change, question("rafdb", 1)])
    problems: list[Problem] = []
    found = read_questions(path, problems)
    assert [(problem.file, problem.field) for problem in problems] == [(str(path), field)]
    assert reason in problems[0].reason and len(found["rafdb"]) == 2


def test_a_question_twice_is_found_also_in_an_array_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "rafdb_qa.json"
    path.write_text(json.dumps([question("rafdb", n) for n in (0, 1, 0)]))
    problems: list[Problem] = []
    found = read_questions(path, problems)["rafdb"]
    assert [one.place for one in found] == [f"{path}:1", f"{path}:2"] and [problem.line for problem in problems] == [3]


def test_no_question_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \*_qa.json"):
        read_questions(tmp_path, [])
    with pytest.raises(InputError, match="does not exist"):
        read_questions(tmp_path / "x_qa.json", [])
    with pytest.raises(InputError, match="no file is named"):
        read_questions([], [])


# --- pictures ----------------------------------------------------------------------------------------------------------


def place(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(("dataset", "pattern"), [(name, pattern) for name in DATASETS for pattern in PLACES[name]])
def test_a_picture_is_found_at_each_place_of_the_owners_layouts(tmp_path: Path, dataset: str, pattern: str) -> None:
    path = question(dataset, 3)["image_path"]
    folder, _, name = path.rpartition("/")
    inside = pattern.format(folder=folder.rpartition("/")[2], name=name, stem=f"{picture_stem(name)}.JPG")
    there = place(tmp_path, inside)
    assert PictureFinder(tmp_path).find(path, dataset) == str(there)


def test_a_dataset_may_have_a_folder_of_its_own(tmp_path: Path) -> None:
    there = place(tmp_path / "other", "basic/Image/aligned/test_0001_aligned.jpg")
    (tmp_path / "root").mkdir()
    finder = PictureFinder(tmp_path / "root", {"RAF-DB": str(tmp_path / "other")})
    assert finder.find("/RAF-DB/aligned/test_0001_aligned.jpg", "rafdb") == str(there)
    assert finder.find("/RAF-DB/aligned/test_0002_aligned.jpg", "rafdb") is None
    with pytest.raises(InputError, match=r"data\.options\.roots\.sfew="):
        PictureFinder(tmp_path, {"sfew_2.0": str(tmp_path / "nowhere")})


def test_another_place_is_found_after_the_usual_one_was(tmp_path: Path) -> None:
    first, second = place(tmp_path, "FER2013Test/fer1.png"), place(tmp_path, "FERPlus/test/angry/fer2.png")
    finder = PictureFinder(tmp_path)
    found = [finder.find(f"/FERPlus/test/angry/fer{n}.png", "ferplus") for n in (1, 2, 1, 3)]
    assert found == [str(first), str(second), str(first), None]


# --- overlap -----------------------------------------------------------------------------------------------------------


def test_overlap_by_path_and_by_name() -> None:
    benchmark = ["/RAF-DB/aligned/test_0001_aligned.jpg", "/FERPlus/test/angry/fer0032225.png"]
    training = [
        "/RAF-DB/aligned/train_00001_aligned.jpg",
        "RAF-DB/aligned/test_0001_aligned.jpg",
        "/RAF-DB/original/test_0001.jpg",
        "/FERPlus/train/sad/fer0032225.png",
        "/AffectNet/train/1/fer0032225.png",
        "/pictures/fer0032225.png",
    ]
    found = overlap(training, benchmark)
    assert (found.same_path, found.same_name) == ((1,), (2, 3, 5)), "another dataset's file of that name is another picture"
    assert "4 of 6 rows show pictures of FERBench (1 by path, 3 by file name)" in found.note(6)
    assert overlap(training[:1], benchmark).note(1) == ""
