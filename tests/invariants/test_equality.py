"""Ours equals plain TRL on the same recorded rollouts: loss, every gradient, weights after three steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from facial_r1.training.efficiency import Efficiency
from tests.invariants import rollouts, tiny_vl
from tests.invariants.rollouts import Run, difference, train

SWITCHES = list(Efficiency().resolve({}))
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-6}
#: Two micro-batches of eight rows that cut a group of four in no place, and four of four rows that hold one each.
ACCUMULATED = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
#: Micro-batches of six rows cut groups of four.
CUT = {"per_device_train_batch_size": 6, "gradient_accumulation_steps": 2}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, torch.dtype], Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        (architecture, dtype): tiny_vl.saved(architecture, folder / f"{architecture}-{str(dtype)[6:]}", dtype)
        for architecture in tiny_vl.ARCHITECTURES
        for dtype in TOLERANCE
    }


@pytest.fixture(scope="module")
def plain(models: dict[Any, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs of plain TRL, each setting once."""
    folder, done = tmp_path_factory.mktemp("plain"), {}

    def run(architecture: str, dtype: torch.dtype, **settings: Any) -> Run:
        key = (architecture, dtype, tuple(sorted(settings.items())))
        if key not in done:
            done[key] = train(folder, models[architecture, dtype], architecture, None, dtype=dtype, **settings)
        return done[key]

    return run


def assert_equal(ours: Run, theirs: Run, tolerance: float) -> None:
    """Losses per optimizer step, gradients per parameter and step, weights at the end."""
    # On policy the loss is a mean of advantages, which cancel: rounding is relative to their size.
    scale = max(0.1, *(abs(loss) for loss in theirs.step_losses()))
    for step, (total, expected) in enumerate(zip(ours.step_losses(), theirs.step_losses(), strict=True)):
        assert abs(total - expected) <= tolerance * scale, f"loss of step {step}: {total} instead of {expected}"
        off = difference(ours.gradients[step], theirs.gradients[step])
        assert off <= tolerance, f"a gradient of step {step} is off by {off:.1e}"
    moved = difference(ours.weights, theirs.weights)
    assert moved <= tolerance, f"weights after {len(theirs.gradients)} steps are off by {moved:.1e}"


@pytest.mark.parametrize("switch", [*SWITCHES, "all", "none"])
def test_each_switch_alone_and_all_together_in_float64(switch: str, models: dict[Any, Path], plain: Any, tmp_path: Path) -> None:
    if switch in ("all", "none"):
        efficiency = Efficiency() if switch == "all" else Efficiency.none()
    else:
        efficiency = Efficiency.only(switch)
    # Two iterations make old log-probabilities matter.
    settings = {"num_iterations": 2, "max_steps": 3, **CUT}
    dtype = torch.float64
    ours = train(tmp_path, models["qwen2_5_vl", dtype], "qwen2_5_vl", efficiency, dtype=dtype, **settings)
    expected = {name: "on" for name in SWITCHES if getattr(efficiency, name)}
    report = ours.trainer.efficiency_report()
    if switch == "all":  # without the pass for old log-probabilities nothing lies between generation and rewards
        assert report.pop("overlap_rewards").startswith("off: no pass") and expected.pop("overlap_rewards")
    assert {name: state for name, state in report.items() if state == "on"} == expected
    assert_equal(ours, plain("qwen2_5_vl", dtype, **settings), TOLERANCE[dtype])


@pytest.mark.parametrize("beta", [0.0, 0.04])
@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "dr_grpo"])
def test_loss_types_and_reference_model(loss_type: str, beta: float, models: dict[Any, Path], plain: Any, tmp_path: Path) -> None:
    settings = {"loss_type": loss_type, "beta": beta, **ACCUMULATED}
    dtype = torch.float32
    ours = train(tmp_path, models["qwen2_5_vl", dtype], "qwen2_5_vl", Efficiency(), dtype=dtype, **settings)
    assert_equal(ours, plain("qwen2_5_vl", dtype, **settings), TOLERANCE[dtype])


