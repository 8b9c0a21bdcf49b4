"""What predict looks at: pictures, folders, files of records, lines; everything else is a problem with a fix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from facial_r1.data import load_protocol
from facial_r1.predict.inputs import Inputs, gather

RULES = load_protocol("generic")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two pictures, one deeper, and things that are none; it is where the command is given."""
    for name in ("b.png", "a.JPG", "deep/c.png", "._a.jpg"):
        (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "faces" / name, "PNG")
    (tmp_path / "faces" / "notes.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ids(found: Inputs) -> list[str]:
    return [record.id for record in found.records]


def test_a_folder_gives_its_pictures_in_order(here: Path) -> None:
    assert ids(gather(["faces"], [], RULES)) == ["faces/a.JPG", "faces/b.png"]
    assert ids(gather(["faces"], [], RULES, recursive=True)) == ["faces/a.JPG", "faces/b.png", "faces/deep/c.png"]


def test_a_picture_is_asked_about_once(here: Path) -> None:
    found = gather(["faces/b.png", "faces", str(here / "faces" / "b.png")], [], RULES, question="Why?")
    assert ids(found) == ["faces/b.png", "faces/a.JPG"]
    record = found.records[0]
    assert (record.images, record.question, record.AUs, record.labels) == ((str(here / "faces/b.png"),), "Why?", None, ())


def test_lines_are_paths_or_records(here: Path) -> None:
    rows = [{"id": "r1", "image": "faces/a.JPG", "question": "Own?", "subject": "s1"}, {"image": "faces/b.png"}]
    found = gather(["-"], ["faces/deep/c.png\n", "\n", *(json.dumps(row) + "\n" for row in rows)], RULES, question="Why?")
    assert ids(found) == ["faces/deep/c.png", "r1", "standard input:4"] and not found.problems
    assert [record.question for record in found.records] == ["Why?", "Own?", "Why?"]
    assert found.records[1].subject == "s1"


def test_what_a_record_says_about_its_face_is_not_read(here: Path) -> None:
    """Labels of another protocol are no fault here, and cannot reach the prompt."""
    row = {"id": "r1", "image": "faces/a.JPG", "AUs": ["AU99"], "labels": ["bogus"], "description": 7, "is_valid": False}
    (record,) = gather(["-"], [json.dumps(row)], RULES).records
    assert (record.AUs, record.labels, record.description) == (None, (), "")


def test_a_file_of_records(here: Path) -> None:
    (here / "faces" / "rows.jsonl").write_text('{"id": "r1", "image": "a.JPG"}\n{"id": "r2", "image": "gone.png"}\n{broken\n')
    found = gather(["faces/rows.jsonl"], [], RULES)
    assert ids(found) == ["r1"]
    assert sorted(problem.line for problem in found.problems) == [2, 3]


def test_an_id_that_is_taken_gets_a_number(here: Path) -> None:
    rows = [json.dumps({"id": "r1", "image": f"faces/{name}"}) for name in ("a.JPG", "b.png")]
    assert ids(gather(["-"], rows, RULES)) == ["r1", "r1 (2)"]


@pytest.mark.parametrize(
    ("path", "lines", "place", "reason", "fix"),
    [
        ("faces/b.pgn", [], "faces/b.pgn", "no such file or folder", "did you mean"),
        ("-", ["gone/x.png"], "gone/x.png", "no such file or folder", "relative ones start from"),
        ("-", ["{'id': 1}"], "standard input:1", "broken JSON", "each record on one line"),
        ("-", ["", '{"id": "x"}'], "standard input:2", "the field is missing", 'add "image"'),
    ],
)
def test_what_cannot_be_looked_at_is_said_with_its_fix(
    here: Path, path: str, lines: list[str], place: str, reason: str, fix: str
) -> None:
    found = gather([path], lines, RULES)
    (problem,) = found.problems
    assert not found.records
    assert (problem.place, reason in problem.reason, fix in problem.fix) == (place, True, True), str(problem)


def test_a_folder_without_pictures_says_where_some_are(here: Path) -> None:
    (here / "empty").mkdir()
    (problem,) = gather([str(here)], [], RULES).problems
    assert "--recursive" in problem.fix
    (problem,) = gather(["empty"], [], RULES).problems
    assert "there are no pictures" in problem.reason and ".png" in problem.fix
