"""UniFER's three recipes one after the other, through the command line, with the tiny model on drawn faces laid out as FERBench."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from facial_r1.data.ferbench import AUTHORS_NAMES, DATASETS
from facial_r1.metrics.ferbench import evaluate
from tests.command import facial_r1, run_directory

pytestmark = pytest.mark.slow

STEPS = 2
FEW: dict[str, list[str]] = {
    "sft": ["stage.epochs=1", "stage.per_device_batch_size=14"],
    "grpo": [f"stage.max_steps={STEPS}", "stage.prompts_per_step=2", "stage.num_generations=4", "stage.max_completion_length=24"],
    "eval": ["stage.resamples=100", "stage.max_new_tokens=24"],
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """data, and the run directory of each recipe; each starts from what `init_from=latest` finds."""
    folder = tmp_path_factory.mktemp("unifer")
    drawn = facial_r1("draw", str(folder / "data"), "--test", "28", "--described", "28", "--labelled", "28")
    assert drawn.returncode == 0, drawn.stderr
    found = {"data": folder / "data"}
    for recipe, few in FEW.items():
        start = [] if recipe == "sft" else ["init_from=latest"]
        shared = ["model=tiny", f"data.root={folder / 'data'}", f"output_root={folder / 'outputs'}"]
        found[recipe] = run_directory(facial_r1(f"experiment=unifer/{recipe}", *shared, *start, *few, cache=folder / "cache"))
    return found


def summary(run: Path) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return found


def test_every_run_is_finished_and_has_its_report(chain: Mapping[str, Path]) -> None:
    for recipe in FEW:
        status = json.loads((chain[recipe] / "status.json").read_text())
        assert status["state"] == "finished" and (chain[recipe] / "report.html").is_file(), recipe


def test_each_recipe_starts_from_the_one_before(chain: Mapping[str, Path]) -> None:
    lineage = {recipe: json.loads((chain[recipe] / "status.json").read_text()).get("chain", []) for recipe in FEW}
    assert [step["run"] for step in lineage["eval"]] == [str(chain["sft"]), str(chain["grpo"])]
    assert [step["run"] for step in lineage["grpo"]] == [str(chain["sft"])] and not lineage["sft"]


def test_training_leaves_models_and_both_rewards(chain: Mapping[str, Path]) -> None:
    assert all((chain[recipe] / "model" / "model.safetensors").is_file() for recipe in ("sft", "grpo"))
    logged = [json.loads(line) for line in (chain["grpo"] / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in logged if "reward/mean" in row]
    assert steps[-1]["step"] == STEPS and {"reward/unifer_accuracy", "reward/format"} <= set(steps[-1])


def test_every_question_is_answered_once(chain: Mapping[str, Path]) -> None:
    asked = {
        row["image_path"]
        for name in AUTHORS_NAMES.values()
        for row in json.loads((chain["data"] / f"{name}_qa.json").read_text())
    }
    samples = [json.loads(line) for line in (chain["eval"] / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == len(asked) and {sample["image"] for sample in samples} == asked


def test_the_figures_are_those_of_the_written_results(chain: Mapping[str, Path]) -> None:
    results = {
        name: json.loads((chain["eval"] / "ferbench" / f"{AUTHORS_NAMES[name]}_results.json").read_text()) for name in DATASETS
    }
    metrics = summary(chain["eval"])["metrics"]
    for mode in ("compat", "strict"):
        for name in DATASETS:
            again = evaluate(results[name], name, mode)  # type: ignore[arg-type]
            assert metrics[f"ferbench/{name}/{mode}/accuracy"]["value"] == pytest.approx(again.overall["accuracy"]), (name, mode)
        pooled = evaluate(results, "total", mode).overall["accuracy"]  # type: ignore[arg-type]
        assert metrics[f"ferbench/pooled/{mode}/accuracy"]["value"] == pytest.approx(pooled), mode


def test_written_results_are_scored_the_same_without_a_model(chain: Mapping[str, Path], tmp_path: Path) -> None:
    done = facial_r1(
        "experiment=unifer/eval", "model=tiny", f"stage.predictions={chain['eval'] / 'ferbench'}", "stage.resamples=100",
        f"run_dir={tmp_path / 'again'}",
    )  # fmt: skip
    again = summary(run_directory(done))["metrics"]
    first = summary(chain["eval"])["metrics"]
    assert {name: again[name]["value"] for name in first} == {name: first[name]["value"] for name in first}


def test_the_leaderboard_shows_the_run(chain: Mapping[str, Path], tmp_path: Path) -> None:
    done = facial_r1("leaderboard", str(chain["eval"]), "--images", str(chain["data"]), "--write", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "leaderboard.html").is_file() and chain["eval"].name in done.stdout
