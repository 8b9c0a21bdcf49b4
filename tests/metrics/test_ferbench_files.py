"""Files of results: what is read, and what is refused so that no denominator is wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from facial_r1.errors import InputError
from facial_r1.metrics.ferbench_files import read_results
from tests.metrics.ferbench_cases import question, result, results, write


def refused(path: Path, questions: Path | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_results(path, questions)
    return str(caught.value)


def test_a_folder_of_the_authors_files_is_read(tmp_path: Path) -> None:
    for name in ("rafdb", "sfew"):
        write(tmp_path, f"{'sfew_2.0' if name == 'sfew' else name}_unifer_7b_results.json", results(name, 3))
    write(tmp_path, "rafdb_unifer_7b_metrics.json", {"overall": {}})
    write(tmp_path, "rafdb_qa.json", [question("rafdb", 0)])
    found = read_results(tmp_path)
    assert {name: len(rows) for name, rows in found.rows.items()} == {"rafdb": 3, "sfew": 3}
    assert found.notes == ["no results of affectnet, ferplus: neither pooled figures nor means over datasets"]


def test_the_tree_of_the_authors_repository_is_read(tmp_path: Path) -> None:
    write(tmp_path / "eval_ferplus" / "results", "ferplus_unifer_7b_results.json", results("ferplus", 2))
    write(tmp_path / "eval_ferplus" / "data", "ferplus_qa.json", [question("ferplus", 0)])
    write(tmp_path / "eval_total" / "results", "unifer_7b_results.json", {"overall": {}})
    assert [Path(file).name for file in read_results(tmp_path).files] == ["ferplus_unifer_7b_results.json"]


@pytest.mark.parametrize("form", ["json", "json.gz", "jsonl", "jsonl.gz"])
def test_one_file_in_any_form_may_hold_several_datasets(tmp_path: Path, form: str) -> None:
    rows = results("sfew", 2) + results("affectnet", 2)
    text = "\n".join(map(json.dumps, rows)) if "jsonl" in form else json.dumps(rows)
    path = tmp_path / f"answers.{form}"
    path.write_bytes(gzip.compress(text.encode()) if form.endswith("gz") else text.encode())
    assert {name: len(part) for name, part in read_results(path).rows.items()} == {"affectnet": 2, "sfew": 2}
    assert read_results(tmp_path).rows == read_results(path).rows, "the only file of a folder"


def _cut(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows)[:-40]


def _changed(rows: list[dict[str, Any]], number: int, **values: Any) -> str:
    rows[number] |= values
    return json.dumps(rows, indent=2)


def _without(rows: list[dict[str, Any]], key: str) -> str:
    return json.dumps([{name: value for name, value in row.items() if name != key} for row in rows], indent=2)


BAD: dict[str, tuple[Any, str, str]] = {
    "cut off": (_cut, "rafdb_results.json:1: json: broken JSON", "the row ends too early"),
    "no array": (lambda rows: '"text"', "the row is a str, not an object", ""),
    "empty array": (lambda rows: "[]", "the file is empty", ""),
    "empty file": (lambda rows: "", "the file is empty", ""),
    "no response": (lambda rows: _without(rows, "model_response"), "model_response: is missing", 'add "model_response": text'),
    "misspelt": (
        lambda rows: _without(rows, "model_response").replace('"prompt"', '"model_respons"'),
        "model_response: is missing",
        "did you mean 'model_response' by 'model_respons'?",
    ),
    "no truth": (lambda rows: _without(rows, "true_label"), "true_label: is missing", 'add "true_label": text'),
    "no path": (lambda rows: _without(rows, "image_path"), "image_path: is missing", ""),
    "no candidates": (lambda rows: _without(rows, "candidate_labels"), "candidate_labels: is missing", ""),
    "empty candidates": (lambda rows: _changed(rows, 1, candidate_labels=[]), "candidate_labels: is empty", ""),
    "null response": (lambda rows: _changed(rows, 1, model_response=None), "model_response: is null, not text", ""),
    "number as response": (lambda rows: _changed(rows, 1, model_response=3), "model_response: is a int, not text", ""),
    "repeated": (
        lambda rows: _changed(rows, 2, image_path=rows[0]["image_path"].lstrip("/")),
        "has a result at",
        "keep one result a picture",
    ),
    "repeated on one line": (lambda rows: json.dumps([*rows, rows[1]]), "has a result at", "keep one result a picture"),
    "of another dataset": (
        lambda rows: json.dumps(results("affectnet", 3)),
        "the file is named after rafdb, but 3 of 3 rows are of affectnet",
        "give each file the results of its own dataset",
    ),
    "of no dataset": (
        lambda rows: _changed(rows, 1, image_path="/x.jpg", candidate_labels=["a", "b"]),
        "neither image_path '/x.jpg' nor its candidate_labels belong to a FERBench dataset",
        '"dataset"',
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_would_change_a_denominator_is_refused_with_file_key_and_fix(tmp_path: Path, case: str) -> None:
    spoil, reason, fix = BAD[case]
    path = tmp_path / "rafdb_results.json"
    path.write_text(spoil(results("rafdb", 4)))
    text = refused(path)
    assert reason in text and fix in text and str(path) in text and "nothing was scored" in text


def test_the_line_of_a_bad_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rafdb_results.json"
    path.write_text(_changed(results("rafdb", 4), 2, model_response=None))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "test_0003" in text) - 1
    assert f"{path}:{line}: model_response" in refused(path)


def test_a_crash_needs_no_response(tmp_path: Path) -> None:
    rows = results("rafdb", 2)
    rows[0] = {key: value for key, value in rows[0].items() if key != "model_response"} | {"error": True}
    assert len(read_results(write(tmp_path, "rafdb_results.json", rows)).rows["rafdb"]) == 2


def test_missing_and_ambiguous_places_are_refused(tmp_path: Path) -> None:
    assert "no such file or folder" in refused(tmp_path / "nowhere")
    assert "found no JSON file" in refused(tmp_path)
    write(tmp_path, "rafdb_a_results.json", results("rafdb", 1))
    write(tmp_path, "rafdb_b_results.json", results("rafdb", 1))
    assert "2 files with results of rafdb" in refused(tmp_path)


def test_questions_fill_in_what_rows_leave_out_and_find_what_is_missing(tmp_path: Path) -> None:
    questions = write(tmp_path / "q", "sfew_2.0_qa.json", [question("sfew", n) for n in range(5)])
    bare = [{key: row[key] for key in ("image_path", "model_response")} for row in results("sfew", 3)]
    found = read_results(write(tmp_path, "sfew.json", bare), questions)
    assert found.rows["sfew"] == [question("sfew", n) | row for n, row in enumerate(results("sfew", 3))]
    assert [one.image_path for one in found.missing["sfew"]] == [question("sfew", n)["image_path"] for n in (3, 4)]
    assert "2 of 5 questions have no result" in found.notes[-1]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (result("sfew", 7), "is in none of the question files"),
        (result("sfew", 1, true_label="fear"), "is 'fear', but"),
        (result("sfew", 1, candidate_labels=["fear", "happy"]), "candidate_labels: is ['fear', 'happy'], but"),
    ],
)
def test_results_that_contradict_their_questions_are_refused(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    questions = write(tmp_path / "q", "sfew_2.0_qa.json", [question("sfew", n) for n in range(5)])
    assert reason in refused(write(tmp_path, "sfew.json", [row]), questions)
