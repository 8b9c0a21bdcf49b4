"""The FERBench leaderboard as CSV, Markdown, LaTeX and in the console."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from facial_r1.data.protocol import load_protocol
from facial_r1.report.leaderboard_board import Board, make_board
from facial_r1.report.leaderboard_tables import (
    compared,
    console,
    highest,
    mark,
    percent,
    probability,
    to_csv,
    to_latex,
    to_markdown,
)
from tests.report.ferbench_models import everywhere, scored


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    folder = tmp_path_factory.mktemp("models")
    models = [
        scored(folder, "good_model", everywhere(range(4))),
        scored(folder, "weak", everywhere(range(30))),
        scored(folder, "bare", everywhere(range(2)), shape="bare"),
    ]
    return make_board(models, published=load_protocol("ferbench").published, resamples=200)


def test_csv_has_every_figure_of_every_model_and_set(board: Board) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(board))))
    for name in ("good_model", "weak", "bare"):
        kinds = {(row["set"], row["reading"], row["figure"]) for row in rows if row["model"] == name}
        for dataset in ("pooled", "mean", "affectnet", "rafdb", "ferplus", "sfew"):
            assert {
                (dataset, mode, figure) for mode in ("strict", "compat") for figure in ("accuracy", "macro_f1", "uar")
            } <= kinds
        assert ("rafdb", "strict", "weighted_f1") in kinds and ("rafdb", "", "format_rate") in kinds


def test_csv_has_full_precision_and_the_test_beside_each_accuracy(board: Board) -> None:
    row = next(
        row
        for row in csv.DictReader(io.StringIO(to_csv(board)))
        if (row["model"], row["set"], row["reading"], row["figure"]) == ("weak", "rafdb", "strict", "accuracy")
    )
    test = board.tests["weak", "rafdb", "strict"]
    assert float(row["value"]) == 0.25 and float(row["low"]) < 0.25 < float(row["high"]) and row["n"] == "40"
    assert row["compared_with"] == "good_model" and float(row["difference"]) == pytest.approx(test.difference)
    assert float(row["p_holm"]) == pytest.approx(test.p_holm) and (row["right_here_only"], row["right_there_only"]) == ("0", "26")


def test_csv_names_the_source_of_a_published_figure_and_has_no_other_of_it(board: Board) -> None:
    published = [row for row in csv.DictReader(io.StringIO(to_csv(board))) if row["model"] == "UniFER-7B"]
    assert [(row["set"], row["reading"], row["figure"], row["value"]) for row in published] == [
        ("pooled", "compat", "accuracy", "0.6884")
    ]
    assert published[0]["source"].startswith("published: machine-written summary of arXiv 2511.00389")


def test_a_name_that_looks_like_a_formula_is_text_in_a_spreadsheet(board: Board) -> None:
    renamed = replace(board, models=(replace(board.models[0], name="=1+1"),), tests={})
    assert next(csv.DictReader(io.StringIO(to_csv(renamed))))["model"] == "'=1+1"


def test_markdown_tables_are_rectangular(board: Board) -> None:
    blocks = [block for block in to_markdown(board).split("\n\n") if block.startswith("| ")]
    assert len(blocks) == 8
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_markdown_marks_best_and_significance_and_gives_intervals(board: Board) -> None:
    table = to_markdown(board).split("## Accuracy, strict")[1].split("##")[0]
    good, weak = (next(line for line in table.splitlines() if line.startswith(f"| {name}")) for name in ("good_model", "weak"))
    assert "**90.00** [" in good and "25.00† [" in weak
    compat = to_markdown(board).split("## Accuracy, as the released")[1].split("##")[0]
    assert "| UniFER-7B (published) | 68.84 | – | – | – | – | – |" in compat


def test_markdown_gives_the_source_of_the_published_figure(board: Board) -> None:
    assert "- UniFER-7B: machine-written summary of arXiv 2511.00389" in to_markdown(board)


def test_latex_escapes_and_closes(board: Board) -> None:
    text = to_latex(board)
    assert r"good\_model" in text and "good_model" not in text and r"$^{\dagger}$" in text
    assert text.count(r"\begin{tabular}{lrrrrrr}") == text.count(r"\end{tabular}") == 6
    assert all(line.count(" & ") == 6 for line in text.splitlines() if line.endswith(r" \\"))


def test_answers_without_tags_are_nothing_in_strict_and_something_in_compat(board: Board) -> None:
    assert highest(board, "ferbench/pooled/compat/accuracy") == pytest.approx(0.95)
    assert highest(board, "ferbench/pooled/strict/accuracy") == pytest.approx(0.9)
    assert mark(board, "bare", "pooled", "strict") == "†" and board.best == {"strict": "good_model", "compat": "bare"}


def test_comparisons_say_which_way(board: Board) -> None:
    rows = {(row["model"], row["set"]): row for row in compared(board, "strict")}
    assert rows["weak", "RAF-DB"]["verdict"] == "worse" and rows["weak", "RAF-DB"]["difference"].startswith("−65.")
    assert rows["weak", "RAF-DB"]["p_holm"] == "< 0.001"


def test_the_console_shows_both_readings_and_the_reference(board: Board) -> None:
    stream = io.StringIO()
    console(board, stream)
    text = stream.getvalue()
    assert "90.00 / 90.00" in text and "0.00 / 95.00†" in text and "UniFER-7B (published)" in text and "– / 68.84" in text


def test_numbers_are_written_alike() -> None:
    assert (percent(0.68834), percent(None), percent(0.5, 1)) == ("68.83", "–", "50.0")
    assert (probability(0.00001), probability(0.0312)) == ("< 0.001", "0.031")


@pytest.mark.reference
def test_tables_of_a_recorded_case_hold_the_recorded_accuracy(reference: Path, tmp_path: Path) -> None:
    import json

    from facial_r1.report.leaderboard_models import read_model, sources_in
    from tests.metrics.ferbench_cases import predictions, write

    case = reference / "ferbench_golden" / "04_malformed_mix"
    for name, own in predictions(case).items():
        write(tmp_path / "mix", f"{name}_results.json", own)
    (source,) = sources_in(tmp_path / "mix")
    text = to_csv(make_board([read_model(source, resamples=0)], resamples=0))
    found = {(row["set"], row["reading"], row["figure"]): float(row["value"]) for row in csv.DictReader(io.StringIO(text))}
    expected = json.loads((case / "expected" / "total_metrics.json").read_text())["overall"]
    assert found["pooled", "compat", "accuracy"] == pytest.approx(expected["accuracy"], abs=1e-9)
    assert found["pooled", "compat", "macro_f1"] == pytest.approx(expected["f1"], abs=1e-9)