@pytest.mark.parametrize("freeze_vision", [True, False], ids=["frozen", "trained"])
@pytest.mark.parametrize("architecture", tiny_vl.ARCHITECTURES)
def test_architectures_with_frozen_and_trained_tower(
    architecture: str, freeze_vision: bool, models: dict[Any, Path], plain: Any, tmp_path: Path
) -> None:
    settings = {"freeze_vision": freeze_vision, "beta": 0.04, **ACCUMULATED}
    dtype = torch.float64
    ours = train(tmp_path, models[architecture, dtype], architecture, Efficiency(), dtype=dtype, **settings)
    assert set(ours.trainer.efficiency_report().values()) == {
        "on",
        "off: beta != 0: completions without advantage still carry the KL gradient",
    }
    assert_equal(ours, plain(architecture, dtype, **settings), TOLERANCE[dtype])


@pytest.mark.parametrize("kinds", ["12", "0"], ids=["one and two images", "text only"])
def test_several_images_and_text(kinds: str, models: dict[Any, Path], tmp_path: Path) -> None:
    settings: dict[str, Any] = {"rows": rollouts.dataset(6, kinds=kinds), "max_steps": 2, "freeze_vision": False}
    folder, dtype = models["qwen2_5_vl", torch.float64], torch.float64
    theirs = train(tmp_path, folder, "qwen2_5_vl", None, dtype=dtype, **settings)
    ours = train(tmp_path, folder, "qwen2_5_vl", Efficiency(), dtype=dtype, **settings)
    assert_equal(ours, theirs, TOLERANCE[dtype])


@pytest.mark.parametrize("architecture", tiny_vl.ARCHITECTURES)
def test_text_and_images_in_one_batch(architecture: str, models: dict[Any, Path], tmp_path: Path) -> None:
    """TRL 1.16 cannot process such a batch (its processor call gets None for an image), so that the comparison is with
    our row-by-row layout, which the other tests compare with TRL's."""
    settings: dict[str, Any] = {
        "rows": rollouts.dataset(6, kinds="102"),
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 6,
        "max_steps": 2,
        "freeze_vision": False,
    }
    folder, dtype = models[architecture, torch.float64], torch.float64
    theirs = train(tmp_path, folder, architecture, Efficiency.only("load_once"), dtype=dtype, **settings)
    ours = train(tmp_path, folder, architecture, Efficiency(), dtype=dtype, **settings)
    assert_equal(ours, theirs, TOLERANCE[dtype])


def test_gradient_checkpointing(models: dict[Any, Path], plain: Any, tmp_path: Path) -> None:
    settings = {"gradient_checkpointing": True, "freeze_vision": False, **ACCUMULATED}
    folder, dtype = models["qwen3_vl", torch.float32], torch.float32
    ours = train(tmp_path, folder, "qwen3_vl", Efficiency(), dtype=dtype, **settings)
    assert_equal(ours, plain("qwen3_vl", dtype, **settings), TOLERANCE[dtype])


def test_lora(models: dict[Any, Path], plain: Any, tmp_path: Path) -> None:
    from peft import LoraConfig

    targets = r".*language_model.*\.(q_proj|v_proj|down_proj)"
    # The default rate suits full fine-tuning; adapters start at zero and need no large one here.
    options = {"peft_config": LoraConfig(r=4, target_modules=targets, init_lora_weights="gaussian")}
    settings = {"beta": 0.04, **ACCUMULATED}
    folder, dtype = models["qwen2_5_vl", torch.float32], torch.float32
    theirs = train(tmp_path, folder, "qwen2_5_vl", None, dtype=dtype, trainer_options=dict(options), **settings)
    ours = train(tmp_path, folder, "qwen2_5_vl", Efficiency(), dtype=dtype, trainer_options=dict(options), **settings)
    assert any("lora_A" in name for name in ours.gradients[0])
    assert_equal(ours, theirs, TOLERANCE[dtype])


