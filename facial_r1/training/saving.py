"""The final model of a training run: one folder, whole or not there, loadable with `from_pretrained`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.distributed.fsdp import FSDPModule

from facial_r1 import models


def save_trained(trainer: Any, processor: Any, folder: Path) -> None:
    """Save the trained weights, the processor and the generation settings. Every rank must call it.

    Sharded weights (ZeRO-3, FSDP2) are gathered on the first rank; adapters (LoRA) are merged in memory.

    Args:
        trainer: a Hugging Face trainer.
        processor: saved with the model, so that the folder stands alone.
        folder: where the model goes.
    """
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if is_spread(trainer) else None
    if state is not None:
        tied = getattr(trainer.accelerator.unwrap_model(trainer.model), "all_tied_weights_keys", None) or ()
        state = {name: value for name, value in state.items() if name not in tied}  # gathered twice, and saved once
    if trainer.is_world_process_zero():
        models.save(trainer.accelerator.unwrap_model(trainer.model), processor, folder, state=state)
    trainer.accelerator.wait_for_everyone()


def is_spread(trainer: Any) -> bool:
    """Whether the weights lie on several ranks, or inside of an engine: not before training has begun."""
    if trainer.is_deepspeed_enabled:
        return trainer.model_wrapped is not trainer.model
    return bool(trainer.is_fsdp_enabled) and isinstance(trainer.model, FSDPModule)
