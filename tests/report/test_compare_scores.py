"""Figures, differences and tests of two runs: equal to those of the evaluation, in the stated direction, corrected within families."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facial_r1.metrics.comparison import holm, mcnemar
from facial_r1.metrics.evaluate import compare as compare_evaluations
from facial_r1.metrics.evaluate import evaluate
from facial_r1.report.compare_runs import Pair, read_pair
from facial_r1.report.compare_scores import Comparison, compare
from facial_r1.stages.predictions import read_predictions
from tests.report import compare_cases
from tests.report.compare_cases import LABELS, VOCABULARY


def read(a: Path, b: Path) -> Pair:
    return read_pair(a, b, read_predictions)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("runs")
    records = compare_cases.faces(root, 60)
    return compare_cases.write_run(root / "one", records, 0.5), compare_cases.write_run(root / "two", records, 0.9, 1)


@pytest.fixture(scope="module")
def found(runs: tuple[Path, Path]) -> Comparison:
    return compare(read(*runs), resamples=1_000)


def value(found: Comparison, metric: str) -> float:
    line = found.line(metric)
    assert line is not None and line.difference is not None, metric
    return line.difference


def test_every_figure_of_both_runs_is_there_and_is_what_the_run_wrote(found: Comparison, runs: tuple[Path, Path]) -> None:
    for folder, side in zip(runs, "ab", strict=True):
        written = json.loads((folder / "summary.json").read_text())["metrics"]
        again = {line.metric: getattr(line, side)["value"] for line in found.lines}
        assert {name: figure["value"] for name, figure in written.items()} == pytest.approx(again)
    assert found.notes == ()


def test_differences_and_p_are_those_of_the_paired_comparison(found: Comparison, runs: tuple[Path, Path]) -> None:
    results = []
    for folder in runs:
        rows = compare_cases.samples_of(folder)
        reasons = [row["finish_reason"] for row in rows]
        results.append(evaluate([row["completion"] for row in rows], rows, VOCABULARY, LABELS, 0, finish_reasons=reasons))
    wanted = compare_evaluations(results[1], results[0], resamples=1_000)
    for name, one in wanted.items():
        line = found.line(name)
        assert line is not None
        assert (line.difference, line.low, line.high, line.p) == (one["difference"], one["low"], one["high"], one["p"]), name
        assert (line.n, line.clusters) == (one["n"], one["clusters"]), name


def test_the_difference_is_b_minus_a(found: Comparison, runs: tuple[Path, Path]) -> None:
    assert value(found, "emotion/accuracy") > 0.1
    line = found.line("emotion/accuracy")
    assert line is not None and line.verdict == "better"
    back = compare(read(*runs[::-1]), resamples=1_000)
    assert value(back, "emotion/accuracy") == pytest.approx(-value(found, "emotion/accuracy"))
    line = back.line("emotion/accuracy")
    assert line is not None and line.verdict == "worse"


def test_less_is_better_for_what_is_a_fault(found: Comparison) -> None:
    line = found.line("au/hallucinated")
    assert line is not None and line.difference is not None and line.difference < 0 and line.verdict == "better"


def test_a_run_does_not_differ_from_itself(runs: tuple[Path, Path]) -> None:
    same = compare(read(runs[0], runs[0]), resamples=200)
    assert all((line.difference, line.p, line.verdict) == (0.0, 1.0, "") for line in same.lines if line.difference is not None)
    assert same.flips("a") == same.flips("b") == [] and all(line.detectable is None for line in same.lines)
    assert [side.name for side in (same.pair.a, same.pair.b)] == ["one (A)", "one (B)"]


def test_mcnemar_counts_who_is_right_where(found: Comparison, runs: tuple[Path, Path]) -> None:
    right = [
        [row["labels"] == row["parsed"]["labels"] and row["parsed"]["valid"] for row in compare_cases.samples_of(folder)]
        for folder in runs
    ]
    pairs = list(zip(*right, strict=True))
    (contest,) = [one for one in found.contests if one.metric == "emotion/accuracy"]
    cells = (contest.both, contest.only_a, contest.only_b, contest.neither)
    assert cells == tuple(pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False)))
    assert contest.p == mcnemar(contest.only_b, contest.only_a) and contest.p_mid < contest.p
    assert (contest.only_b - contest.only_a) / contest.n == pytest.approx(value(found, "emotion/accuracy"))


def test_flips_are_the_discordant_samples(found: Comparison) -> None:
    contest = found.contests[0]
    assert found.decider == "emotion/accuracy" and found.binary
    assert (len(found.flips("a")), len(found.flips("b"))) == (contest.only_a, contest.only_b)
    assert not set(found.flips("a")) & set(found.flips("b"))


@pytest.mark.parametrize(("start", "family"), [("au/f1/", "action units"), ("emotion/recall/", "emotions")])
def test_holm_runs_over_a_whole_family(found: Comparison, start: str, family: str) -> None:
    lines = [line for line in found.lines if line.metric.startswith(start) and line.p is not None]
    assert len(lines) > 4 and {line.family for line in lines} == {family}
    assert [line.p_holm for line in lines] == holm([line.p or 0.0 for line in lines])


def test_figures_outside_of_a_family_are_not_corrected(found: Comparison) -> None:
    line = found.line("emotion/accuracy")
    assert line is not None and line.p_holm is None and line.family == ""


def test_a_unit_that_is_not_significant_after_the_correction_has_no_verdict(found: Comparison) -> None:
    lines = [line for line in found.lines if line.family == "action units"]
    assert all((line.verdict != "") == (line.p_holm is not None and line.p_holm < 0.05) for line in lines)


def test_the_detectable_difference_is_about_three_standard_errors(found: Comparison) -> None:
    line = found.line("emotion/accuracy")
    assert line is not None and line.detectable and line.low is not None and line.high is not None
    assert line.detectable == pytest.approx((line.high - line.low) / (2 * 2.12) * (2.12 + 0.865), rel=0.15)


# --- several datasets --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    root = tmp_path_factory.mktemp("mixed")
    records = compare_cases.faces(root, 60, datasets=True)
    runs = [
        compare_cases.write_run(root / name, records, skill, seed)
        for seed, (name, skill) in enumerate((("one", 0.5), ("two", 0.9)))
    ]
    return compare(read(*runs), resamples=500)


def test_datasets_are_found_in_the_ids_and_compared_one_by_one(mixed: Comparison) -> None:
    shown = {(line.metric, line.dataset): line.n for line in mixed.by_dataset}
    assert shown["emotion/accuracy", "schematic"] == 40 and shown["emotion/accuracy", "studio"] == 20
    assert {metric for metric, _ in shown} >= {"emotion/uar", "au/macro_f1", "reward/mean"}


def test_holm_runs_over_the_datasets_of_a_metric(mixed: Comparison) -> None:
    lines = [line for line in mixed.by_dataset if line.metric == "emotion/accuracy"]
    assert [line.p_holm for line in lines] == holm([line.p or 0.0 for line in lines])
    assert {line.family for line in lines} == {"datasets, emotion/accuracy"}


def test_people_of_two_datasets_are_not_one_person(mixed: Comparison) -> None:
    line = mixed.line("emotion/accuracy")
    assert line is not None and line.clusters > 17


# --- other kinds of runs -----------------------------------------------------------------------------------------------


def test_answers_in_a_file_are_scored_by_the_rules_of_the_run(runs: tuple[Path, Path], found: Comparison, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    rows = compare_cases.samples_of(runs[1])
    kept = [{"id": row["id"], "completion": row["completion"], "finish_reason": row["finish_reason"]} for row in rows]
    file.write_text("".join(json.dumps(row) + "\n" for row in kept))
    again = compare(read(runs[0], file), resamples=1_000)
    assert again.line("emotion/accuracy") == found.line("emotion/accuracy")
    assert again.line("reward/mean") is None, "nobody paid these answers"


def test_figures_that_do_not_fit_the_answers_are_noted(runs: tuple[Path, Path], tmp_path: Path) -> None:
    rows = compare_cases.samples_of(runs[0])
    edited = compare_cases.write(tmp_path / "edited", rows)
    compare_cases.change(edited, 0, completion="nothing")
    (note,) = compare(read(edited, runs[1]), resamples=100).notes
    assert note.startswith("edited: scored again, ") and "are not those of its summary.json (" in note


def test_rows_without_emotions_are_decided_by_their_units(runs: tuple[Path, Path], tmp_path: Path) -> None:
    bare = []
    for folder in runs:
        rows = [{**row, "labels": []} for row in compare_cases.samples_of(folder)]
        bare.append(compare_cases.write(tmp_path / folder.name, rows))
    for folder in bare:  # as for a set of action units: no emotion is asked for
        summary = json.loads((folder / "summary.json").read_text())
        summary["metrics"] = {name: figure for name, figure in summary["metrics"].items() if not name.startswith("emotion/")}
        (folder / "summary.json").write_text(json.dumps(summary))
    found = compare(read(*bare), resamples=100)
    assert found.decider == found.contests[0].metric == "au/subset_accuracy" and found.primary == "au/macro_f1"


def test_an_open_vocabulary_is_compared_on_the_wheels(tmp_path: Path) -> None:
    said = {"one": ["happy, glad", "angry", "sad"], "two": ["happy, glad", "sad, gloomy", "sad"]}
    truths = [["happy"], ["sad"], ["sad", "hopeless"]]
    folders = []
    for name, answers in said.items():
        rows = [
            {
                "id": str(n),
                "completion": text,
                "labels": truth,
                "AUs": None,
                "subject": f"s{n}",
                "parsed": {"labels": text.split(", ")},
            }
            for n, (text, truth) in enumerate(zip(answers, truths, strict=True))
        ]
        folder = tmp_path / name
        folder.mkdir()
        (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "summary.json").write_text(json.dumps({"stage": "eval", "metrics": {"wheel/level1/f": {"value": 0.5, "n": 3}}}))
        (folder / "resolved.yaml").write_text("data:\n  protocol:\n    name: open\nprompt:\n  output: direct\n")
        folders.append(folder)
    found = compare(read(*folders), resamples=100)
    assert found.primary == "wheel/level1/f" and value(found, "wheel/level1/f") > 0
    assert (found.decider, found.binary, found.flips("a"), found.flips("b")) == ("wheel/clip_f", False, [], [1])
    assert value(found, "format/valid") == 0.0 and found.line("emotion/accuracy") is None


def test_ferbench_figures_are_those_of_its_own_evaluator(tmp_path: Path) -> None:
    from facial_r1.metrics.ferbench_run import score_predictions
    from tests.report.ferbench_models import everywhere, write_model

    folders = []
    for name, wrong in (("one", everywhere(range(4, 12))), ("two", {**everywhere(range(5)), "sfew": range(9)})):
        write_model(tmp_path / "results" / name, wrong)
        scored = score_predictions(tmp_path / "results" / name, resamples=0)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in scored.samples))
        (folder / "summary.json").write_text(json.dumps({"stage": "eval", "metrics": scored.summary_metrics}))
        folders.append((folder, scored.summary_metrics))
    found = compare(read(folders[0][0], folders[1][0]), resamples=200)
    shown = {line.metric: (line.a["value"], line.b["value"]) for line in found.lines if line.metric.startswith("ferbench/")}
    for metric, values in shown.items():
        assert values == pytest.approx(tuple(metrics[metric]["value"] for _, metrics in folders)), metric
    rates, averages = ("format_rate", "fallback_rate"), "ferbench/mean/"
    assert shown.keys() == {name for name in folders[0][1] if not name.endswith(rates) and not name.startswith(averages)}
    assert found.notes == () and found.primary == "ferbench/pooled/strict/accuracy" == found.lines[0].metric
    tested = [line for line in found.lines if line.family == "sets, strict accuracy"]
    assert len(tested) == 4 and [line.p_holm for line in tested] == holm([line.p or 0.0 for line in tested])
    contest = found.contests[0]
    gap = (contest.only_b - contest.only_a) / contest.n
    assert gap == pytest.approx(value(found, "ferbench/pooled/strict/accuracy"))
