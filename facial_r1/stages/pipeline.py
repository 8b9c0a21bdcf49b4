"""The whole recipe in one run: base, SFT, GRPO, synthesis, SFT on what was written; each model evaluated.

`stage.steps` leaves steps out: [sft, grpo] is the recipe without synthesis. Every step is an ordinary run in a numbered folder of this
run's directory, with its own status, metrics and report.
A step that is finished is never run again.
"""

from __future__ import annotations

import copy
import io
import json
import time
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from facial_r1 import runs
from facial_r1.config.schema import SFT, Job, Pipeline
from facial_r1.config.validation import to_dict
from facial_r1.errors import InputError
from facial_r1.interruption import Interrupted
from facial_r1.runs import RunDirectory
from facial_r1.stages import run_stage
from facial_r1.stages.context import Context
from facial_r1.stages.material import load_records, say
from facial_r1.stages.ranks import barrier

HEADLINE = ("reward/mean", "emotion/accuracy", "emotion/uar", "emotion/macro_f1", "au/macro_f1", "au/micro_f1", "au/subset_accuracy",
            "au/hallucinated", "text/rouge_l", "format/valid", "format/truncated")  # fmt: skip

# Behind the interval of each difference.
RESAMPLES = 2000


def run(context: Context) -> dict[str, Any] | None:
    """Run every step that is not finished, then compare the models on the same test rows."""
    stage = context.job.stage
    assert isinstance(stage, Pipeline)
    job = context.job
    if "sft" not in stage.steps and job.init_from is None and job.model.cold_start:
        raise InputError(
            f"stage.steps={stage.steps}: model={job.model.name} has never seen the answer format; keep the step sft, or start from a "
            "model that has with init_from=<run>"
        )
    data = load_records(context)
    if job.debug.dry_run:
        say(
            context,
            f"plan: {stage.outline()}; {len(data.test)} test rows after each",
        )
        for each in (each for each in ("sft", "grpo", "synthesis") if each in stage.steps):
            planned = _job(job, getattr(stage, each), init_from=job.init_from, amount=getattr(stage.amounts, each))
            run_stage(context.child(each, planned))
        return None
    models: dict[str, RunDirectory] = {}
    number, before = 1, None
    if "base" in stage.steps:
        before = models["base"] = step(context, "01_base", _job(job, stage.eval, init_from=job.init_from))
        number += 1
    if "sft" in stage.steps:
        first = _job(job, stage.sft, init_from=job.init_from, amount=stage.amounts.sft)
        before = models["sft"] = step(context, f"{number:02d}_sft", first, after=before)
        number += 1
    for turn in range(1, stage.rounds + 1):
        name = "" if stage.rounds == 1 else str(turn)
        grpo = before
        if "grpo" in stage.steps:
            started = before.path if before and before is not models.get("base") else job.init_from
            grpo = step(
                context,
                f"{number:02d}_grpo{name}",
                _job(job, stage.grpo, init_from=started, amount=stage.amounts.grpo),
                after=before,
            )
            before = models[f"grpo{name}"] = grpo
            number += 1
        if "synthesis" in stage.steps:
            started = grpo.path if grpo and grpo is not models.get("base") else job.init_from
            written = step(
                context,
                f"{number:02d}_synthesis{name}",
                _job(job, stage.synthesis, init_from=started, amount=stage.amounts.synthesis),
                after=grpo,
            )
            refined = _job(job, stage.resft, init_from=started, amount=None)
            refined.data.descriptions = [str(written.path / "accepted.jsonl")]
            before = models[f"synthesis{name}"] = step(context, f"{number + 1:02d}_sft{name}", refined, after=written)
            number += 2
    if not context.main:
        return {}
    assert before is not None  # the schema asks for at least one training step
    context.run.update_status(model=str(before.model))
    return compare(context, models)


def _job(job: Job, stage: Any, init_from: str | Path | None, amount: float | int | None = None) -> Job:
    """A copy of the pipeline's job with one step's stage, start and amount."""
    new = copy.deepcopy(job)
    new.stage = copy.deepcopy(stage)
    new.init_from = str(init_from) if init_from else None
    new.data.amount = amount if amount is not None else (None if isinstance(stage, SFT) else job.data.amount)
    return new


