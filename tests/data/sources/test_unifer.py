"""UniFER's training files as sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facial_r1.data import load_data
from facial_r1.data.sources import read_source
from facial_r1.data.sources.unifer import load, overlap_with_ferbench
from facial_r1.errors import InputError
from tests.metrics.ferbench_cases import question, write

COT = {"question": "Which label fits?", "response": "<think>The corners rise.</think>\n<answer>happy</answer>"}
RLVR = {"problem": "Which label fits?", "solution": "<answer>happy</answer>", "data_source": "ignored"}
PATHS = ["/RAF-DB/aligned/train_1_aligned.jpg", "/FERPlus/train/sad/fer1.png", question("rafdb", 0)["image_path"]]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACIAL_R1_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    folder = tmp_path / "root"
    for name, row in (("UniFER_CoT_230K.json", COT), ("UniFER_RLVR_360K.json", RLVR)):
        write(folder, name, [{"image_path": path, **row} for path in PATHS])
    for shade, path in enumerate(PATHS):
        (folder / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (40 * shade, 0, 0)).save(folder / path.lstrip("/"))
    write(tmp_path / "questions", "rafdb_qa.json", [question("rafdb", 0)])
    return folder


def test_written_reasoning_is_the_description(root: Path) -> None:
    record = read_source("unifer_cot", root).records[1]
    assert record.description == COT["response"] and record.question == COT["question"]
    assert (record.labels, record.dataset, record.split) == (("happiness",), "ferplus", "train")
    assert record.images == (str(root / "FERPlus/train/sad/fer1.png"),)
    assert record.source == f"{root / 'UniFER_CoT_230K.json'}:7"


def test_the_solution_is_kept_as_written_for_the_rewards(root: Path) -> None:
    record = read_source("unifer_rlvr", root).records[0]
    assert record.meta_info == {"solution": RLVR["solution"]} and record.labels == ("happiness",) and record.description == ""


@pytest.mark.parametrize("lines", [False, True])
def test_arrays_and_lines_are_the_same_rows(root: Path, tmp_path: Path, lines: bool) -> None:
    rows = [{"image_path": path, **RLVR} for path in PATHS]
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows))
    records = read_source("unifer_rlvr", root, file=str(path)).records
    assert [record.images[0] for record in records] == [str(root / path.lstrip("/")) for path in PATHS]
    assert [record.id for record in records] == [f"unifer_rlvr/{n}" for n in (1, 2, 3)], "also in an array on one line"


def test_bad_rows_are_problems_with_line_and_key(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, [{"image_path": PATHS[0], **COT}, {"image_path": PATHS[0], **RLVR}])))
    reading = read_source("unifer_rlvr", root, file=str(path))
    assert [(problem.line, problem.field) for problem in reading.problems] == [(1, "problem")] and len(reading.records) == 1


def test_a_missing_file_shows_the_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*UniFER_CoT_230K\.json(.|\n)*image_path, question, response"):
        read_source("unifer_cot", tmp_path)


def test_overlap_with_the_benchmark_is_noted_or_left_out(root: Path, tmp_path: Path) -> None:
    questions = str(tmp_path / "questions")
    noted = read_source("unifer_cot", root, ferbench=questions)
    assert len(noted.records) == 3 and "1 of 3 rows show pictures of FERBench (1 by path" in noted.notes[0]
    excluded = read_source("unifer_cot", root, ferbench=questions, overlapping="exclude")
    assert len(excluded.records) == 2 and excluded.excluded == {"shows a picture of FERBench": 1}
    assert "not compared with FERBench" in read_source("unifer_cot", root).notes[0]
    with pytest.raises(InputError, match=r"data\.options\.overlapping"):
        read_source("unifer_cot", root, overlapping="drop")


def test_the_lazy_rows_can_be_compared_without_making_records(root: Path, tmp_path: Path) -> None:
    rows = load("unifer_rlvr", root / "UniFER_RLVR_360K.json", root)
    assert overlap_with_ferbench(rows.rows, tmp_path / "questions").same_path == (2,)


@pytest.mark.parametrize("name", ["unifer_cot", "unifer_rlvr"])
def test_a_run_can_load_them(root: Path, cache: Path, name: str) -> None:
    config: dict[str, Any] = {"name": name, "kind": "source", "source": name, "root": str(root), "protocol": {"name": "ferbench"}}
    data = load_data(config, need=("train",))
    rows = list(data.train)
    assert len(rows) == 3 and all(row.labels == ("happiness",) for row in rows)
    if name == "unifer_rlvr":
        assert rows[0].to_json()["meta_info"]["solution"] == RLVR["solution"]
