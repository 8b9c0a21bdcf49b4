"""Everything of a GRPO run that a Trainer checkpoint lacks: buffered generations, step counters, running metrics.

The model, the optimizer, the scheduler and the random states are saved by transformers. Without the state here, a
resumed run generates anew inside a generation cycle and loses the rollouts that its next steps would have trained on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from accelerate.logging import get_logger

from facial_r1.training.group_base import SharedWork
from facial_r1.training.rollout import Rollout

logger = get_logger(__name__)

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


class ExactResume(SharedWork):
    """The part of the trainer that makes two steps, a kill and two steps the same as four steps."""

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        cycle = self.args.steps_per_generation * self.num_iterations
        state = {
            "shape": self._shape(),
            "step": self._step,
            "buffer": encode_buffer(self._buffered_inputs) if self._step % cycle else None,
            "metrics": {mode: dict(values) for mode, values in self._metrics.items()},
            "step_time": self._current_train_step_time,
            "reserve": self._reserve_position,
        }
        save(output_dir, self.accelerator.process_index, state)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        state = load(checkpoint, self.accelerator.process_index, self.accelerator.device)
        if state is None or state["shape"] != self._shape():
            found = "was written without generation state" if state is None else "was written with other batch sizes"
            logger.warning(
                f"{Path(checkpoint).name} {found}: the run continues from its weights and optimizer, but the next "
                "completions are generated anew and differ from those of an uninterrupted run."
            )
            return
        self._step = state["step"]
        self._buffered_inputs = decode_buffer(state["buffer"])
        self._current_train_step_time = state["step_time"]
        self._reserve_position = state.get("reserve", 0)
        for mode, values in state["metrics"].items():
            self._metrics[mode].update(values)

    def _shape(self) -> list[int]:
        args = self.args
        return [
            self.accelerator.num_processes,
            args.per_device_train_batch_size,
            args.gradient_accumulation_steps,
            args.steps_per_generation,
            self.num_iterations,
            self.num_generations,
        ]

    def _run_epoch(self, model: Any, epoch: int, *args: Any, **kwargs: Any) -> Any:
        if self._train_sampler is not None:
            self._train_sampler.set_epoch(epoch)  # a data loader that skips batches does not reach its sampler
        return super()._run_epoch(model, epoch, *args, **kwargs)
