"""The final model of a training run: one folder, whole or not there, loadable with `from_pretrained`."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from facial_r1.config.schema import Job, Lora


def save_trained(job: Job, trainer: Any, processor: Any, source: str, folder: Path) -> None:
    """Save the trained weights, the processor and the generation settings. Every rank must call it.

    Sharded weights (ZeRO-3) are gathered by the trainer; adapters (LoRA) are merged into the weights they started from.

    Args:
        job: the job, for the model's settings.
        trainer: a Hugging Face trainer.
        processor: saved with the model, so that the folder stands alone.
        source: the folder or hub id that training started from.
        folder: where the model goes.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    main = trainer.is_world_process_zero()
    if main and partial.exists():
        shutil.rmtree(partial)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(partial))
    trainer.accelerator.wait_for_everyone()
    if main:
        if job.model.lora.enabled:
            _merge(job, partial, source)
        processor.save_pretrained(partial)
        (partial / "training_args.bin").unlink(missing_ok=True)  # a pickle; resolved.yaml says the same
        partial.replace(folder)
    trainer.accelerator.wait_for_everyone()


def _merge(job: Job, adapter: Path, source: str) -> None:
    from peft import PeftModel

    from facial_r1 import models

    base, _ = models.load(dataclasses.replace(job.model, lora=Lora()), source, train=False)
    merged = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
    for file in adapter.glob("adapter_*"):
        file.unlink()
    merged.save_pretrained(adapter)
