"""What the stages that train have in common: where to go on, training to the end, saving the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from facial_r1.stages import ranks
from facial_r1.stages.context import Context
from facial_r1.stages.material import Loaded
from facial_r1.training.arguments import last_checkpoint


def step_of(checkpoint: Path | None) -> int:
    """The optimizer step of a checkpoint folder, 0 for none."""
    return int(checkpoint.name.split("-")[-1]) if checkpoint else 0


def checkpoint_of(context: Context) -> Path | None:
    """The newest complete checkpoint of this run; what a kill cut off is taken away before other ranks look."""
    if context.main:
        last_checkpoint(context.run.checkpoints, clean=True)
    ranks.barrier()
    return last_checkpoint(context.run.checkpoints, clean=False)


def fit(trainer: Any, checkpoint: Path | None) -> None:
    """Train to the end. From a checkpoint of the last step only the weights are taken, for nothing is left to do."""
    if checkpoint is not None:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        if state["global_step"] >= state["max_steps"]:
            trainer.load_trained(checkpoint)
            trainer.state.global_step = trainer.state.max_steps = state["max_steps"]
            return
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def finish(context: Context, trainer: Any, loaded: Loaded) -> None:
    """Save the trained model, atomically, on rank 0; raise `Interrupted` when training was stopped early."""
    from transformers.integrations import unset_hf_deepspeed_config

    from facial_r1.training.saving import save_trained

    if trainer.state.global_step < trainer.state.max_steps:
        context.stop.check()
    if trainer.state.global_step == 0:
        raise RuntimeError("no optimizer step was taken: the rows do not fill one batch")
    save_trained(trainer, loaded.processor, context.run.model)
    unset_hf_deepspeed_config()  # else the evaluation's model would be loaded in shards
    if context.main:
        context.run.update_status(model=str(context.run.model))
