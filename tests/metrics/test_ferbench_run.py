"""The figures of FERBench in both modes, with intervals, rates and failures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facial_r1.data.ferbench import DATASETS, LABELS, TOTAL, Question
from facial_r1.errors import InputError
from facial_r1.metrics.bootstrap import bootstrap, mean
from facial_r1.metrics.ferbench import evaluate
from facial_r1.metrics.ferbench_run import FerbenchResult, results_of, score_predictions, score_results
from tests.command import ROOT
from tests.metrics.ferbench_cases import answer, predictions, question, recorded, result, results, write

COMPAT = {"accuracy": "accuracy", "precision": "macro_precision", "recall": "macro_recall", "f1": "macro_f1"}
STRICT = COMPAT | {"uar": "uar", "weighted_f1": "weighted_f1"}


def value(result: FerbenchResult, name: str) -> float | None:
    found: float | None = result.summary_metrics[f"ferbench/{name}"]["value"]
    return found


def check_figures(result: FerbenchResult, parts: dict[str, list[dict[str, object]]], where: str) -> None:
    """The summary's figures are those of `evaluate`, of each set and pooled."""
    for name in (*DATASETS, "pooled"):
        own = parts if name == "pooled" else parts["sfew_2.0" if name == "sfew" else name]
        for mode, names in (("compat", COMPAT), ("strict", STRICT)):
            figures = evaluate(own, name, mode)  # type: ignore[arg-type]
            for key, metric in names.items():
                assert value(result, f"{name}/{mode}/{metric}") == pytest.approx(figures.overall[key], abs=1e-12), (
                    where,
                    name,
                    mode,
                )
            assert result.summary_metrics[f"ferbench/{name}/{mode}/accuracy"]["n"] == figures.counted
        table = result.confusion[name]["strict"]
        assert table["matrix"] == evaluate(own, name, "strict").confusion_matrix
        assert table["columns"] == [*LABELS[TOTAL if name == "pooled" else name], "unknown"]


def test_the_figures_of_every_recorded_case_are_those_of_the_scripts(reference: Path) -> None:
    for case in recorded(reference):
        check_figures(score_predictions(case, resamples=0), predictions(case), case.name)  # type: ignore[arg-type]


def test_odd_truths_candidates_and_answers_change_nothing_about_that() -> None:
    parts = {
        name: results(key, 9, ["", "fear", answer("joy"), answer("x")])
        for name, key in zip(("affectnet", "rafdb", "ferplus", "sfew_2.0"), DATASETS, strict=True)
    }
    parts["rafdb"][4] |= {"true_label": "Happiness"}
    parts["rafdb"][5] |= {"true_label": "boredom"}
    parts["ferplus"][6] |= {"error": True}
    parts["sfew_2.0"][7] |= {"candidate_labels": ["happy", "sad"]}
    check_figures(score_results(parts, resamples=0), parts, "odd")  # type: ignore[arg-type]


def test_failures_are_counted_and_stay_in_the_strict_denominator() -> None:
    rows = results("rafdb", 10, ["no idea", "surprise", answer("fear") + "\n.", "x" * 1_000_001])
    rows[8] |= {"error": True, "model_response": "ERROR: out of memory"}
    rows[9] |= {"true_label": "boredom"}
    missing = {"rafdb": [Question("rafdb", "/RAF-DB/aligned/late.jpg", "fear", "?", LABELS["rafdb"], "q:1")]}
    found = score_results({"rafdb": rows}, missing, resamples=0)
    assert found.failures == {
        "errors": 1,
        "missing": 1,
        "unknown_compat": 2,
        "unknown_strict": 5,
        "invalid_format": 6,
        "overlong": 1,
        "truth_outside_candidates": 1,
    }
    assert found.summary_metrics["ferbench/rafdb/strict/accuracy"]["n"] == 11
    assert found.summary_metrics["ferbench/rafdb/compat/accuracy"]["n"] == 9
    assert len(found.samples) == 11
    assert any("outside of their candidate_labels" in note for note in found.notes)


def test_the_rates_tell_how_the_labels_were_found() -> None:
    rows = results("sfew", 10, ["happy", "", answer("2", "It looks sad."), "sorrowful"])
    found = score_results({"sfew": rows}, resamples=0)
    assert value(found, "sfew/fallback_rate") == pytest.approx(0.3), "two by text, one by synonym, of ten"
    assert value(found, "sfew/format_rate") == pytest.approx(0.7)


def test_pooled_figures_and_means_need_all_four_datasets() -> None:
    three = {name: results(name, 5) for name in DATASETS[:3]}
    assert not [name for name in score_results(three, resamples=0).summary_metrics if "pooled" in name or "mean" in name]
    four = three | {"sfew": results("sfew", 10, ["x"] * 5)}
    found = score_results(four, resamples=0)
    assert value(found, "pooled/strict/accuracy") == pytest.approx(20 / 25)
    assert value(found, "mean/strict/accuracy") == pytest.approx((3 + 0.5) / 4)
    assert [row["set"] for row in found.per_set] == [*DATASETS, "pooled", "mean"]


def test_a_dataset_of_crashes_alone_has_no_compat_figures_and_no_right_answer() -> None:
    found = score_results({"rafdb": [result("rafdb", n, error=True) for n in range(3)]}, resamples=20)
    assert value(found, "rafdb/compat/accuracy") is None and value(found, "rafdb/strict/accuracy") == 0.0
    assert "all results carry an error" in found.notes[-1]