def test_one_row_at_a_time_equals_all_rows_at_once(models: dict[Any, Path], tmp_path: Path) -> None:
    folder, dtype = models["qwen2_5_vl", torch.float64], torch.float64
    wide = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "steps_per_generation": 1}
    narrow = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8, "steps_per_generation": 8}
    runs = [train(tmp_path, folder, "qwen2_5_vl", Efficiency(), dtype=dtype, **shape) for shape in (wide, narrow)]
    assert_equal(runs[1], runs[0], TOLERANCE[dtype])


def test_truncated_completions_that_are_masked(models: dict[Any, Path], plain: Any, tmp_path: Path) -> None:
    settings = {"mask_truncated_completions": True, "longest": 4, "max_completion_length": 4, **ACCUMULATED}
    folder, dtype = models["qwen2_5_vl", torch.float32], torch.float32
    ours = train(tmp_path, folder, "qwen2_5_vl", Efficiency(), dtype=dtype, **settings)
    assert_equal(ours, plain("qwen2_5_vl", dtype, **settings), TOLERANCE[dtype])


def test_a_step_of_dead_groups_leaves_the_trace_of_a_zero_gradient(models: dict[Any, Path], plain: Any, tmp_path: Path) -> None:
    """With Adam and weight decay a missing gradient and a gradient of zeros differ."""
    only_dead = rollouts.dataset(8).filter(lambda row: row["row"] % 4 == 3)
    mixed = rollouts.dataset(2)
    from datasets import concatenate_datasets

    settings: dict[str, Any] = {
        "rows": concatenate_datasets([mixed, only_dead]),
        "shuffle_dataset": False,
        "optim": "adamw_torch",
        "weight_decay": 0.1,
        "adam_epsilon": 1e-2,  # Adam divides by the gradient's size, which makes rounding errors of tiny gradients large
        "max_steps": 2,
        "freeze_vision": False,
    }
    folder, dtype = models["qwen2_5_vl", torch.float64], torch.float64
    theirs = train(tmp_path, folder, "qwen2_5_vl", None, dtype=dtype, **settings)
    ours = train(tmp_path, folder, "qwen2_5_vl", Efficiency(), dtype=dtype, **settings)
    assert float(sum(gradient.abs().sum() for gradient in theirs.gradients[1].values())) == 0.0
    assert difference(ours.weights, theirs.weights) <= TOLERANCE[dtype]


def test_unsupported_setups_say_what_they_fall_back_to(
    models: dict[Any, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(
        tmp_path,
        models["qwen2_5_vl", torch.float32],
        "qwen2_5_vl",
        Efficiency(),
        max_steps=1,
        generation_kwargs={"no_repeat_ngram_size": 3},
        remove_unused_columns=False,
        steps_per_generation=2,
    )
    report = run.trainer.efficiency_report()
    assert report["share_prefill"] == "off: generation_kwargs ['no_repeat_ngram_size'] are known to model.generate only"
    assert report["skip_old_logprobs"].startswith("off: a generation batch spans several optimizer steps")
    assert report["share_prompt"] == "on"


def test_evaluation_loss(models: dict[Any, Path], tmp_path: Path) -> None:
    """Evaluation goes through the same shared passes, one batch at a time."""
    folder, dtype = models["qwen2_5_vl", torch.float64], torch.float64
    losses = []
    for efficiency in (None, Efficiency()):
        evaluated = rollouts.dataset(4)
        if efficiency is None:
            evaluated = rollouts.decoded(evaluated)
        run = train(
            tmp_path,
            folder,
            "qwen2_5_vl",
            efficiency,
            dtype=dtype,
            max_steps=1,
            per_device_eval_batch_size=8,
            trainer_options={"eval_dataset": evaluated},
        )
        losses.append(run.trainer.evaluate()["eval_loss"])
    assert losses[0] != 0.0 and losses[1] == pytest.approx(losses[0], rel=1e-6)
