"""Generate once, then score: the evaluation that every stage ends with."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facial_r1 import atomic, rewards
from facial_r1.config.schema import Sampling
from facial_r1.data import Data, Protocol, Record
from facial_r1.disk import writing
from facial_r1.errors import InputError
from facial_r1.generation.engine import Request
from facial_r1.metrics.breakdown import by_field
from facial_r1.metrics.evaluate import Evaluation, evaluate, mean_figures
from facial_r1.progress import progress_bar
from facial_r1.prompts import parse, render
from facial_r1.prompts.open_vocabulary import is_formatted, read_answer
from facial_r1.stages import journal, ranks
from facial_r1.stages.context import Context
from facial_r1.stages.engines import engine_of
from facial_r1.stages.material import Loaded, chat, reward_options, say
from facial_r1.stages.open_vocabulary import add_wheels, predicted_words, without_labels
from facial_r1.stages.openers import shown
from facial_r1.stages.reward_servers import server_failures, set_up_rewards


def generate_answers(
    context: Context, loaded: Loaded, records: Sequence[Record], data: Data, sampling: Sampling, chunk: int
) -> list[dict[str, Any]] | None:
    """One answer per record, in order, as `{"id", "completion", "finish_reason", "tokens"}`.

    Answers are written to `answers.rank<r>.jsonl` chunk by chunk; a restart generates only what is missing, whatever
    the number of ranks was. What a server failed to answer ("error") is asked again then. Rank 0 returns them all, the others
    None.
    """
    folder = context.run.path
    done = {row["id"] for row in journal.read(folder, "answers") if row["finish_reason"] != "error"}
    ranks.barrier()
    missing = [record for record in records if record.id not in done][context.rank :: context.world]
    engine = engine_of(context, loaded)
    for part in in_chunks(context, missing, chunk, "answering"):
        requests = [Request(record.id, chat(context, record, data), **shown(record)) for record in part]
        answers = engine.generate(requests, sampling, context.job.seed)
        rows = [
            {"id": record.id, "completion": answer.text, "finish_reason": answer.finish_reason, "tokens": answer.length}
            for record, answer in zip(part, answers, strict=True)
        ]
        journal.append(folder, "answers", context.rank, rows)
    ranks.barrier()
    if not context.main:
        return None
    answered = {row["id"]: row for row in journal.read(folder, "answers")}
    return [answered[record.id] for record in records]


def in_chunks(
    context: Context, rows: Sequence[Record], size: int, what: str, together: bool = False
) -> Iterator[Sequence[Record]]:
    """Parts of `rows`, with a progress bar on rank 0. A requested stop is honoured between two parts.

    Args:
        together: All ranks work on the same parts, and so they stop before the same one.
    """
    with progress_bar(len(rows), what, "rows") if context.main else nullcontext(lambda count: None) as advance:
        for start in range(0, len(rows), size):
            if together:
                ranks.agree(context.stop)
            context.stop.check()
            part = rows[start : start + size]
            yield part
            advance(len(part))


@dataclass(frozen=True)
class Scored:
    """Scored answers: the summary of a run, the evaluation behind it, and each row's rewards by metric name."""

    summary: dict[str, Any]
    evaluation: Evaluation
    rewards: dict[str, list[float | None]]


def score_answers(
    context: Context, records: Sequence[Record], answers: Sequence[dict[str, Any]], data: Data, resamples: int
) -> Scored:
    """Every metric with its interval. Writes nothing.

    Rewards are the same functions that training uses, so `reward/<name>` here is what GRPO optimised.
    """
    rows = [record.to_json() for record in records]
    texts = [answer["completion"] for answer in answers]
    set_up_rewards(context, data)
    result = evaluate_answers(context, records, answers, data, resamples)
    options = reward_options(context, data)
    scores = {name: rewards.score(name, texts, rows, **options.get(name, {})) for name in context.job.reward.weights}
    total = rewards.combine(scores, context.job.reward.weights, context.job.reward.limit)
    clusters = [record.subject or record.id for record in records]
    named = {"reward/mean": total, **{f"reward/{name}": values for name, values in scores.items()}}
    result.metrics |= mean_figures(named, clusters, resamples=resamples, seed=context.job.seed)
    result.failures |= server_failures(context)
    summary = {
        "stage": context.job.stage.name,
        "metrics": result.metrics,
        "failures": result.failures,
        "baselines": result.baselines,
        "rows": len(records),
    }
    return Scored(summary, result, named)


