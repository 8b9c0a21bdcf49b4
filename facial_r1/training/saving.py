"""The final model of a training run: one folder, whole or not there, loadable with `from_pretrained`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facial_r1 import models


def save_trained(trainer: Any, processor: Any, folder: Path) -> None:
    """Save the trained weights, the processor and the generation settings. Every rank must call it.

    Sharded weights (ZeRO-3) are gathered on the first rank; adapters (LoRA) are merged in memory.

    Args:
        trainer: a Hugging Face trainer.
        processor: saved with the model, so that the folder stands alone.
        folder: where the model goes.
    """
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer.is_deepspeed_enabled else None
    if trainer.is_world_process_zero():
        models.save(trainer.accelerator.unwrap_model(trainer.model), processor, folder, state=state)
    trainer.accelerator.wait_for_everyone()
