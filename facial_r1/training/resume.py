"""Everything of a GRPO run that a Trainer checkpoint lacks: buffered generations, step counters, running metrics.

The model, the optimizer, the scheduler and the random states are saved by transformers. Without the state here, a
resumed run generates anew inside a generation cycle and loses the rollouts that its next steps would have trained on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from facial_r1.training.rollout import Rollout

_ROLLOUT = "rollout"


def state_file(checkpoint: str | os.PathLike[str], rank: int) -> Path:
    """Where a rank keeps its state inside a checkpoint."""
    return Path(checkpoint) / f"group_grpo_state_{rank}.pt"


def encode_buffer(buffer: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    """Micro-batches as tensors and plain containers; the rollout that they share is stored once."""
    if buffer is None:
        return None
    rollout = buffer[0].get(_ROLLOUT)
    return {
        "batches": [{key: value for key, value in batch.items() if key != _ROLLOUT} for batch in buffer],
        "rollout": None if rollout is None else rollout.state(),
    }


def decode_buffer(state: dict[str, Any] | None) -> list[dict[str, Any]] | None:
    """Inverse of `encode_buffer`."""
    if state is None:
        return None
    if state["rollout"] is None:
        return [dict(batch) for batch in state["batches"]]
    rollout = Rollout.from_state(state["rollout"])
    return [{**batch, _ROLLOUT: rollout} for batch in state["batches"]]


def save(checkpoint: str | os.PathLike[str], rank: int, state: dict[str, Any]) -> None:
    """Write a rank's state so that a killed process leaves either the whole file or none."""
    target = state_file(checkpoint, rank)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(target)


def load(checkpoint: str | os.PathLike[str], rank: int, device: torch.device) -> dict[str, Any] | None:
    """A rank's state, or None for a checkpoint that was written without it."""
    source = state_file(checkpoint, rank)
    if not source.is_file():
        return None
    state: dict[str, Any] = torch.load(source, map_location=device, weights_only=True)
    return state
