"""`facial-r1 leaderboard` on results of FERBench, and beside ordinary runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from facial_r1.report.leaderboard import main
from tests.metrics.ferbench_cases import question, write
from tests.report.ferbench_models import COUNT, everywhere, write_model
from tests.report.test_leaderboard_models import run_of


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_model(tmp_path / "models" / "one", everywhere(range(3)))
    write_model(tmp_path / "models" / "two", everywhere(range(9)))
    return tmp_path / "models"


def test_a_folder_of_models_becomes_tables_and_a_page(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(models), "--write", str(tmp_path / "out"), "--resamples", "50"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("one") < shown.index("two") and "92.50 / 92.50" in shown
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"leaderboard.{end}" for end in ("csv", "html", "md", "tex")
    ]
    assert all(str(tmp_path / "out" / f"leaderboard.{end}") in shown for end in ("csv", "html", "md", "tex"))


def test_models_can_be_named(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"Ours (7B)={models / 'one'}", f"Theirs={models / 'two'}", "--resamples", "0"]) == 0
    shown = capsys.readouterr().out
    assert "Ours (7B)" in shown and "Theirs" in shown


def test_runs_and_files_stand_in_one_table(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "runs" / "eval-abcd")
    assert main([str(run), str(models / "one"), "--resamples", "0"]) == 0
    shown = capsys.readouterr().out
    assert "eval-abcd" in shown and "one" in shown


def test_ordinary_runs_keep_their_table(grpo_dir: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(grpo_dir), str(models)]) == 0
    shown = capsys.readouterr()
    assert "Emotion accuracy" in shown.out and "2 models with results on FERBench are not shown" in shown.err
    assert main([str(grpo_dir), str(models), "--ferbench", "--resamples", "0"]) == 0
    shown = capsys.readouterr()
    assert "92.50 / 92.50" in shown.out and grpo_dir.name not in shown.out


def test_questions_are_counted_when_they_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "questions", "rafdb_qa.json", [question("rafdb", number) for number in range(2 * COUNT)])
    write_model(tmp_path / "one", {"rafdb": range(0)})
    assert main([str(tmp_path / "one"), "--questions", str(tmp_path / "questions"), "--resamples", "0"]) == 0
    assert "50.00 / 100.00" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["{models}/three"], "three: no such file or folder"),
        (["{models}", "--by", "ferbench/pooled/acuracy"], "no model has the metric ferbench/pooled/acuracy: choose --by from"),
        (["{models}", "--images", "{models}/faces"], "faces: no such folder; give the one above RAF-DB"),
        (["{models}", "--resamples", "-1"], "--resamples=-1: 0 or more"),
        (["{models}", "--questions", "{models}/none"], "does not exist; give the folder with rafdb_qa.json"),
        (["Both={models}"], "2 models are there (one, two)"),
        (
            ["{empty}", "--ferbench"],
            "no results of FERBench; expected a run of experiment=unifer/eval, or files rafdb*_results.json",
        ),
        (["{empty}"], "no evaluated run in"),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_2(
    models: Path, tmp_path: Path, arguments: list[str], wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main([argument.format(models=models, empty=tmp_path / "empty") for argument in arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("facial-r1 leaderboard: ") and wanted in message


def test_a_broken_row_is_named_with_file_and_line(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = models / "one" / "rafdb_results.json"
    file.write_text(file.read_text().replace('"model_response"', '"response"', 1))
    assert main([str(models)]) == 2
    message = capsys.readouterr().err
    assert f"{file}:" in message and "model_response" in message


def test_questions_and_images_are_not_for_ordinary_runs(grpo_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(grpo_dir), "--images", str(grpo_dir)]) == 2
    assert "--images is for FERBench" in capsys.readouterr().err


@pytest.mark.reference
def test_five_models_on_the_whole_benchmark_take_seconds(reference: Path, tmp_path: Path) -> None:
    """Processor seconds, so that a busy machine does not fail it; about 5 on the machine it was written on."""
    import json

    from facial_r1.data.ferbench import AUTHORS_NAMES

    for model in range(5):
        for name in AUTHORS_NAMES.values():
            asked = json.loads((reference / "ferbench" / f"{name}_qa.json").read_text())
            answered = [
                {
                    **row,
                    "model_response": f"<think>Brows.</think><answer>{row['candidate_labels'][(n * (model + 3)) % 7]}</answer>",
                }
                for n, row in enumerate(asked)
            ]
            write(tmp_path / "models" / f"m{model}", f"{name}_results.json", answered)
    began = time.process_time()
    assert main([str(tmp_path / "models"), "--write", str(tmp_path / "out")]) == 0
    assert time.process_time() - began < 30
    assert (tmp_path / "out" / "leaderboard.html").stat().st_size < 10_000_000
