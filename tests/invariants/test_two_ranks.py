"""Two ranks of ours equal two ranks of plain TRL, groups split between ranks included."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.invariants import tiny_vl
from tests.invariants.rollouts import difference

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys, torch
from pathlib import Path
from facial_r1.training.efficiency import Efficiency
from tests.invariants.rollouts import train
folder, model = Path(sys.argv[1]), Path(sys.argv[2])
settings = dict(max_steps=3, per_device_train_batch_size=int(sys.argv[3]), gradient_accumulation_steps=2, beta=float(sys.argv[4]))
for name, efficiency in (("plain", None), ("ours", Efficiency())):
    run = train(folder, model, "qwen2_5_vl", efficiency, dtype=torch.float64, freeze_vision=False, **settings)
    if run.trainer.accelerator.is_main_process:
        torch.save({"weights": run.weights, "gradients": run.gradients}, folder / f"{name}.pt")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on_two_ranks(program: str, folder: Path, *arguments: object, timeout: float = 500, **env: str) -> None:
    """Run a program, written into `folder`, on two CPU ranks."""
    script = folder / "program.py"
    script.write_text(program)
    plain = {key: value for key, value in os.environ.items() if key != "ACCELERATE_USE_CPU"}  # which leaves DeepSpeed out
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"),
            *(str(script), str(folder), *map(str, arguments)),
        ],
        env=plain | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch", "beta"),
    [(4, 0.0), (2, 0.04)],
    ids=["whole groups, dead groups skipped", "groups split over ranks and micro-batches"],
)
def test_two_ranks_equal_plain_trl(batch: int, beta: float, tmp_path: Path) -> None:
    model = tiny_vl.saved("qwen2_5_vl", tmp_path / "model", torch.float64)
    on_two_ranks(PROGRAM, tmp_path, model, batch, beta, ACCELERATE_USE_CPU="true")
    plain, ours = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("plain", "ours"))
    for step, (own, expected) in enumerate(zip(ours["gradients"], plain["gradients"], strict=True)):
        assert difference(own, expected) <= 1e-6, f"gradient of step {step}"
    assert difference(ours["weights"], plain["weights"]) <= 1e-6
