"""ZeRO-3 on two ranks ends with the weights of DDP on two ranks, with and without the savings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.invariants import tiny_vl
from tests.invariants.rollouts import difference
from tests.invariants.test_two_ranks import on_two_ranks

pytestmark = pytest.mark.slow

#: Two steps on recorded completions for each of the settings; rows of `row % 4 == 3` make dead groups.
PROGRAM = """
import sys, torch
from pathlib import Path
from types import SimpleNamespace
from facial_r1.training.arguments import deepspeed_config
from facial_r1.training.efficiency import Efficiency
from tests.invariants.rollouts import train
from tests.launch.several import forget
folder, model = Path(sys.argv[1]), Path(sys.argv[2])
shape = dict(max_steps=2, per_device_train_batch_size=4, gradient_accumulation_steps=2, freeze_vision=False)
runs = [("ddp", "on", 0.0), ("ddp", "on", 0.04)] + [("zero3", savings, beta) for savings in ("on", "off") for beta in (0.0, 0.04)]
for distributed, savings, beta in runs:
    launch = SimpleNamespace(distributed=distributed, offload=False, device="cpu")
    deepspeed = deepspeed_config(SimpleNamespace(launch=launch), torch.float32)
    efficiency = Efficiency() if savings == "on" else Efficiency.none()
    trainer = train(folder, model, "qwen2_5_vl", efficiency, deepspeed=deepspeed, beta=beta, **shape).trainer
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if trainer.accelerator.is_main_process:
        found = {"report": trainer.efficiency_report(), "engine": type(trainer.model_wrapped).__name__}
        found["weights"] = {name: value.clone() for name, value in state.items()}
        torch.save(found, folder / f"{distributed}-{savings}-{beta}.pt")
    forget()  # else the next model would be built in shards
"""


def run(folder: Path, model: Path) -> None:
    """All runs on two ranks, in one start of the ranks."""
    on_two_ranks(PROGRAM, folder, model, timeout=500, DS_ACCELERATOR="cpu", CUDA_VISIBLE_DEVICES="")


def test_zero3_ends_with_the_weights_of_ddp(tmp_path: Path) -> None:
    model = tiny_vl.saved("qwen2_5_vl", tmp_path / "model")
    start = tiny_vl.model("qwen2_5_vl").state_dict()
    run(tmp_path, model)
    for beta in (0.0, 0.04):
        ddp = torch.load(tmp_path / f"ddp-on-{beta}.pt", weights_only=True)
        assert difference(start, ddp["weights"]) > 1e-3, "two steps move the weights"
        for savings in ("on", "off"):
            sharded = torch.load(tmp_path / f"zero3-{savings}-{beta}.pt", weights_only=True)
            assert sharded["engine"] == "DeepSpeedEngine"
            assert (sharded["report"]["share_prompt"] == "on") == (savings == "on")
            off = difference(sharded["weights"], ddp["weights"])
            assert off <= 1e-5, f"savings {savings}, beta {beta}: weights are off by {off:.1e}"