def test_intervals_are_those_of_the_bootstrap_over_pictures() -> None:
    right = [n % 3 != 0 for n in range(600)]
    rows = [result("ferplus", n, None if good else "no idea") for n, good in enumerate(right)]
    found = score_results({"ferplus": rows}, resamples=4000).summary_metrics["ferbench/ferplus/strict/accuracy"]
    usual = bootstrap(np.array([[good, 1.0] for good in right]), range(600), mean, 4000)
    assert found["low"] == pytest.approx(float(usual.low[0]), abs=0.005)
    assert found["high"] == pytest.approx(float(usual.high[0]), abs=0.005)
    assert (found["n"], found["clusters"]) == (600, 600)


def test_the_interval_of_a_dataset_does_not_depend_on_the_others_and_repeats() -> None:
    parts = {name: results(name, 40, ["x"] * 15) for name in DATASETS}
    alone, together = score_results({"sfew": parts["sfew"]}, resamples=200), score_results(parts, resamples=200)
    name = "ferbench/sfew/strict/macro_f1"
    assert alone.summary_metrics[name] == together.summary_metrics[name]
    assert together.summary_metrics == score_results(parts, resamples=200).summary_metrics
    assert together.summary_metrics[name] != score_results(parts, resamples=200, seed=1).summary_metrics[name]


def test_a_single_picture_has_no_interval() -> None:
    found = score_results({name: results(name, 1) for name in DATASETS}, resamples=50)
    assert all(figure["low"] is None for figure in found.summary_metrics.values())


def test_the_majority_baseline_is_the_share_of_the_most_frequent_class() -> None:
    rows = results("sfew", 14) + [result("sfew", 100 + 7 * n + 3) for n in range(6)]
    found = score_results({"sfew": rows}, resamples=0)
    most = max(sum(row["true_label"] == label for row in rows) for label in LABELS["sfew"])
    assert found.baselines["majority"]["ferbench/sfew/strict/accuracy"]["value"] == pytest.approx(most / 20)


def test_samples_are_plain_data_with_both_scores() -> None:
    found = score_results({"rafdb": results("rafdb", 2, [answer("unhappy")])}, resamples=0)
    sample = json.loads(json.dumps(found.samples))[0]
    assert sample["scores"] == {"ferbench/compat": 0.0, "ferbench/strict": 0.0, "format/valid": 1.0}
    assert sample["ferbench"] == {"compat": "happiness", "total": "happiness", "step": "synonym", "strict": "sadness"}
    assert sample["labels"] == ["surprise"] and sample["parsed"]["thinking"] == "The brow is raised."


def test_samples_can_be_written_whatever_the_response_holds() -> None:
    """JSON may hold half of a surrogate pair; the released scripts read past it. The results keep it, samples spell it out."""
    odd = "\ud800<answer>surprise</answer>"
    found = score_results({"rafdb": results("rafdb", 1, [odd])}, resamples=0)
    assert found.results["rafdb"][0]["model_response"] == odd and value(found, "rafdb/compat/accuracy") == 1.0
    assert found.samples[0]["completion"] == "\\ud800<answer>surprise</answer>"
    assert json.dumps(found.samples, ensure_ascii=False).encode()


def test_generated_answers_are_scored_as_files_are(tmp_path: Path) -> None:
    asked = [Question("sfew", *question("sfew", n).values(), "q:1") for n in range(6)]  # type: ignore[arg-type]
    asked = [replace(one, candidate_labels=tuple(one.candidate_labels)) for one in asked]
    records = [one.to_record(["/x.png"]).to_json() for one in asked]
    completions = [answer("happy")] * 6
    at_hand = score_results(results_of(records, completions), resamples=0)
    read = score_predictions(write(tmp_path, "sfew_results.json", at_hand.results["sfew"]), resamples=0)
    assert read.summary_metrics == at_hand.summary_metrics
    assert at_hand.results["sfew"][0] == question("sfew", 0) | {"model_response": answer("happy")}
    with pytest.raises(InputError, match="no question of FERBench"):
        results_of([{"id": "a", "dataset": "sfew"}], ["x"])


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(InputError, match="no FERBench result"):
        score_results({"rafdb": []})


def test_a_response_of_fifty_megabytes_is_a_counted_failure() -> None:
    rows = results("rafdb", 3, ["<think>" + "fear " * 10_000_000])
    began = time.perf_counter()
    found = score_results({"rafdb": rows}, resamples=10)
    assert found.failures["overlong"] == 1 and time.perf_counter() - began < 60


def test_all_questions_are_scored_in_seconds_without_torch(tmp_path: Path) -> None:
    """11,072 answers with reasoning, both modes, 2,000 resamples; the bound is generous, for a busy machine."""
    thinking = "The inner brows are raised and drawn together, the lip corners point down, and nothing else moves. " * 8
    for name, count in (("affectnet", 4000), ("rafdb", 3068), ("ferplus", 3573), ("sfew", 431)):
        words = LABELS[name]
        rows = [result(name, n, answer(words[n * 7 % 5], f"{n} {thinking}")) for n in range(count)]
        write(tmp_path, f"{name}_results.json", rows)
    code = (
        "import sys; from facial_r1.metrics.ferbench_run import score_predictions; "
        "found = score_predictions(sys.argv[1]); assert len(found.samples) == 11072; "
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - began < 30
