"""The iterated recipe of Facial-R1 on drawn faces: two rounds, every model evaluated, the course shown."""

from __future__ import annotations

import html
import itertools
import re
from pathlib import Path

import pytest

from facial_r1.runs import RunDirectory
from tests.command import SMALL, facial_r1, run_directory

MODELS = ["base", "sft", "grpo1", "synthesis1", "grpo2", "synthesis2"]


@pytest.fixture(scope="module")
def iterated(tmp_path_factory: pytest.TempPathFactory, face_cache: Path) -> Path:
    """The recipe with few rows and steps."""
    folder = tmp_path_factory.mktemp("iterated")
    done = facial_r1(
        "experiment=facial_r1/iterate", "model=tiny", "data=schematic", *SMALL, "stage.amounts.sft=24", "stage.amounts.synthesis=8",
        "stage.sft.epochs=2", "stage.grpo.max_steps=2", "stage.grpo.prompts_per_step=2", "stage.grpo.num_generations=4",
        "stage.synthesis.attempts=1", "stage.resft.epochs=1", "stage.resft.per_device_batch_size=8", "model.instead.answer_tokens=48",
        f"run_dir={folder}/run", cache=face_cache, timeout=900,
    )  # fmt: skip
    return run_directory(done)


pytestmark = pytest.mark.slow


def test_the_models_of_both_rounds_are_in_the_summary(iterated: Path):
    summary = RunDirectory(iterated).read_summary()
    assert list(summary["models"]) == MODELS
    for name, model in summary["models"].items():
        assert {"value", "low", "high", "n", "clusters"} <= set(model["metrics"]["reward/mean"]), name


def test_each_round_is_compared_with_what_came_before(iterated: Path):
    pairs = list(RunDirectory(iterated).read_summary()["differences"])
    assert pairs == [f"{later} - {earlier}" for earlier, later in itertools.pairwise(MODELS)]


def test_each_step_starts_from_the_step_before(iterated: Path):
    steps = ["01_base", "02_sft", "03_grpo1", "04_synthesis1", "05_sft1", "06_grpo2", "07_synthesis2", "08_sft2"]
    assert sorted(path.name for path in iterated.iterdir() if (path / "status.json").is_file()) == steps
    from facial_r1.config.resolved import load_resolved

    starts = {name: load_resolved(iterated / name / "resolved.yaml")["init_from"] for name in steps[2:]}
    assert {name: Path(start).name for name, start in starts.items()} == {
        "03_grpo1": "02_sft", "04_synthesis1": "03_grpo1", "05_sft1": "03_grpo1",
        "06_grpo2": "05_sft1", "07_synthesis2": "06_grpo2", "08_sft2": "06_grpo2",
    }  # fmt: skip


def test_the_report_shows_the_course_over_the_rounds(iterated: Path):
    from facial_r1.report.wording import metric_label, model_label

    page = html.unescape((iterated / "report.html").read_text(encoding="utf-8"))
    assert "Over the recipe" in page
    found = re.search(rf'aria-label="{re.escape(metric_label("reward/mean"))} over the recipe: ([^"]*)"', page)
    assert found, "there is a chart of the reward"
    assert [part.rpartition(" ")[0] for part in found[1].split("; ")] == [model_label(name) for name in MODELS]


def test_the_plan_is_printed_step_by_step(face_cache: Path):
    done = facial_r1("experiment=facial_r1/iterate", "model=tiny", "data=schematic", *SMALL, "stage.amounts.sft=24",
                     "stage.amounts.synthesis=8", "debug=dry_run", cache=face_cache)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    for part in (
        "2 rounds of",
        "sft: plan: 24 rows",
        "grpo: 16 prompts x 8 completions = 128 a step",
        "memory (estimate)",
        "synthesis: plan: 8",
    ):
        assert part in done.stderr, part