def evaluate_answers(
    context: Context, records: Sequence[Record], answers: Sequence[dict[str, Any]], data: Data, resamples: int
) -> Evaluation:
    """The metrics of answers, rewards apart; with 0 resamples without intervals."""
    rows = [record.to_json() for record in records]
    texts = [answer["completion"] for answer in answers]
    is_open = data.protocol.is_open
    result = evaluate(
        texts,
        without_labels(rows) if is_open else rows,
        vocabulary=list(data.protocol.vocabulary),
        labels=list(data.protocol.labels or ()),
        resamples=resamples,
        seed=context.job.seed,
        finish_reasons=[answer["finish_reason"] for answer in answers],
        empty_action_units=data.protocol.empty_action_units,
        compat=getattr(context.job.stage, "compat", False),
        rege_task=_rege_task(context),
        annotated=data.annotated,
    )
    if is_open:
        words = predicted_words(texts, context.job, data.protocol)
        add_wheels(result, records, texts, words, context.job, data.protocol, resamples)
    return result


def _by_dataset(records: Sequence[Record], data: Data) -> list[str]:
    """A mix of several protocols is also scored dataset by dataset: its pooled figures compare with nothing published."""
    return ["dataset"] if len({record.dataset for record in records} & data.protocols.keys()) > 1 else []


def _rege_task(context: Context) -> Any:
    task = getattr(context.job.stage, "rege", "none")
    return None if task == "none" else task


def evaluate_model(
    context: Context,
    loaded: Loaded,
    records: Sequence[Record],
    data: Data,
    sampling: Sampling,
    resamples: int,
    chunk: int = 200,
) -> dict[str, Any]:
    """Answer and score `records`; the summary on rank 0, an empty mapping on the others."""
    if not records:
        say(context, "there is no test part, so nothing is evaluated (data.split.test or data.test_files)")
        return {"stage": context.job.stage.name, "metrics": {}, "failures": {}, "rows": 0}
    answers = generate_answers(context, loaded, records, data, sampling, chunk)
    if answers is None:
        return {}
    return score_and_write(context, records, answers, data, resamples)


def score_and_write(
    context: Context, records: Sequence[Record], answers: Sequence[dict[str, Any]], data: Data, resamples: int
) -> dict[str, Any]:
    """Score answers, write samples.jsonl and the confusion matrix, log the figures; returns the summary.

    Rows that the engine failed to answer are counted under `failures.engine` and are in no other figure.

    Raises:
        InputError: the engine answered nothing.
    """
    failed = sum(answer["finish_reason"] == "error" for answer in answers)
    if failed:
        pairs = [(r, a) for r, a in zip(records, answers, strict=True) if a["finish_reason"] != "error"]
        if not pairs:
            raise InputError(f"the engine answered none of the {len(records)} rows: see the log, then run the same command again")
        records, answers = [record for record, _ in pairs], [answer for _, answer in pairs]
        say(
            context,
            f"{failed} rows were not answered and are left out (failures.engine); resume=never asks again, a cache keeps the others",
        )
    scored = score_answers(context, records, answers, data, resamples)
    summary = scored.summary
    if failed:
        summary["failures"]["engine"] = failed
    if data.protocol.published:
        tables = {"scored_with": data.protocol.wheels} if data.protocol.is_open else {}
        summary["published"] = [{**entry, **tables} for entry in data.protocol.published]
    fields = getattr(context.job.stage, "by", []) or _by_dataset(records, data)
    if fields:
        rows = [record.to_json() for record in records]
        summary["by"] = [by_field(scored.evaluation, rows, field) for field in fields]
    if _judge(context, records, answers, summary, resamples, scored):
        say(
            context,
            f"judge: {_interval(summary['metrics']['text/judge'])}"
            if "text/judge" in summary["metrics"]
            else "judge: no verdict",
        )
    _write_samples(context, records, answers, data, scored.rewards)
    _write_confusion(context.run.path, scored.evaluation)
    if context.trackers is not None and context.job.stage.name == "eval":
        shown = {f"eval/{name}": figure["value"] for name, figure in summary["metrics"].items() if figure["value"] is not None}
        context.trackers.log(0, shown)
    if context.trackers is not None and context.run.path.joinpath("confusion.png").is_file():
        context.trackers.image(0, "confusion", context.run.path / "confusion.png")
    say(context, headline(summary))
    for part in summary.get("by", ()):
        for metric, worst in list(part["worst"].items())[:2]:
            say(context, f"by {part['field']}: {metric} is lowest for {worst['group']}: {_interval(worst)}")
    return summary


