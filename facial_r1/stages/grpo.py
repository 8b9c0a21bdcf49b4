"""GRPO: sample a group of answers for each face, score them with verifiable rewards, learn from the difference."""

from __future__ import annotations

from typing import Any

from facial_r1.config.schema import GRPO, Sampling
from facial_r1.data import Record
from facial_r1.errors import InputError
from facial_r1.stages.context import Context
from facial_r1.stages.engines import load_for_generation
from facial_r1.stages.fitting import checkpoint_of, finish, fit, step_of
from facial_r1.stages.material import Data, chat, load_model, load_records, reward_options, say, usable
from facial_r1.stages.openers import shown
from facial_r1.stages.planning import say_memory, worth_saying
from facial_r1.stages.reward_servers import set_up_rewards
from facial_r1.stages.scoring import evaluate_model


def run(context: Context) -> dict[str, Any] | None:
    """Train on the rows that carry action units or a label; save the model; evaluate it on the test rows."""
    stage = context.job.stage
    assert isinstance(stage, GRPO)
    data = load_records(context)
    rows = usable(context, data.train, "action units or a label", _scorable(data), context.job.data.amount)
    if len(rows) < stage.prompts_per_step:
        raise InputError(
            f"stage.prompts_per_step={stage.prompts_per_step}: only {len(rows)} rows can be used, which is no whole step. "
            f"Set it to {len(rows)} or less, or raise data.amount"
        )
    say(context, arithmetic(stage, context.world, len(rows)))
    fresh = not context.run.model.is_dir()
    if fresh and worth_saying(context):
        say_memory(context, rows, data)
    if context.job.debug.dry_run:
        return None
    if fresh:
        train(context, stage, rows, data)
    context.track()
    loaded = load_for_generation(context, str(context.run.model))
    summary: dict[str, Any] = {"stage": "grpo", "metrics": {}, "failures": {}, "rows": len(rows)}
    if stage.evaluate:
        test = data.test if stage.eval_rows is None else data.test[: stage.eval_rows]
        summary = evaluate_model(
            context, loaded, test[: context.job.debug.limit], data, Sampling(max_new_tokens=stage.max_completion_length), 2000
        )
    return summary


def train(context: Context, stage: GRPO, rows: list[Record], data: Data) -> None:
    """Train from the newest complete checkpoint (or from the start) and save `model/`.

    Raises:
        Interrupted: a stop was asked for; a checkpoint has been written.
    """
    from facial_r1.training.callbacks import BarCallback, StopCallback, TrackerCallback, install
    from facial_r1.training.grpo import RolloutCallback, Row, build_trainer

    set_up_rewards(context, data)
    loaded = load_model(context, train=True)
    prompts = [Row(chat(context, record, data, training=True), record=record.to_json(), **shown(record)) for record in rows]
    checkpoint = checkpoint_of(context)
    trackers = context.track(step_of(checkpoint))
    trainer = build_trainer(
        context.job, stage, context.world, loaded.model, loaded.processor, prompts, loaded.open_image,
        reward_options(context, data), context.run.checkpoints,
    )  # fmt: skip
    install(
        trainer,
        TrackerCallback(trackers.log),
        RolloutCallback(trainer, prompts, context.run.rollouts, stage.rollouts_every, trackers.table),
        StopCallback(context.stop),
        BarCallback("GRPO", ("reward/mean", "completions/mean_length")),
    )
    say(context, f"from {checkpoint.name if checkpoint else loaded.source}; rewards: {', '.join(context.job.reward.weights)}")
    fit(trainer, checkpoint)
    trainer.close_engine()
    finish(context, trainer, loaded)


def arithmetic(stage: GRPO, world: int, rows: int) -> str:
    """The batch in plain words.

    >>> arithmetic(GRPO(prompts_per_step=8, num_generations=8, max_steps=60), 1, 1000)
    '8 prompts x 8 completions = 64 a step (64 a pass x 1 rank x 1 pass), 60 steps over 1000 rows'
    """
    passes = stage.accumulation(world)
    steps = stage.max_steps if stage.max_steps > 0 else int(rows * stage.epochs // stage.prompts_per_step)
    return (
        f"{stage.prompts_per_step} prompts x {stage.num_generations} completions = {stage.completions_per_step()} a step "
        f"({stage.batch_size(world)} a pass x {world} rank{'s' if world > 1 else ''} x {passes} pass{'es' if passes > 1 else ''}), "
        f"{steps} steps over {rows} rows"
    )


def _scorable(data: Data) -> Any:
    """Whether any reward besides format can apply to a record."""
    empty_counts = data.protocol.empty_action_units == "absent"
    return lambda record: bool(record.AUs) or bool(record.labels) or (empty_counts and record.AUs is not None)
