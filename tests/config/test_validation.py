"""A composed tree becomes a typed job, or one message that names everything that is wrong."""

from __future__ import annotations

import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain, resolved_yaml
from facial_r1.config.schema import GRPO
from facial_r1.config.validation import validate
from facial_r1.errors import InputError


def job(*overrides: str):
    return validate(plain(compose_tree(list(overrides))))


def message(*overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        job(*overrides)
    return str(caught.value)


def test_the_default_is_grpo_on_the_tiny_model():
    default = job()
    assert (default.stage.name, default.model.name, default.data.name) == ("grpo", "tiny", "schematic")


@pytest.mark.parametrize(
    ("override", "suggestion"),
    [
        ("stage.lerning_rate=1", "did you mean 'learning_rate'?"),
        ("+stage.lerning_rate=1", "did you mean 'learning_rate'?"),
        ("+model.lora.rnk=4", "did you mean 'rank'?"),
        ("+sede=1", "did you mean 'seed'?"),
        ("stage=gpro", "did you mean 'grpo'?"),
        ("data=shematic", "did you mean 'schematic'?"),
        ("+reward.weights.acuracy=1", "did you mean 'accuracy'?"),
        ("+experiment=x", "experiment=x: no such option"),
    ],
)
def test_a_wrong_key_comes_with_a_suggestion(override, suggestion):
    assert suggestion in message(override)


def test_several_errors_are_shown_together():
    text = message("stage.max_steps=many", "stage.beta=-1", "+stage.lerning_rate=1")
    assert "3 problems" in text and "stage.max_steps" in text and "stage.beta" in text and "learning_rate" in text


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (["stage.per_device_batch_size=7"], "not divisible by the group size"),
        (
            ["stage.prompts_per_step=3", "stage.num_generations=3", "stage.per_device_batch_size=3", "launch=torchrun"],
            "a multiple of 2",
        ),
        (["stage.prompts_per_step=3", "stage.per_device_batch_size=64"], "it is then chosen to fit"),
        (["launch.processes=2"], "launch=torchrun"),
        (["model.image_size.mode=square", "model.image_size.side=null"], "needs a side"),
        (["data.amount=1.5"], "whole number of rows"),
        (["seed=-1"], "seed=-1"),
        (["stage=eval", "stage.from=a", "stage.predictions=b"], "two names of one setting"),
        (["stage.reasoning_rewards=[aus]"], "aus is not among the rewards of this job (au, accuracy, format)"),
        (["stage.reasoning_rewards=[au]", "reward.limit=1.5"], "set reward.limit=null"),
        (["reward.weights.au=0", "reward.weights.accuracy=0", "reward.weights.format=0"], "is zero"),
    ],
)
def test_conflicts_are_named_with_the_fix(overrides, part):
    assert part in message(*overrides)


def test_from_is_another_name_for_predictions():
    assert job("stage=eval", "stage.from=outputs/eval-1").stage.predictions == "outputs/eval-1"
    assert job("stage=pipeline", "stage.eval.from=a").stage.eval.predictions == "a"
    assert job("stage=eval").stage.predictions is None


@pytest.mark.parametrize(
    ("prompts", "group", "world", "size", "passes"),
    [(8, 8, 1, 64, 1), (8, 2, 1, 16, 1), (8, 4, 2, 16, 1), (32, 8, 1, 64, 4), (3, 8, 1, 24, 1), (1, 128, 1, 64, 2)],
)
def test_batch_arithmetic_is_derived(prompts, group, world, size, passes):
    stage = GRPO(prompts_per_step=prompts, num_generations=group)
    assert (stage.batch_size(world), stage.accumulation(world)) == (size, passes)


def test_a_secret_from_the_environment_is_not_written(monkeypatch):
    monkeypatch.setenv("PLANTED_SECRET", "hunter2")
    tree = compose_tree(["tracker.entity=${oc.env:PLANTED_SECRET}"])
    assert "hunter2" not in resolved_yaml(tree)
    assert "${oc.env:PLANTED_SECRET}" in resolved_yaml(tree)
    assert validate(plain(tree)).tracker.entity == "hunter2"
