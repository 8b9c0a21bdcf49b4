"""Evaluation: one generation pass over the chosen rows, then every metric with its interval and its baselines.

Generating and scoring are apart: with `stage.predictions` the answers come from files, and no model is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facial_r1.config.schema import Eval, Sampling
from facial_r1.data import Data, Record
from facial_r1.stages.context import Context
from facial_r1.stages.engines import load_for_generation, penalty_of
from facial_r1.stages.material import load_records, say, usable
from facial_r1.stages.parity import check_parity
from facial_r1.stages.predictions import digest, read_predictions
from facial_r1.stages.scoring import evaluate_model, score_and_write


def run(context: Context) -> dict[str, Any] | None:
    """Evaluate the starting model itself, or the answers in `stage.predictions`; nothing is trained."""
    stage = context.job.stage
    assert isinstance(stage, Eval)
    if context.job.data.protocol.name == "ferbench":
        from facial_r1.stages import ferbench_evaluation

        return ferbench_evaluation.run(context)
    if context.job.data.protocol.name == "mer_unibench":
        from facial_r1.stages import unibench_evaluation

        return unibench_evaluation.run(context)
    data = load_records(context)
    part = data.test if stage.split == "test" else data.train
    rows = usable(
        context,
        part,
        "action units, a label or a description",
        lambda r: r.AUs is not None or bool(r.labels or r.description) or (data.protocol.is_open and _has_number(r)),
        None,
    )
    if context.job.debug.dry_run:
        source = (
            f"answers from {stage.predictions}"
            if stage.predictions
            else f"one answer each of at most {stage.max_new_tokens} tokens"
        )
        say(context, f"plan: {len(rows)} rows, {source}")
        return None
    if stage.predictions:
        return _score_given(context, stage, rows, data) if context.main else {}
    context.track()
    if context.job.generation.parity and context.main:
        greedy = Sampling(
            temperature=0.0, max_new_tokens=stage.max_new_tokens, repetition_penalty=stage.repetition_penalty or 1.0
        )
        check_parity(context, rows, data, greedy)
    loaded = load_for_generation(context)
    if context.main:
        context.run.update_status(model=loaded.source)
    sampling = Sampling(
        temperature=stage.temperature, max_new_tokens=stage.max_new_tokens, repetition_penalty=penalty_of(context, loaded)
    )
    return evaluate_model(context, loaded, rows, data, sampling, stage.resamples, stage.chunk)


def _has_number(record: Record) -> bool:
    """Whether a clip of a sentiment set is labelled: its answer is wanted, though no wheel scores it (protocol=mer_unibench does)."""
    return isinstance(record.meta_info.get("val"), int | float)


def _score_given(context: Context, stage: Eval, rows: Sequence[Record], data: Data) -> dict[str, Any]:
    assert stage.predictions
    answers, notes = read_predictions(stage.predictions, rows)
    for note in notes:
        say(context, f"note: {note}")
    context.track()
    context.run.update_status(predictions={"path": stage.predictions, "digest": digest(stage.predictions)})
    return score_and_write(context, rows, answers, data, stage.resamples)