def _judge(
    context: Context,
    records: Sequence[Record],
    answers: Sequence[dict[str, Any]],
    summary: dict[str, Any],
    resamples: int,
    scored: Scored,
) -> bool:
    """Ask the judge about answers that have a reference; add its figures, failures and verdicts. False without a judge."""
    settings = getattr(context.job.stage, "judge", None)
    if settings is None or not settings.enabled:
        return False
    from facial_r1.generation.cache import open_cache
    from facial_r1.generation.judging import judge_samples
    from facial_r1.metrics.judge import failures, figures

    rows = [
        {"id": record.id, "description": record.description, "completion": a["completion"], "finish_reason": a["finish_reason"]}
        for record, a in zip(records, answers, strict=True)
    ]
    result = judge_samples(rows, settings, open_cache(settings.cache))
    clusters = [record.subject or record.id for record in records]
    summary["metrics"] |= figures(result, clusters, resamples=resamples, seed=context.job.seed)
    summary["failures"] |= failures(result)
    summary["judge"] = result.card()
    scored.rewards["text/judge"] = list(result.scores)
    return True


def _interval(figure: dict[str, Any]) -> str:
    text = f"{figure['value']:.3f}"
    return text if figure["low"] is None else f"{text} [{figure['low']:.3f}, {figure['high']:.3f}]"


_HEADLINE = ("reward/mean", "emotion/accuracy", "wheel/level1/f", "au/macro_f1", "format/valid")


def headline(summary: dict[str, Any]) -> str:
    """The figures a person wants first, on one line."""
    shown = [(name, summary["metrics"].get(name)) for name in _HEADLINE]
    parts = []
    for name, value in shown:
        if value and value["value"] is not None:
            parts.append(f"{name} {_interval(value)}")
    return ", ".join([*parts, f"n {summary.get('rows', 0)}"])


def _write_samples(
    context: Context,
    records: Sequence[Record],
    answers: Sequence[dict[str, Any]],
    data: Data,
    scores: dict[str, list[float | None]],
) -> None:
    rendered: dict[Any, str] = {}

    def asked(record: Record, rules: Protocol) -> str:
        """The prompt, rendered once for rows that are asked the same."""
        key = (id(rules), record.question, record.candidate_labels, record.transcript)
        if key not in rendered:
            rendered[key] = render(context.job.prompt, record, rules.labels, vocabulary=rules.action_units)
        return rendered[key]

    lines = []
    for index, (record, answer) in enumerate(zip(records, answers, strict=True)):
        parsed = parse(answer["completion"])
        rules = data.protocol_of(record)
        labels, valid = list(parsed.labels), parsed.valid
        if data.protocol.is_open:
            labels = list(read_answer(answer["completion"], context.job.prompt.output).words)
            valid = is_formatted(answer["completion"], context.job.prompt.output)
        truth = set(record.AUs or ())
        spans = [[m.start, m.end, m.code, m.code in truth] for m in parsed.spans if m.code in parsed.action_units]
        row = {
            "id": record.id,
            "dataset": record.dataset,
            "image": record.images[0] if record.images else "",
            "prompt": asked(record, rules),
            "completion": answer["completion"],
            "finish_reason": answer["finish_reason"],
            "AUs": None if record.AUs is None else list(record.AUs),
            "labels": list(record.labels),
            "description": record.description,
            "parsed": {
                "action_units": list(parsed.action_units),
                "labels": labels,
                "thinking": parsed.thinking,
                "valid": valid,
            },
            "scores": {name: values[index] for name, values in scores.items()},
            "meta_info": record.meta_info,
            "subject": record.subject,
            "spans": spans,
        }
        lines.append(json.dumps(row, ensure_ascii=False))
    atomic.write_text(context.run.samples, "\n".join(lines) + "\n")


def _write_confusion(folder: Path, result: Evaluation) -> None:
    if result.confusion is None:
        return
    labels, columns, matrix = result.confusion.labels, result.confusion.columns, result.confusion.matrix
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["truth", *columns])
    writer.writerows([label, *row] for label, row in zip(labels, matrix, strict=True))
    atomic.write_text(folder / "confusion.csv", text.getvalue())
    from facial_r1.report.figures import confusion_png

    with writing("confusion.png", folder):
        confusion_png(labels, matrix, folder / "confusion.png", columns=columns)
