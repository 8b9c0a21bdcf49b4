"""FERBench: its own extraction and figures, compat and strict, from generated answers or from anyone's result files."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from facial_r1 import atomic
from facial_r1.config.schema import Eval, Sampling
from facial_r1.metrics import ferbench_report, ferbench_run
from facial_r1.metrics.ferbench_run import FerbenchResult
from facial_r1.stages.context import Context
from facial_r1.stages.engines import load_for_generation, penalty_of
from facial_r1.stages.material import load_records, say, usable
from facial_r1.stages.predictions import digest
from facial_r1.stages.scoring import generate_answers


def run(context: Context) -> dict[str, Any] | None:
    """Score `stage.predictions` with no engine, or ask the model the questions of data=ferbench first."""
    stage = context.job.stage
    assert isinstance(stage, Eval)
    if stage.predictions:
        return _given(context, stage) if context.main else {}
    data = load_records(context)
    rows = usable(context, data.test, "a question of FERBench", lambda record: bool(record.labels), None)
    if context.job.debug.dry_run:
        say(context, f"plan: {len(rows)} questions, one answer each of at most {stage.max_new_tokens} tokens")
        return None
    context.track()
    loaded = load_for_generation(context)
    if context.main:
        context.run.update_status(model=loaded.source)
    sampling = Sampling(
        temperature=stage.temperature, max_new_tokens=stage.max_new_tokens, repetition_penalty=penalty_of(context, loaded)
    )
    answers = generate_answers(context, loaded, rows, data, sampling, stage.chunk)
    if answers is None:
        return {}
    asked = [record.to_json() for record in rows]
    results = ferbench_run.results_of(asked, [answer["completion"] for answer in answers])
    failed = {
        record["meta_info"]["ferbench"]["image_path"]
        for record, answer in zip(asked, answers, strict=True)
        if answer["finish_reason"] == "error"
    }
    if failed:  # the authors' way of saying that no answer came
        results = {
            name: [{**row, "error": True} if row["image_path"] in failed else row for row in found]
            for name, found in results.items()
        }
    scored = ferbench_run.score_results(results, None, stage.resamples, context.job.seed, stage.tag_required)
    return _finish(context, stage, scored)


def _given(context: Context, stage: Eval) -> dict[str, Any] | None:
    assert stage.predictions
    questions = context.job.data.questions
    if context.job.debug.dry_run:
        say(context, f"plan: the results at {stage.predictions}, scored as FERBench")
        return None
    scored = ferbench_run.score_predictions(
        stage.predictions, questions, stage.resamples, context.job.seed, tag_required=stage.tag_required
    )
    context.track()
    seen = digest(stage.predictions)
    context.run.update_status(
        predictions={"path": stage.predictions, "digest": seen},
        data={"name": "ferbench", "fingerprint": seen, "test": len(scored.samples)},
    )
    return _finish(context, stage, scored)


def _finish(context: Context, stage: Eval, scored: FerbenchResult) -> dict[str, Any]:
    """Write samples, the authors' files and the pooled confusion matrix; log the figures; return the summary."""
    folder = context.run.path
    for note in scored.notes:
        say(context, f"note: {note}")
    atomic.write_text(context.run.samples, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in scored.samples))
    ferbench_report.write_compat(folder / "ferbench", scored.results)
    atomic.write_json(folder / "ferbench" / "sets.json", scored.per_set)
    atomic.write_json(folder / "ferbench" / "confusion.json", scored.confusion)
    _write_confusion(context, scored)
    if context.trackers is not None:
        shown = {f"eval/{name}": found["value"] for name, found in scored.summary_metrics.items() if found["value"] is not None}
        context.trackers.log(0, shown)
    say(context, "done\n" + ferbench_report.describe(scored))
    return {
        "stage": "eval",
        "metrics": scored.summary_metrics,
        "failures": scored.failures,
        "baselines": scored.baselines,
        "rows": len(scored.samples),
        "sets": scored.per_set,
        "published": _published(),
    }


def _published() -> list[dict[str, Any]]:
    from facial_r1.data.protocol import load_protocol

    return [dict(entry) for entry in load_protocol("ferbench").published]


def _write_confusion(context: Context, scored: FerbenchResult) -> None:
    """The strict matrix, pooled where all sets are there, else of the only set."""
    name = "pooled" if "pooled" in scored.confusion else next(iter(scored.confusion), None)
    if name is None:
        return
    matrix = scored.confusion[name]["strict"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["truth", *matrix["columns"]])
    writer.writerows([label, *row] for label, row in zip(matrix["labels"], matrix["matrix"], strict=True))
    atomic.write_text(context.run.path / "confusion.csv", text.getvalue())
