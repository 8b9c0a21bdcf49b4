"""The recipes of AffectGPT-R1 compose for their own model and for the tiny one, and so do their ablations."""

from __future__ import annotations

import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.schema import Job
from facial_r1.config.validation import validate

JUDGE = ["reward.judge.base_url=http://127.0.0.1:8001/v1", "reward.judge.model=Qwen/Qwen2.5-Omni-7B"]


def job(step: str, *overrides: str) -> Job:
    return validate(plain(compose_tree([f"experiment=affectgpt_r1/{step}", "data.root=/owner", *overrides])))


@pytest.mark.parametrize(("step", "which"), [("cold_start", "mercaptionplus"), ("grpo", "mer_ov"), ("eval", "ovmerdplus")])
def test_published_values_and_those_of_a_tiny_model(step: str, which: str):
    large = job(step)
    assert large.data.options["set"] == which and large.data.protocol.name == "open" and large.prompt.output == "think"
    small = validate(plain(compose_tree([f"experiment=affectgpt_r1/{step}", "model=tiny", "data=schematic_open"])))
    assert small.data.schematic.vocabulary == "open" and not small.model.lora.enabled
    if step != "eval":
        assert large.model.lora.enabled and small.stage.learning_rate > large.stage.learning_rate
    if step == "cold_start":
        assert (large.stage.learning_rate, large.stage.weight_decay, large.model.lora.rank) == (1e-5, 0.05, 16)


@pytest.mark.parametrize(
    ("overrides", "weights"),
    [
        (["~reward.weights.ov_format"], {"ov_accuracy": 1.0}),
        (["~reward.weights.ov_accuracy", "~reward.weights.ov_format", "reward.weights.ov_dual=1"], {"ov_dual": 1.0}),
        (["reward=affectgpt_r1_v1"], {"ov_accuracy": 1.0, "ov_format": 0.5}),
        (
            ["reward.weights.ov_dual=1", "reward.weights.ov_alignment=1", "+reward.weights.ov_perception=1", *JUDGE],
            dict.fromkeys(("ov_accuracy", "ov_format", "ov_dual", "ov_alignment", "ov_perception"), 1.0),
        ),
        (["prompt=affectgpt_r1_direct", "reward=affectgpt_r1_direct"], {"ov_accuracy": 1.0, "ov_format": 1.0}),
    ],
)
def test_reward_ablations(overrides: list[str], weights: dict[str, float]):
    found = job("grpo", *overrides).reward.weights
    assert {name: weight for name, weight in found.items() if weight} == weights


@pytest.mark.parametrize("penalty", ["p1", "p2", "p3"])
def test_length_penalties(penalty: str):
    assert job("grpo", f"reward.options.ov_accuracy.penalty={penalty}").reward.options["ov_accuracy"]["penalty"] == penalty
