"""`facial-r1 compare`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from facial_r1 import commands
from facial_r1.report.compare_command import main
from tests.report import compare_cases


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    root = tmp_path_factory.mktemp("runs")
    records = compare_cases.faces(root, 48, datasets=True)
    folders = [
        compare_cases.write_run(root / name, records, skill, seed)
        for seed, (name, skill) in enumerate((("sft", 0.5), ("grpo", 0.9)))
    ]
    return str(folders[0]), str(folders[1])


@pytest.fixture(scope="module")
def out(runs: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "compared"
    assert main([*runs, "--out", str(folder), "--resamples", "500"]) == 0
    return folder


def test_the_console_says_who_is_better_and_by_how_much(runs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run("compare", [*runs, "--resamples", "500"]) == 0
    shown = capsys.readouterr().out
    assert f"A: sft  ({runs[0]})" in shown and f"B: grpo  ({runs[1]})" in shown
    assert re.search(r"48 samples of \d+ subjects are in both; 0 only in A, 0 only in B", shown)
    assert re.search(
        r"Emotion accuracy: B \(grpo\) is better, B − A = \+0\.\d{3}, 95 % interval \[\+0\.\d{3}, \+0\.\d{3}\], p ", shown
    )
    for word in (
        "B − A",
        "p (Holm)",
        "Detectable",
        "F1 of AU12",
        "Recall of fear",
        "Emotion accuracy, studio",
        "McNemar",
        "mid-p",
    ):
        assert word in shown, word


def test_the_metric_that_is_named_decides(runs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*runs, "--metric", "au/f1", "reward/mean", "--resamples", "200"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^F1 of AU1: .*after Holm's correction", shown, re.MULTILINE) and "Mean reward" in shown
    assert "Emotion accuracy" not in shown and "McNemar" not in shown


def test_an_undecided_comparison_says_what_would_have_been_seen(
    runs: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = compare_cases.samples_of(Path(runs[0]))
    rows[0]["completion"] = rows[1]["completion"] = "nothing to read"
    near = compare_cases.write(tmp_path / "near", rows, datasets=True)
    assert main([runs[0], str(near), "--resamples", "200"]) == 0
    assert re.search(
        r"not decided, B − A = .* A difference of 0\.\d+ would have been found with 80 % power", capsys.readouterr().out
    )


def test_names_can_be_given(runs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*runs, "--names", "Before", "After", "--resamples", "100"]) == 0
    assert "B (After) is better" in capsys.readouterr().out


def test_all_files_are_written(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == [f"compare.{end}" for end in ("csv", "html", "json", "md", "tex")]


def test_json_and_csv_hold_the_same_numbers(out: Path) -> None:
    told = json.loads((out / "compare.json").read_text())
    rows = list(csv.DictReader(io.StringIO((out / "compare.csv").read_text())))
    assert told["direction"] == "B - A" and told["samples"] == {"common": 48, "only_a": 0, "only_b": 0}
    plain = {row["metric"]: row for row in rows if not row["dataset"]}
    assert plain.keys() == told["metrics"].keys()
    for name, figure in told["metrics"].items():
        for key in ("difference", "low", "high", "p", "p_holm", "detectable"):
            wanted = figure[key]
            assert plain[name][key] == ("" if wanted is None else f"{wanted:.10g}"), (name, key)
    assert {(row["metric"], row["dataset"]) for row in rows if row["dataset"]} == {
        (one["metric"], one["dataset"]) for one in told["by_dataset"]
    }


def test_json_names_the_samples_that_flip(out: Path) -> None:
    told = json.loads((out / "compare.json").read_text())
    (test,) = [one for one in told["mcnemar"] if one["metric"] == "emotion/accuracy"]
    assert len(told["flips"]["better_in_a"]) == test["only_a_right"] and len(told["flips"]["better_in_b"]) == test["only_b_right"]
    assert all("/face-" in name for name in told["flips"]["better_in_b"])


def test_markdown_and_latex_hold_the_main_figures(out: Path) -> None:
    told = json.loads((out / "compare.json").read_text())["metrics"]["emotion/accuracy"]
    shown = (out / "compare.md").read_text()
    assert f"| Emotion accuracy | {told['a']['value']:.3f} | {told['b']['value']:.3f} | **+{told['difference']:.3f}** |" in shown
    assert told["b_is"] == "better"
    latex = (out / "compare.tex").read_text()
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 1
    assert (
        rf"Emotion accuracy & {told['a']['value']:.3f} & {told['b']['value']:.3f} & \textbf{{+{told['difference']:.3f}}}" in latex
    )
    assert all(line.count("&") == 4 for line in latex.splitlines() if line.endswith(r"\\")), "five columns in every row"


def test_the_same_seed_gives_the_same_files(runs: tuple[str, str], out: Path, tmp_path: Path) -> None:
    assert main([*runs, "--out", str(tmp_path), "--resamples", "500"]) == 0
    for path in out.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["{a}", "nowhere"], "nowhere: there is no such run directory or file"),
        (["{a}", "{b}", "--metric", "emotion/acuracy"], "did you mean 'emotion/accuracy'?"),
        (["{a}", "{b}", "--resamples", "10"], "--resamples=10: at least 100"),
        (["{a}", "{b}", "--seed", "-1"], "--seed=-1: 0 or more"),
        (["{a}", "{b}", "--names", "x", "x"], "both are called x"),
        (["{a}", "{b}", "--out", "{a}/summary.json"], "a file is there; name a folder"),
        (["{a}", "{a}/summary.json"], "summary.json"),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_2(
    runs: tuple[str, str], arguments: list[str], wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument.format(a=runs[0], b=runs[1]) for argument in arguments]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("facial-r1 compare: ") and wanted in shown.err and "Traceback" not in shown.err


def test_nothing_is_written_where_nothing_can_be_compared(runs: tuple[str, str], tmp_path: Path) -> None:
    assert main([runs[0], str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_the_command_loads_no_model_library(runs: tuple[str, str]) -> None:
    script = (
        "import sys; from facial_r1.report.compare_command import main; code = main(sys.argv[1:]); "
        "sys.exit(code or sum(name in sys.modules for name in ('torch', 'transformers', 'trl')))"
    )
    done = subprocess.run([sys.executable, "-c", script, *runs, "--resamples", "100"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
