"""Answers from files: matched to records by id or image, never with a wrong denominator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facial_r1.data import Record
from facial_r1.errors import InputError
from facial_r1.stages.predictions import digest, read_predictions


def record(name: str, image: str = "") -> Record:
    return Record(name, "set", (image or f"/faces/{name}.png",), "", ("AU12",), ("happiness",))


RECORDS = [record("a"), record("b")]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def texts(path: Path, records: list[Record] = RECORDS) -> list[str]:
    return [row["completion"] for row in read_predictions(path, records)[0]]


def test_rows_come_in_the_order_of_the_records(tmp_path: Path):
    file = write(tmp_path / "p.jsonl", [{"id": "b", "completion": "two"}, {"id": "a", "completion": "one"}])
    assert texts(file) == ["one", "two"]


@pytest.mark.parametrize("key", ["completion", "model_response", "response", "prediction", "output"])
def test_the_usual_names_of_an_answer(tmp_path: Path, key: str):
    assert texts(write(tmp_path / "p.jsonl", [{"id": "a", key: "one"}, {"id": "b", key: "two"}])) == ["one", "two"]


def test_an_array_of_rows(tmp_path: Path):
    file = tmp_path / "p.json"
    file.write_text(json.dumps([{"id": "a", "response": "one"}, {"id": "b", "response": "two"}], indent=2))
    assert texts(file) == ["one", "two"]


def test_records_are_found_by_the_name_of_their_image(tmp_path: Path):
    rows = [{"image": "other/place/a.png", "response": "one"}, {"image_path": "b.png", "response": "two"}]
    assert texts(write(tmp_path / "p.jsonl", rows)) == ["one", "two"]


def test_an_image_of_two_records_needs_an_id(tmp_path: Path):
    shared = [record("a", "/faces/x.png"), record("b", "/faces/x.png")]
    with pytest.raises(InputError, match="shown by several records"):
        texts(write(tmp_path / "p.jsonl", [{"image": "x.png", "response": "one"}]), shared)


def test_a_missing_answer_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="1 of 2 records have no answer, for example b"):
        texts(write(tmp_path / "p.jsonl", [{"id": "a", "completion": "one"}]))


def test_a_second_answer_is_refused(tmp_path: Path):
    file = write(tmp_path / "p.jsonl", [{"id": "a", "completion": "one"}, {"id": "a", "completion": "again"}])
    with pytest.raises(InputError, match=r"p.jsonl:2: a second answer for record a"):
        texts(file)


def test_an_answer_for_nobody_is_counted(tmp_path: Path):
    rows = [{"id": name, "completion": name} for name in ("a", "b", "z")]
    _, notes = read_predictions(write(tmp_path / "p.jsonl", rows), RECORDS)
    assert len(notes) == 1
    assert notes[0].startswith("1 answers are for other records")


def test_a_null_answer_is_an_empty_one(tmp_path: Path):
    assert texts(write(tmp_path / "p.jsonl", [{"id": "a", "completion": None}, {"id": "b", "completion": "two"}])) == ["", "two"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "a", "complétion": "one"}, "no answer in the row"),
        ({"completion": "one"}, "names no record"),
        ({"id": "a", "completion": 3}, "completion is int, not text"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, row: dict[str, object], message: str):
    with pytest.raises(InputError, match=rf"p.jsonl:1.*{message}"):
        texts(write(tmp_path / "p.jsonl", [row]))


def test_broken_json_is_named_with_its_line(tmp_path: Path):
    (tmp_path / "p.jsonl").write_text('{"id": "a", "completion": "one"}\n{"id": "b", "comp')
    with pytest.raises(InputError, match=r"p.jsonl:2"):
        texts(tmp_path / "p.jsonl")


def test_a_run_directory_gives_its_answers(tmp_path: Path):
    write(tmp_path / "answers.rank0.jsonl", [{"id": "a", "completion": "one", "finish_reason": "stop", "tokens": 3}])
    write(tmp_path / "answers.rank1.jsonl", [{"id": "b", "completion": "two", "finish_reason": "length", "tokens": 9}])
    answers, _ = read_predictions(tmp_path, RECORDS)
    assert [(row["completion"], row["finish_reason"]) for row in answers] == [("one", "stop"), ("two", "length")]


def test_no_such_place(tmp_path: Path):
    with pytest.raises(InputError, match="no such file or folder"):
        texts(tmp_path / "nothing.jsonl")


def test_the_digest_follows_the_content(tmp_path: Path):
    file = write(tmp_path / "p.jsonl", [{"id": "a", "completion": "one"}])
    before = digest(file)
    write(file, [{"id": "a", "completion": "two"}])
    assert digest(file) != before
