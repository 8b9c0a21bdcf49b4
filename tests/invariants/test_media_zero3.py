"""ZeRO-3 on two ranks ends with the weights of DDP on two ranks, with clips and their sound and both towers trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.invariants import tiny_vl
from tests.invariants.rollouts import difference
from tests.invariants.test_two_ranks import on_two_ranks

pytestmark = pytest.mark.slow

PROGRAM = """
import sys, torch
from pathlib import Path
from types import SimpleNamespace
from facial_r1.training.arguments import deepspeed_config
from facial_r1.training.efficiency import Efficiency
from tests.invariants.rollouts import media_dataset, train
from tests.launch.several import forget
folder, model = Path(sys.argv[1]), Path(sys.argv[2])
shape = dict(max_steps=2, per_device_train_batch_size=4, gradient_accumulation_steps=2, freeze_vision=False)
rows = media_dataset(("clip",), 8)
for distributed in ("ddp", "zero3"):
    launch = SimpleNamespace(distributed=distributed, offload=False, device="cpu")
    deepspeed = deepspeed_config(SimpleNamespace(launch=launch), torch.float32)
    trainer = train(folder, model, "qwen2_5_omni", Efficiency(), deepspeed=deepspeed, rows=rows, **shape).trainer
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if trainer.accelerator.is_main_process:
        found = {"report": trainer.efficiency_report(), "engine": type(trainer.model_wrapped).__name__}
        found["weights"] = {name: value.clone() for name, value in state.items()}
        torch.save(found, folder / f"{distributed}.pt")
    forget()
"""


def run(folder: Path, model: Path) -> tuple[dict, dict]:
    """Both runs on two ranks, in one start of the ranks."""
    on_two_ranks(PROGRAM, folder, model, timeout=900, DS_ACCELERATOR="cpu", CUDA_VISIBLE_DEVICES="")
    ddp, zero = (torch.load(folder / f"{distributed}.pt", weights_only=False) for distributed in ("ddp", "zero3"))
    return ddp, zero


def test_zero3_ends_with_the_weights_of_ddp(tmp_path: Path) -> None:
    model = tiny_vl.saved("qwen2_5_omni", tmp_path / "model")
    start = tiny_vl.loaded("qwen2_5_omni", model, torch.float32, frozen=False).state_dict()
    ddp, zero = run(tmp_path, model)
    assert "DeepSpeed" in zero["engine"] and zero["report"]["share_vision"] == zero["report"]["share_prompt"] == "on"
    assert any("audio_tower" in name and not torch.equal(value, start[name]) for name, value in zero["weights"].items())
    assert difference(zero["weights"], ddp["weights"]) < 1e-5
