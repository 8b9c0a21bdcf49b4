"""Tables: one set of numbers in every form."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from facial_r1.report.leaderboard import main
from facial_r1.report.load import load_run
from facial_r1.report.tables import (
    MetricTable,
    console,
    leaderboard,
    pipeline_table,
    to_csv,
    to_latex,
    to_markdown,
    write_tables,
)

SUMMARIES: dict[str, dict[str, Any]] = {
    "sft": {
        "metrics": {
            "emotion/accuracy": {"value": 0.7, "low": 0.65, "high": 0.75, "n": 500, "clusters": 20},
            "au/hallucinated": {"value": 0.1},
            "au/f1/AU12": {"value": 0.9},
        },
        "failures": {"parse": 0.05},
    },
    "grpo": {
        "metrics": {"emotion/accuracy": {"value": 0.8}, "au/hallucinated": {"value": 0.2}},
        "failures": {"parse": {"rate": 0.01}},
    },
}


@pytest.fixture
def table() -> MetricTable:
    return MetricTable.of(SUMMARIES)


def test_rows_are_in_reading_order_and_units_apart(table: MetricTable) -> None:
    assert table.metrics == ("emotion/accuracy", "au/hallucinated", "failures/parse")
    assert "au/f1/AU12" in MetricTable.of(SUMMARIES, details=True).metrics


def test_best_knows_where_less_is_better(table: MetricTable) -> None:
    assert [table.best(name) for name in table.metrics] == ["grpo", "sft", "grpo"]


def test_csv_has_full_precision_and_bounds(table: MetricTable) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert rows[0] == {
        "metric": "emotion/accuracy",
        "model": "sft",
        "value": "0.7",
        "low": "0.65",
        "high": "0.75",
        "n": "500",
        "clusters": "20",
    }
    assert len(rows) == 6


def test_markdown_is_rectangular_and_marks_the_best(table: MetricTable) -> None:
    lines = to_markdown(table).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert "**0.800**" in lines[2] and "0.700 [0.650, 0.750]" in lines[2]


def test_latex_escapes_and_closes() -> None:
    text = to_latex(MetricTable.of({"my_model & 50%": SUMMARIES["grpo"]}))
    assert r"my model \& 50\%" in text and text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1


def test_console_shows_every_figure(table: MetricTable) -> None:
    stream = io.StringIO()
    console(table, "Figures [not markup]", stream)
    assert all(part in stream.getvalue() for part in ("Figures", "0.700 [0.650, 0.750]", "SFT", "GRPO"))


def test_all_forms_are_written(table: MetricTable, tmp_path: Path) -> None:
    assert sorted(path.name for path in write_tables(table, tmp_path)) == ["metrics.csv", "metrics.md", "metrics.tex"]


def test_a_pipeline_has_a_column_per_model(pipeline_dir: Path) -> None:
    text = pipeline_table(load_run(pipeline_dir).summary)
    head = text.splitlines()[0]
    assert all(name in head for name in ("Base", "SFT", "GRPO", "After synthesis")) and "Emotion accuracy" in text


def test_the_leaderboard_is_sorted(pipeline_dir: Path, grpo_dir: Path) -> None:
    board = leaderboard([grpo_dir, pipeline_dir])
    values = [board.figures["emotion/accuracy", model]["value"] for model in board.models]
    assert len(values) == 5 and values == sorted(values, reverse=True)


def test_the_command_finds_runs_and_shows_a_pipeline_once(
    pipeline_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "pipeline").symlink_to(pipeline_dir)
    assert main([str(tmp_path / "outputs"), "--write", str(tmp_path)]) == 0
    written = (tmp_path / "leaderboard.csv").read_text()
    assert "emotion/accuracy,pipeline-0a1b/grpo," in written and "03_grpo" not in written
    assert "Emotion accuracy" in capsys.readouterr().out


def test_the_command_refuses_a_folder_without_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "no evaluated run" in capsys.readouterr().err