def step(context: Context, name: str, job: Job, after: RunDirectory | None = None) -> RunDirectory:
    """Run one step in its folder unless it is finished; returns its run directory.

    Raises:
        Interrupted: a stop was asked for; the step's own checkpoint has been written.
    """
    child = context.child(name, job)
    barrier()
    if child.run.state() == "finished":
        return child.run
    context.stop.check()
    if context.main:
        runs.create(
            child.run,
            _resolved(context, job),
            job.stage.name,
            after.path if after else None,
            runs.chain_of(after) if after else [],
        )
        child.run.update_status(state="running", started=child.run.status().get("started") or runs.now(), reason=None)
    barrier()
    began = time.time()
    try:
        summary = run_stage(child)
    except (Interrupted, KeyboardInterrupt):
        if context.main:
            child.run.update_status(state="interrupted", ended=runs.now())
        raise
    except Exception as error:  # recorded on the step, then passed on to the run
        if context.main:
            child.run.update_status(state="failed", ended=runs.now(), reason=f"{type(error).__name__}: {error}")
        raise
    if context.main:
        child.run.write_summary({**(summary or {}), "seconds": round(time.time() - began, 1)})
        child.run.update_status(state="finished", ended=runs.now())
        runs.build_report(child.run)
        runs.write_card(child.run)
    barrier()
    return child.run


def _resolved(context: Context, job: Job) -> str:
    """The step's resolved.yaml: the pipeline's own, so that values from the environment stay unresolved, with what differs."""
    tree: Any = OmegaConf.load(context.run.resolved)
    step_tree = to_dict(job)
    for key in ("stage", "init_from"):
        tree[key] = step_tree[key]
    for key in ("amount", "descriptions"):
        tree["data"][key] = step_tree["data"][key]
    return OmegaConf.to_yaml(tree)


def compare(context: Context, models: dict[str, RunDirectory]) -> dict[str, Any]:
    """Metrics of every model, and the paired differences between each model and the one before it."""
    from facial_r1.metrics.bootstrap import paired_difference_of_means
    from facial_r1.metrics.evaluate import Evaluation
    from facial_r1.metrics.evaluate import compare as compare_evaluations
    from facial_r1.stages.scoring import evaluate_answers

    data = load_records(context)
    by_id = {record.id: record for record in data.test}
    people = {record.id: record.subject or record.id for record in data.test}
    summaries = {name: run.read_summary() for name, run in models.items()}
    evaluations: dict[str, Evaluation] = {}
    rewards: dict[str, dict[str, float]] = {}
    for name, run in models.items():
        samples = [json.loads(line) for line in run.samples.read_text(encoding="utf-8").splitlines()]
        records = [by_id[sample["id"]] for sample in samples]
        # Figures and rewards were computed when the model was evaluated; what is missing here are the counts of each row.
        evaluations[name] = evaluate_answers(context, records, samples, data, resamples=0)
        totals = {sample["id"]: sample["scores"]["reward/mean"] for sample in samples}
        rewards[name] = {record: total for record, total in totals.items() if total is not None}
    differences: dict[str, Any] = {}
    names = list(models)
    for later, earlier in zip(names[1:], names[:-1], strict=True):
        gains = compare_evaluations(evaluations[later], evaluations[earlier], resamples=RESAMPLES)
        shared = [record for record in rewards[later] if record in rewards[earlier]]
        gains["reward/mean"] = paired_difference_of_means(
            [rewards[later][record] for record in shared],
            [rewards[earlier][record] for record in shared],
            [people[record] for record in shared],
            seed=context.job.seed,
        )
        differences[f"{later} - {earlier}"] = gains
    last = names[-1]
    result = {
        "stage": "pipeline",
        "models": {name: {key: summaries[name][key] for key in ("metrics", "failures", "baselines", "rows")} for name in names},
        "differences": differences,
        "metrics": summaries[last]["metrics"],
        "failures": summaries[last]["failures"],
        "baselines": summaries[last]["baselines"],
        "steps": {run.path.name: run.read_summary().get("seconds") for run in runs.find(context.run.path)},
    }
    say(context, "done\n" + final_table(context.run.path, result))
    return result


def final_table(folder: Path, result: dict[str, Any]) -> str:
    """The models side by side and what each step gained, as text; also as CSV, Markdown and LaTeX in `folder`."""
    from facial_r1.report.tables import MetricTable, console, write_tables

    table = MetricTable.of({"": result})
    write_tables(table, folder, "models")
    shown = tuple(name for name in table.metrics if name in HEADLINE)
    text = io.StringIO()
    console(MetricTable(table.models, shown, table.figures), stream=text)
    for pair, found in result["differences"].items():
        for name in ("reward/mean", "emotion/accuracy", "au/macro_f1"):
            gain = found.get(name)
            if gain and gain["low"] is not None:
                text.write(f"{pair}: {name} {gain['difference']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]\n")
    return text.getvalue()
