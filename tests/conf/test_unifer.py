"""UniFER's recipes hold the values of the released scripts."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.schema import Job
from facial_r1.config.validation import validate
from facial_r1.errors import InputError


@functools.cache
def job(*overrides: str) -> Job:
    return validate(plain(compose_tree([*overrides, "data.root=/datasets"])))


STAGES: dict[str, dict[str, Any]] = {
    "sft": {
        "per_device_batch_size": 1,
        "gradient_accumulation": 4,
        "learning_rate": 2e-5,
        "epochs": 2,
        "schedule": "cosine",
        "warmup": 0.0,
        "weight_decay": 0.0,
        "max_grad_norm": 5.0,
        "log_steps": 20,
        "save_steps": 20000,
    },
    "grpo": {
        "prompts_per_step": 28,
        "num_generations": 8,
        "learning_rate": 1e-6,
        "epochs": 1,
        "max_steps": -1,
        "schedule": "cosine",
        "warmup": 0.0,
        "weight_decay": 0.01,
        "max_grad_norm": 5.0,
        "beta": 0.04,
        "num_iterations": 1,
        "loss_type": "grpo",
        "scale_rewards": "group",
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "max_completion_length": 1024,
        "mask_truncated_completions": False,
        "log_steps": 2,
        "save_steps": 1000,
        "keep_checkpoints": 3,
    },
    "eval": {"temperature": 0.0, "max_new_tokens": 1024, "split": "test"},
}


@pytest.mark.parametrize(("recipe", "key"), [(recipe, key) for recipe, values in STAGES.items() for key in values])
def test_a_stage_has_the_published_value(recipe: str, key: str) -> None:
    assert getattr(job(f"experiment=unifer/{recipe}").stage, key) == STAGES[recipe][key]


@pytest.mark.parametrize("recipe", STAGES)
def test_pictures_are_squashed_and_the_system_turn_is_the_same_everywhere(recipe: str) -> None:
    found = job(f"experiment=unifer/{recipe}")
    assert (found.model.name, found.model.image_size.mode, found.model.image_size.side) == ("qwen2_5_vl_7b", "square", 224)
    assert (found.prompt.system, found.prompt.instruction) == ("You are a helpful assistant.", "{question}")
    assert found.seed == 0 if recipe == "eval" else found.seed == 42
    assert found.data.protocol.name == "ferbench"


def test_everything_is_trained_with_the_published_sharding() -> None:
    sft, grpo = job("experiment=unifer/sft"), job("experiment=unifer/grpo")
    assert (sft.launch.distributed, grpo.launch.distributed) == ("zero2", "zero3")
    assert not any(found.model.freeze_vision or found.model.lora.enabled for found in (sft, grpo))


def test_the_published_step_can_be_cut_for_seven_and_for_eight_ranks() -> None:
    stage: Any = job("experiment=unifer/grpo").stage
    assert stage.completions_per_step() == 224
    for ranks in (1, 2, 4, 7, 8):
        assert stage.accumulation(ranks) * stage.batch_size(ranks) * ranks == 224


def test_released_rewards_and_system_turn_are_one_override_away() -> None:
    found = job("experiment=unifer/sft", "prompt=unifer_sft_published", "reward=unifer_compat")
    assert found.prompt.system == "" and set(found.reward.weights) == {"unifer_accuracy_compat", "unifer_format_compat"}


@pytest.mark.parametrize("recipe", STAGES)
def test_a_recipe_fits_the_embedded_model_too(recipe: str) -> None:
    found = job(f"experiment=unifer/{recipe}", "model=tiny")
    assert found.model.image_size.side == 112 and getattr(found.stage, "max_steps", 60) in (-1, 60)


def test_given_answers_need_no_folder_of_pictures() -> None:
    found = validate(plain(compose_tree(["experiment=unifer/eval", "stage.predictions=answers"])))
    assert found.data.root == "answers"
    with pytest.raises(InputError, match=r"data\.root=/path/to/ferbench"):
        validate(plain(compose_tree(["experiment=unifer/eval"])))


@pytest.mark.parametrize(("recipe", "gpus"), [("sft", 4), ("grpo", 8), ("eval", 1)])
def test_a_dry_run_plans_for_the_published_gpus(recipe: str, gpus: int) -> None:
    found = job(f"experiment=unifer/{recipe}")
    assert (found.launch.name, found.launch.expected_gpus) == ("auto", gpus)
