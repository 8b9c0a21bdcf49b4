"""UniFER's rewards, against the recorded values of the released functions and against their rules."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml

from facial_r1 import rewards
from facial_r1.data.ferbench import LABELS
from facial_r1.metrics.ferbench import evaluate
from tests.command import ROOT
from tests.metrics.ferbench_cases import answer, results

CANDIDATES = list(LABELS["rafdb"])


def one(name: str, completion: str, record: dict[str, object], **options: object) -> float | None:
    return rewards.score(name, [completion], [record], **options)[0]


@pytest.mark.parametrize("key", ["solution", "labels"])
def test_every_recorded_reward_is_reproduced(reference: Path, key: str) -> None:
    rows = [json.loads(line) for line in (reference / "ferbench_golden" / "reward_golden.jsonl").read_text().splitlines()]
    completions = [row["completion"] for row in rows]
    records = [{key: row["solution"] if key == "solution" else [row["solution"]]} for row in rows]
    accuracy = rewards.score("unifer_accuracy_compat", completions, records)
    form = rewards.score("unifer_format_compat", completions, records)
    assert accuracy == [row["accuracy"] for row in rows]
    assert form == [row["format"] for row in rows]
    assert rewards.score("unifer_compat", completions, records) == [row["accuracy"] + row["format"] for row in rows]


@pytest.mark.parametrize(
    ("completion", "compat", "strict"),
    [
        (answer("happiness"), 1.0, 1.0),
        (answer("Happy."), 0.0, 1.0),
        ("happiness", 1.0, 0.0),
        (answer("happiness") + "\n", 1.0, 1.0),
        ("<answer>fear</answer><answer>happiness</answer>", 0.0, 0.0),
        (answer("not fear but happiness"), 0.0, 1.0),
        (answer("happiness, fear"), 0.0, 0.0),
        ("<think>x</think><answer>happiness", 0.0, 0.0),
    ],
)
def test_both_readings(completion: str, compat: float, strict: float) -> None:
    record: dict[str, object] = {"solution": "<answer>happiness</answer>", "candidate_labels": CANDIDATES}
    assert one("unifer_accuracy_compat", completion, record) == compat
    assert one("unifer_accuracy", completion, record) == strict


def test_the_solution_comes_first_then_the_one_in_meta_info_then_the_first_label() -> None:
    record: dict[str, object] = {"labels": ["anger", "sadness"]}
    assert one("unifer_accuracy_compat", "anger", record) == 1.0
    assert one("unifer_accuracy_compat", "sadness", record) == 0.0
    assert one("unifer_accuracy_compat", "fear", record | {"meta_info": {"solution": "fear"}}) == 1.0
    assert one("unifer_accuracy_compat", "disgust", record | {"meta_info": {"solution": "fear"}, "solution": "disgust"}) == 1.0


@pytest.mark.parametrize("name", ["unifer_accuracy_compat", "unifer_accuracy", "unifer_compat", "unifer"])
def test_a_record_without_truth_has_no_reward(name: str) -> None:
    assert one(name, answer("fear"), {"labels": []}) is None


def test_without_candidates_the_strict_reward_is_the_usual_accuracy() -> None:
    for text in ("fear", "Scared", "fear, anger", "anger"):
        record: dict[str, object] = {"labels": ["fear"]}
        assert one("unifer_accuracy", answer(text), record) == one("accuracy", answer(text), record)


def test_the_strict_reward_is_the_strict_figure() -> None:
    rows = results("rafdb", 8, ["", "fear", answer("unhappy"), answer("surprise, fear"), "<answer>sad</answer>"])
    records = [{"labels": [row["true_label"]], "candidate_labels": row["candidate_labels"]} for row in rows]
    values = rewards.score("unifer_accuracy", [row["model_response"] for row in rows], records)
    assert sum(value or 0.0 for value in values) / 8 == evaluate(rows, "rafdb", "strict").overall["accuracy"]


def test_the_tag_may_be_optional() -> None:
    record: dict[str, object] = {"labels": ["fear"], "candidate_labels": CANDIDATES}
    assert one("unifer_accuracy", "fear", record, tag_required=False) == 1.0


@pytest.mark.parametrize("piece", ["<answer>", "</answer>", "<think>", "</think>", " ", "<think></think>"])
def test_long_completions_are_scored_in_linear_time(piece: str) -> None:
    completion = piece * (5_000_000 // len(piece))
    began = time.perf_counter()
    for name in ("unifer_compat", "unifer"):
        one(name, completion, {"labels": ["fear"], "candidate_labels": CANDIDATES})
    assert time.perf_counter() - began < 20


@pytest.mark.parametrize("name", ["unifer", "unifer_compat"])
def test_the_reward_sets_name_rewards_that_exist(name: str) -> None:
    values = yaml.safe_load((ROOT / "conf" / "reward" / f"{name}.yaml").read_text())
    assert set(values["weights"]) <= set(rewards.names()) and values["name"] == name
