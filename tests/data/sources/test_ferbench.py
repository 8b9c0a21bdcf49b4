"""FERBench as a source: questions and pictures into records, and from there to the rows of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facial_r1.data import load_data
from facial_r1.data.ferbench import DATASETS
from facial_r1.data.sources import read_source
from facial_r1.errors import InputError
from facial_r1.metrics.ferbench_run import results_of, score_results
from facial_r1.prompts import messages
from facial_r1.prompts.template import Prompt
from tests.metrics.ferbench_cases import answer, question, write

FILES = {"affectnet": "affectnet_qa.json", "rafdb": "rafdb_qa.json", "ferplus": "ferplus_qa.json", "sfew": "sfew_2.0_qa.json"}
OWNERS = {
    "rafdb": ("RAF-DB/aligned", "RAF-DB/basic/Image/aligned"),
    "affectnet": ("AffectNet/Manually_Annotated/validation", "AffectNet/Manually_Annotated_Images"),
    "sfew": ("SFEW-2.0/Val/Val_Aligned_Faces", "SFEW/Val_Aligned_Faces"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three questions of each set, the pictures in the owners' layouts."""
    for shade, name in enumerate(DATASETS):
        asked = [question(name, n) for n in range(3)]
        write(tmp_path / "questions", FILES[name], asked)
        for number, row in enumerate(asked):
            inside = row["image_path"].lstrip("/")
            before, after = OWNERS.get(name, ("", ""))
            inside = inside.replace(before, after) if before else f"FER2013Test/{Path(inside).name}"
            path = tmp_path / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (48, 48), 40 * shade + 10 * number).save(path)
    return tmp_path


def test_all_questions_become_records_in_order(root: Path) -> None:
    reading = read_source("ferbench", root)
    assert not reading.problems
    assert [record.dataset for record in reading.records] == [name for name in DATASETS for _ in range(3)]
    assert all(Path(record.images[0]).is_file() and record.split == "test" for record in reading.records)
    assert reading.official == {"test": 11072}
    assert reading.notes[0] == "affectnet: 3 questions where the published file holds 4000"


def test_only_the_datasets_asked_for(root: Path) -> None:
    reading = read_source("ferbench", root, datasets=["SFEW 2.0"], questions=str(root / "questions"))
    assert {record.dataset for record in reading.records} == {"sfew"}
    assert reading.official == {"test": 431} and sum(reading.excluded.values()) == 9


def test_a_missing_picture_is_a_problem_of_its_question(root: Path) -> None:
    (root / "FER2013Test" / "fer0000002.png").unlink()
    [problem] = read_source("ferbench", root).problems
    assert (
        problem.file.endswith("ferplus_qa.json")
        and problem.field == "image_path"
        and "fer0000002.png is missing" in problem.reason
    )
    assert "data.options.roots.ferplus" in problem.fix


def test_a_dataset_without_any_picture_is_one_problem(root: Path) -> None:
    for path in (root / "FER2013Test").iterdir():
        path.unlink()
    [problem] = read_source("ferbench", root).problems
    assert "no picture of 3 questions is there" in problem.reason and "FERPlus/FER2013Test/fer0000001.png" in problem.reason


def test_a_root_without_questions_shows_the_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"set data\.options\.questions(.|\n)*rafdb_qa\.json, ferplus_qa\.json"):
        read_source("ferbench", tmp_path)


def config(root: Path, cache: Path, **options: Any) -> dict[str, Any]:
    protocol = {"name": "ferbench"}
    return {"name": "ferbench", "kind": "source", "source": "ferbench", "root": str(root), "cache": str(cache)} | {
        "protocol": protocol,
        "options": options,
    }


def test_loaded_rows_ask_the_question_and_can_be_scored(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    data = load_data(config(root, tmp_path_factory.mktemp("cache")), need=("test",))
    records = list(data.test)
    assert len(records) == 12 and {label for record in records for label in record.labels} <= set(data.protocol.labels or ())
    prompt = Prompt("unifer", "{question}", system="You are a helpful assistant.")
    system, user = messages(records[0], prompt, data.protocol.labels)
    assert system["role"] == "system" and user["content"][0]["type"] == "image"
    assert user["content"][1]["text"] == records[0].meta_info["ferbench"]["prompt"]
    rows = [record.to_json() for record in records]
    truths = [row["meta_info"]["ferbench"]["true_label"] for row in rows]
    found = score_results(results_of(rows, [answer(truth) for truth in truths]), resamples=0)
    assert found.summary_metrics["ferbench/pooled/compat/accuracy"]["value"] == 1.0
    assert found.summary_metrics["ferbench/pooled/strict/accuracy"]["n"] == 12
