"""GRPO through the command line in the forms that change what is trained: adapters, a frozen tower, dynamic sampling."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from facial_r1.config.schema import GRPO, DynamicSampling
from tests.command import SMALL, facial_r1, refused, run_directory

# The number of words as a reward, because a model that has hardly learned anything gets the same of every other.
STEPS = [
    "stage=grpo", *SMALL, "stage.max_steps=1", "stage.warmup=0", "stage.prompts_per_step=4", "stage.num_generations=4",
    "stage.max_completion_length=48", "stage.rollouts_every=1", "stage.evaluate=false", "launch.device=cpu",
    "+reward.weights.length=1", "+reward.options.length={limit:40,buffer:40}",
]  # fmt: skip


def changed(before: Path, after: Path) -> dict[str, bool]:
    """For each weight whether it differs between two runs."""
    first, second = (load_file(run / "model" / "model.safetensors") for run in (before, after))
    assert first.keys() == second.keys()
    return {name: bool((first[name] != second[name]).any()) for name in first}


@pytest.mark.slow
def test_adapters_are_trained_and_merged_into_the_model(tmp_path, face_cache, cold_start):
    options = ["model.lora.enabled=true", "model.lora.rank=4", "stage.learning_rate=1e-3", f"init_from={cold_start}"]
    run = run_directory(facial_r1(*STEPS, *options, f"output_root={tmp_path}", cache=face_cache))
    moved = changed(cold_start, run)
    linear = (
        "q_proj.weight",
        "k_proj.weight",
        "v_proj.weight",
        "o_proj.weight",
        "up_proj.weight",
        "down_proj.weight",
        "gate_proj.weight",
    )
    assert any(moved.values()), "the adapters learned nothing"
    wrong = [name for name, value in moved.items() if value and ("visual" in name or not name.endswith(linear))]
    assert not wrong, f"changed without an adapter: {wrong}"


@pytest.mark.slow
def test_a_frozen_tower_stays_as_it_was(tmp_path, face_cache, cold_start):
    done = facial_r1(*STEPS, "model.freeze_vision=true", f"init_from={cold_start}", f"output_root={tmp_path}", cache=face_cache)
    moved = changed(cold_start, run_directory(done))
    tower = {name: value for name, value in moved.items() if "visual" in name and "merger" not in name}
    assert tower and not any(tower.values())
    assert all(value for name, value in moved.items() if "layers.0" in name and "proj.weight" in name)


@pytest.mark.slow
def test_dynamic_sampling_logs_what_it_replaced(tmp_path, face_cache, cold_start):
    options = ["stage.dynamic_sampling.enabled=true", "stage.dynamic_sampling.max_rounds=3", f"init_from={cold_start}"]
    run = run_directory(facial_r1(*STEPS, *options, f"output_root={tmp_path}", cache=face_cache))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows, start=1):
        assert 1 <= row["dynamic_sampling/rounds"] <= 3
        assert 0 < row["dynamic_sampling/accept_rate"] <= row["dynamic_sampling/live_fraction"] <= 1
        assert row["groups/zero_variance"] == pytest.approx(1 - row["dynamic_sampling/live_fraction"])
        table = pq.read_table(run / "rollouts" / f"step_{number:08d}.parquet").to_pylist()
        assert len(table) == 16 and len({item["record_id"] for item in table}) == 4, "the kept groups are recorded"
        assert row["reward/mean"] == pytest.approx(sum(item["reward"] for item in table) / 16, abs=1e-5)


def test_dynamic_sampling_is_refused_where_advantages_are_scaled_by_the_batch(tmp_path):
    done = facial_r1("stage=grpo", "stage.dynamic_sampling.enabled=true", "stage.scale_rewards=batch", f"output_root={tmp_path}")
    refused(done, "dynamic_sampling", "stage.scale_rewards=group")


def test_dynamic_sampling_wants_whole_groups_on_every_rank():
    stage = GRPO(prompts_per_step=3, dynamic_sampling=DynamicSampling(enabled=True))
    stage.check_whole_groups(1)
    with pytest.raises(ValueError, match="Make it a multiple of 2"):
        stage.check_whole_groups(2)
    GRPO(prompts_per_step=3).check_whole_groups(2)
