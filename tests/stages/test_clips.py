"""Drawn clips through the command line: SFT, GRPO from it, synthesis, and an evaluation of each modality as a sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import facial_r1, run_directory

pytest.importorskip("av")

CLIPS = [
    "model=tiny_omni", "data=schematic_clips", "prompt=clip", "data.schematic.train=28", "data.schematic.test=7",
    "data.schematic.instructions=14", "launch.device=cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    root = tmp_path_factory.mktemp("sft")
    steps = ["stage=sft", "stage.max_steps=2", "stage.per_device_batch_size=4", "stage.evaluate=false", f"output_root={root}"]
    return run_directory(facial_r1(*CLIPS, *steps, cache=cache))


@pytest.mark.slow
def test_grpo_learns_from_clips_with_every_saving_on(fine_tuned: Path, cache: Path, tmp_path: Path) -> None:
    steps = [
        "stage=grpo", f"init_from={fine_tuned}", "stage.max_steps=2", "stage.prompts_per_step=4", "stage.num_generations=4",
        "stage.max_completion_length=24", "stage.eval_rows=7", "+reward.weights.length=1", "+reward.options.length={limit:40,buffer:40}",
        f"output_root={tmp_path}",
    ]  # fmt: skip
    run = run_directory(facial_r1(*CLIPS, *steps, cache=cache))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert sum("loss" in row for row in rows) == 2
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == 7 and all('The person says: "' in row["prompt"] for row in samples)
    written = "".join(file.read_text() for file in (run / "logs").iterdir())
    assert not any(
        f"efficiency.{name} is off" in written for name in ("load_once", "share_vision", "share_prompt", "share_prefill")
    )


@pytest.mark.slow
def test_modalities_are_a_sweep(fine_tuned: Path, cache: Path, tmp_path: Path) -> None:
    swept = [
        "-m",
        "stage=eval",
        f"init_from={fine_tuned}",
        "stage.max_new_tokens=12",
        "data.modalities=[video],[audio],[text],null",
    ]
    done = facial_r1(*CLIPS, *swept, f"output_root={tmp_path}", cache=cache)
    run = run_directory(done)
    prompts = {}
    for summary in sorted(run.rglob("samples.jsonl")):
        prompts[summary.parent.name] = json.loads(summary.read_text().splitlines()[0])["prompt"]
    assert len(prompts) == 4
    says = {name: "The person says" in prompt for name, prompt in prompts.items()}
    assert sum(says.values()) == 2, f"words are shown where they are asked for: {says}"


@pytest.mark.slow
def test_synthesis_writes_about_clips(fine_tuned: Path, cache: Path, tmp_path: Path) -> None:
    steps = [
        "stage=synthesis",
        f"init_from={fine_tuned}",
        "stage.max_new_tokens=12",
        "stage.attempts=1",
        f"output_root={tmp_path}",
    ]
    run = run_directory(facial_r1(*CLIPS, *steps, cache=cache))
    report = json.loads((run / "yield.json").read_text())
    assert report["rows"] == 14 == report["accepted"] + report["rejected"]
    refused = [json.loads(line) for line in (run / "rejected.jsonl").read_text().splitlines()]
    assert all(row["video"].endswith(".mp4") and row["audio"].endswith(".wav") for row in refused)
