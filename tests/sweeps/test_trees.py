"""Trees of jobs that share their choices are composed once, and are what a composition of their own gives."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from facial_r1.config import compose
from facial_r1.config.compose import compose_tree
from facial_r1.errors import InputError
from facial_r1.sweeps import trees
from facial_r1.sweeps.trees import Composer, is_value

CASES = [
    ["stage=grpo", "stage.num_generations=4", "seed=2"],
    ["experiment=facial_r1/grpo", "stage.learning_rate=1e-4", "model=tiny"],
    ["stage=sft", "+data.options.level=2", "~data.options.level", "+data.files=[a,b]"],
    ["stage.prompts_per_step=2", "stage=grpo", "++stage.beta=0.5", "+model.instead={grpo_learning_rate: 1e-3}"],
    ["tracker=wandb", "tracker.tags=[${seed},x]", "seed=5"],
]


@pytest.mark.parametrize("overrides", CASES, ids=lambda case: case[0])
def test_the_quick_way_gives_the_same_tree(overrides):
    quick = Composer(None)
    quick([item for item in overrides if "." not in item])  # so that the choices are there already
    assert OmegaConf.to_container(quick(overrides)) == OmegaConf.to_container(compose_tree(overrides))


@pytest.mark.parametrize("overrides", CASES, ids=lambda case: case[0])
def test_what_a_sweep_asked_about_itself_is_not_composed_again(overrides, monkeypatch):
    quick = Composer(None)
    said = quick.settings([*overrides, "sweep.jobs=2", "hydra.job.name=mine"])
    assert (said["sweep"]["jobs"], said["params"], said["launcher"]) == (2, {}, "basic")
    whole = OmegaConf.to_container(compose_tree(overrides))
    monkeypatch.setattr(trees, "compose_tree", None)
    assert OmegaConf.to_container(quick(overrides)) == whole


def test_choices_are_composed_once(monkeypatch):
    calls = []
    monkeypatch.setattr(
        trees, "compose_tree", lambda *given, **named: (calls.append(given), compose.compose_tree(*given, **named))[1]
    )
    quick = Composer(None)
    seeds = [quick(["stage=eval", f"seed={seed}"]).seed for seed in range(20)]
    assert seeds == list(range(20)) and len(calls) == 1


def test_a_wrong_key_comes_with_a_suggestion():
    with pytest.raises(InputError, match="did you mean 'resamples'"):
        Composer(None)(["stage=eval", "stage.resampls=1"])


@pytest.mark.parametrize(
    ("override", "expected"),
    [("seed=1", True), ("stage.beta=0", True), ("~stage.beta", True), ("model=tiny", False), ("+experiment=x", False),
     ("data@other=jsonl", False), ("hydra/launcher=joblib", False)],
)  # fmt: skip
def test_values_are_told_from_choices(override, expected):
    assert is_value(override, None) is expected


def test_the_digest_sees_an_edited_file(tmp_path):
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "mine.yaml").write_text("a: 1\n")
    before = trees.files_digest(str(tmp_path))
    (tmp_path / "stage" / "mine.yaml").write_text("a: 2\n")
    assert trees.files_digest(str(tmp_path)) != before
