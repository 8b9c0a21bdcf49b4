"""What a stage works on: counted, compared and noted in its run directory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from facial_r1.interruption import StopRequest
from facial_r1.runs import RunDirectory
from facial_r1.stages.context import Context
from facial_r1.stages.material import load_records, usable
from tests.data.owners import face


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """20 train and 5 test faces; AU9 in one of the train faces, a copy of the first one on the test side."""
    folder = tmp_path / "set"
    for side, count in (("train", 20), ("test", 5)):
        rows = []
        for number in range(count):
            face(folder / f"{side}{number}.png")
            units, label = ["AU9"] if number == 0 else ["AU12"], "anger" if number < 4 else "happiness"
            rows.append(
                {"id": f"{side}{number}", "dataset": "d", "image": f"{side}{number}.png", "AUs": units, "labels": [label]}
            )
        (folder / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copy(folder / "train0.png", folder / "test2.png")
    return folder


def context(files: Path, tmp_path: Path, *overrides: str) -> Context:
    own = ["stage=grpo", "data=jsonl", f"data.files=[{files}/train.jsonl]", f"data.test_files=[{files}/test.jsonl]"]
    job = validate(plain(compose_tree([*own, *overrides])))
    return Context(RunDirectory(tmp_path / "run"), job, StopRequest())


def chosen(context: Context, amount: int, **options: Any) -> list[str]:
    data = load_records(context)
    return [row.id for row in usable(context, data.train, "units", lambda record: True, amount, **options)]


def test_leaks_are_said_at_the_start_and_written_down(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    load_records(context(files, tmp_path))
    assert "note: 1 test images are also in training (exact d / d: 1)" in capsys.readouterr().err
    run = RunDirectory(tmp_path / "run")
    assert run.status()["data"]["leaks"] == {"test_images": 1, "train_rows_left_out": 0}
    (leak,) = map(json.loads, (run.path / "leaks.jsonl").read_text().splitlines())
    assert (Path(leak["train"]).name, Path(leak["test"]).name, leak["kind"]) == ("train0.png", "test2.png", "exact")


def test_rows_left_out_for_leaks_are_counted(files: Path, tmp_path: Path):
    data = load_records(context(files, tmp_path, "data.deduplicate=true"))
    status = RunDirectory(tmp_path / "run").status()["data"]
    assert status["leaks"] == {"test_images": 1, "train_rows_left_out": 1}
    assert (status["train"], len(data.train)) == (19, 19)


def test_a_clean_set_says_nothing(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    face(files / "test2.png")
    load_records(context(files, tmp_path))
    assert "leaks" not in RunDirectory(tmp_path / "run").status()["data"]
    assert "also in training" not in capsys.readouterr().err


def test_the_steps_of_a_pipeline_say_a_note_once(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = context(files, tmp_path)
    load_records(first)
    load_records(first.child("02", first.job))
    assert capsys.readouterr().err.count("also in training") == 1


def test_the_amount_of_a_stage_is_balanced(files: Path, tmp_path: Path):
    ids = chosen(context(files, tmp_path, "data.balance=labels"), 8)
    assert len(set(ids)) == 8
    assert sum(int(name.removeprefix("train")) < 4 for name in ids) == 4


def test_repeats_of_a_balanced_amount_are_said(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ids = chosen(context(files, tmp_path, "data.balance=labels", "data.repeats=true"), 24)
    said = capsys.readouterr().err
    assert len(ids) == 24 and len(set(ids)) < 24
    assert f"{24 - len(set(ids))} repeats)" in said and "rows are repeats, to balance classes" in said


def test_synthesis_writes_about_a_face_once(files: Path, tmp_path: Path):
    ids = chosen(context(files, tmp_path, "data.balance=labels", "data.repeats=true"), 8, distinct=True)
    assert len(ids) == len(set(ids)) == 8


# --- transcripts that the prompt never shows -------------------------------------------------------------------


@pytest.fixture
def spoken(files: Path) -> Path:
    """The same faces; the train side has a transcript each."""
    path = files / "train.jsonl"
    rows = [json.loads(line) | {"transcript": "It rains."} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files


def test_transcripts_that_the_prompt_hides_are_warned_of_once(spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = context(spoken, tmp_path, "prompt=facial_r1")
    load_records(first)
    load_records(first.child("02", first.job))
    said = capsys.readouterr().err
    assert said.count("warning: 20 of 25 rows have a transcript that prompt=facial_r1 does not show: set prompt=clip") == 1
    assert "{transcript} into prompt.instruction" in said


@pytest.mark.parametrize("settings", [["prompt=clip"], ["prompt=facial_r1", "+data.modalities=[video]"]])
def test_no_warning_where_words_are_shown_or_not_meant(
    settings: list[str], spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    load_records(context(spoken, tmp_path, *settings))
    assert "transcript" not in capsys.readouterr().err


def test_no_warning_without_transcripts(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    load_records(context(files, tmp_path, "prompt=facial_r1"))
    assert "transcript" not in capsys.readouterr().err
