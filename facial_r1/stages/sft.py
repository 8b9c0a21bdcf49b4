"""Supervised fine-tuning: learn the answer format and the vocabulary of action units from written descriptions."""

from __future__ import annotations

import math
from typing import Any

from facial_r1.config.schema import SFT, Sampling
from facial_r1.data import Record
from facial_r1.prompts.open_vocabulary import read_answer
from facial_r1.stages.context import Context
from facial_r1.stages.engines import load_for_generation
from facial_r1.stages.fitting import checkpoint_of, finish, fit, step_of
from facial_r1.stages.material import Data, chat, load_model, load_records, say, usable
from facial_r1.stages.openers import shown
from facial_r1.stages.planning import say_memory, worth_saying
from facial_r1.stages.scoring import evaluate_model


def run(context: Context) -> dict[str, Any] | None:
    """Fine-tune on the rows that carry a description; save the model; evaluate it on the test rows."""
    stage = context.job.stage
    assert isinstance(stage, SFT)
    data = load_records(context)
    fix = ": take those that a synthesis run wrote, data.descriptions=[<run>], or train with stage=grpo, which needs labels alone"
    rows = usable(context, data.train, "a description", lambda record: bool(record.description), context.job.data.amount, fix)
    fresh = not context.run.model.is_dir()
    if fresh and worth_saying(context):
        plan(context, stage, rows)
        say_memory(context, rows, data)
    if context.job.debug.dry_run:
        return None
    if fresh:
        train(context, stage, rows, data)
    context.track()
    loaded = load_for_generation(context, str(context.run.model))
    summary: dict[str, Any] = {"stage": "sft", "metrics": {}, "failures": {}, "rows": len(rows)}
    if stage.evaluate:
        test = data.test if stage.eval_rows is None else data.test[: stage.eval_rows]
        summary = evaluate_model(
            context, loaded, test[: context.job.debug.limit], data, Sampling(max_new_tokens=stage.max_new_tokens), 2000
        )
    return summary


def train(context: Context, stage: SFT, rows: list[Record], data: Data) -> None:
    """Train from the newest complete checkpoint (or from the start) and save `model/`.

    Raises:
        Interrupted: a stop was asked for; a checkpoint has been written.
    """
    from facial_r1.training.callbacks import BarCallback, StopCallback, TrackerCallback, install
    from facial_r1.training.sft import Example, build_trainer

    loaded = load_model(context, train=True)
    examples = [Example(chat(context, record, data, training=True), target(context, record), **shown(record)) for record in rows]
    examples += [
        Example(chat(context, record, data, hint="labels", training=True), target(context, record), **shown(record))
        for index, record in enumerate(rows)
        if _hinted(index, stage.hinted)
    ]
    checkpoint = checkpoint_of(context)
    trackers = context.track(step_of(checkpoint))
    trainer = build_trainer(
        context.job, stage, loaded.model, loaded.processor, examples, loaded.open_image, context.run.checkpoints
    )
    bar = BarCallback("SFT", ("loss", "token_accuracy"))
    install(trainer, TrackerCallback(trackers.log), StopCallback(context.stop), bar)
    say(
        context,
        f"training on {len(rows)} descriptions ({len(examples) - len(rows)} of them also with the labels in the prompt), {'from ' + checkpoint.name if checkpoint else 'from ' + loaded.source}",
    )
    fit(trainer, checkpoint)
    finish(context, trainer, loaded)


def target(context: Context, record: Record) -> str:
    """What is learned to write about a record: its description, of which `prompt.output=direct` leaves the answer alone."""
    if context.job.prompt.output != "direct":
        return record.description
    return read_answer(record.description, "direct").text or record.description


def plan(context: Context, stage: SFT, rows: list[Record]) -> None:
    """Print what would be trained."""
    again = sum(_hinted(index, stage.hinted) for index in range(len(rows)))
    per_step = (stage.per_device_batch_size or 1) * stage.gradient_accumulation * context.world
    steps = stage.max_steps if stage.max_steps > 0 else math.ceil(-(-(len(rows) + again) // per_step) * stage.epochs)
    say(
        context,
        f"plan: {len(rows)} rows{f' and {again} of them again with their labels' if again else ''}, {stage.per_device_batch_size} a pass "
        f"x {stage.gradient_accumulation} passes x {context.world} rank(s) = {per_step} rows a step, {steps} steps",
    )


def _hinted(index: int, share: float) -> bool:
    """Every k-th row, so that a share of 0.25 marks rows 3, 7, 11, ..."""
    return int((index + 1) * share) > int(index * share)
