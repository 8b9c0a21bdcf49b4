"""The stages of the recipe. Each module reads top to bottom like the section of the paper it stands for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facial_r1.stages.context import Context

_MODULES = {
    "sft": "sft",
    "grpo": "grpo",
    "synthesis": "synthesis",
    "eval": "evaluation",
    "pipeline": "pipeline",
    "prepare": "prepare",
}


def run_stage(context: Context) -> dict[str, Any] | None:
    """Run the stage that `context.job` asks for; returns its summary (None for a dry run)."""
    from facial_r1.interruption import Interrupted

    module = importlib.import_module(f"facial_r1.stages.{_MODULES[context.job.stage.name]}")
    state, summary = "failed", None
    try:
        summary = module.run(context)
        state = "finished"
    except (Interrupted, KeyboardInterrupt):
        state = "interrupted"
        raise
    finally:
        context.untrack(state, summary)
    return summary
