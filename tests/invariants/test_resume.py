"""Two steps, a new process, and two more steps give the bits of four steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from facial_r1.training.efficiency import Efficiency
from facial_r1.training.group_grpo import GroupGRPOTrainer
from tests.invariants import rollouts, tiny_vl

SETTINGS: dict[str, dict[str, Any]] = {
    "one generation a step": {},
    # The checkpoint falls into a generation cycle: the second iteration trains on buffered rollouts.
    "inside a cycle": {"num_iterations": 3, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4},
    # Old log-probabilities are part of the buffer, and the cycle spans optimizer steps.
    "several steps a cycle": {"steps_per_generation": 3, "per_device_train_batch_size": 4, "num_generations": 3},
    # Four steps of two prompts in an epoch of four prompts: the second half is another epoch.
    "next epoch": {"max_steps": 6},
}


def build(folder: Path, model_folder: Path, efficiency: Efficiency, **settings: Any) -> GroupGRPOTrainer:
    """A trainer that samples, with Adam, so that optimizer and random states matter."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder, dtype=torch.float32)
    for parameter in model.model.visual.parameters():
        parameter.requires_grad_(False)
    steps = settings.pop("max_steps", 4)
    return GroupGRPOTrainer(
        model=model,
        reward_funcs=[rollouts.reward],
        args=rollouts.config(
            folder, **({"optim": "adamw_torch", "max_steps": steps, "save_strategy": "steps", "save_steps": 2} | settings)
        ),
        train_dataset=rollouts.dataset(4, kinds="12"),
        processing_class=tiny_vl.processor("qwen2_5_vl"),
        image_loader=rollouts.load_image,
        efficiency=efficiency,
    )


def weights(trainer: GroupGRPOTrainer) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    different = [name for name in right if not torch.equal(left[name], right[name])]
    assert not different, f"{len(different)} of {len(right)} parameters differ, first {different[0]}"


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vl.saved("qwen2_5_vl", tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_new_trainer_continues_bit_for_bit(name: str, model_folder: Path, tmp_path: Path) -> None:
    settings = SETTINGS[name]
    whole = build(tmp_path / "run", model_folder, Efficiency(), **settings)
    whole.train()
    for checkpoint in (2, 4) if name == "next epoch" else (2,):
        resumed = build(tmp_path / "again", model_folder, Efficiency(), **settings)
        torch.manual_seed(123)  # whatever the new process drew before
        resumed.train(resume_from_checkpoint=str(tmp_path / "run" / f"checkpoint-{checkpoint}"))
        assert_same(weights(resumed), weights(whole))
        assert [entry.get("reward") for entry in resumed.state.log_history] == [
            entry.get("reward") for entry in whole.state.log_history
        ]


def test_a_new_process_continues_bit_for_bit(model_folder: Path, tmp_path: Path) -> None:
    settings = {"num_iterations": 2, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4, "save_steps": 1}
    whole = build(tmp_path / "run", model_folder, Efficiency(), **settings)
    whole.train()
    program = f"""
import sys, torch
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from pathlib import Path
from facial_r1.training.efficiency import Efficiency
from tests.invariants.test_resume import build, weights
trainer = build(Path({str(tmp_path / "again")!r}), Path({str(model_folder)!r}), Efficiency(), **{settings!r})
trainer.train(resume_from_checkpoint={str(tmp_path / "run" / "checkpoint-1")!r})
torch.save(weights(trainer), {str(tmp_path / "weights.pt")!r})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_same(torch.load(tmp_path / "weights.pt", weights_only=True), weights(whole))


def test_a_checkpoint_without_generation_state_is_reported(
    model_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = build(tmp_path / "run", model_folder, Efficiency(), max_steps=2)
    first.train()
    for file in (tmp_path / "run" / "checkpoint-2").glob("group_grpo_state_*.pt"):
        file.unlink()
    second = build(tmp_path / "run", model_folder, Efficiency(), max_steps=3)
    with caplog.at_level("WARNING"):
        second.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    assert second.state.global_step == 3
    assert "checkpoint-2 was written without generation state" in caplog.text
