"""Evaluation: one generation pass over the chosen rows, then every metric with its interval and its baselines."""

from __future__ import annotations

from typing import Any

from facial_r1.config.schema import Eval
from facial_r1.stages.context import Context
from facial_r1.stages.material import load_model, load_records, say, usable
from facial_r1.stages.scoring import evaluate_model


def run(context: Context) -> dict[str, Any] | None:
    """Evaluate the starting model itself; nothing is trained."""
    stage = context.job.stage
    assert isinstance(stage, Eval)
    data = load_records(context)
    part = data.test if stage.split == "test" else data.train
    rows = usable(
        context,
        part,
        "action units, a label or a description",
        lambda r: r.AUs is not None or bool(r.labels or r.description),
        None,
    )
    if context.job.debug.dry_run:
        say(context, f"plan: {len(rows)} rows, one answer each of at most {stage.max_new_tokens} tokens")
        return None
    context.track()
    loaded = load_model(context, train=False)
    if context.main:
        context.run.update_status(model=loaded.source)
    return evaluate_model(context, loaded, rows, data, stage.max_new_tokens, stage.resamples, stage.chunk, stage.temperature)
