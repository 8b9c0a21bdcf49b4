"""Data synthesis: the trained model writes reasoning for faces whose labels are known; checks decide what is kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facial_r1 import atomic
from facial_r1.config.schema import Sampling, Synthesis
from facial_r1.data import Data, Record
from facial_r1.generation.engine import Request
from facial_r1.generation.transformers_engine import TransformersEngine
from facial_r1.stages import journal, ranks
from facial_r1.stages.context import Context
from facial_r1.stages.material import chat, load_model, load_records, say, usable
from facial_r1.stages.quality import CHECKS, Accepted, Issue, check_answer
from facial_r1.stages.scoring import in_chunks


def run(context: Context) -> dict[str, Any] | None:
    """Write, check, retry; then accepted.jsonl, rejected.jsonl and yield.json."""
    stage = context.job.stage
    assert isinstance(stage, Synthesis)
    data = load_records(context)
    rows = usable(
        context,
        data.train,
        "labels or action units to check against" + ("" if stage.include_described else ", and no description"),
        _open_to(stage),
        context.job.data.amount,
    )
    if context.job.debug.dry_run:
        say(context, f"plan: {len(rows)} rows, at most {stage.attempts} attempts each")
        return None
    trackers = context.track()
    loaded = load_model(context, train=False)
    if context.main:
        context.run.update_status(model=loaded.source)
    engine = TransformersEngine(loaded.model, loaded.processor, loaded.open_image, context.job.generation.batch_size)
    write_all(context, stage, engine, rows, data)
    ranks.barrier()
    if not context.main:
        return {}
    summary = collect(context, stage, rows, loaded.source)
    trackers.log(0, {"synthesis/yield": summary["yield"]["yield"]})
    return summary


def write_all(context: Context, stage: Synthesis, engine: TransformersEngine, rows: Sequence[Record], data: Data) -> None:
    """Work through this rank's rows chunk by chunk; a finished chunk is on disk and is never written again."""
    earlier = list(journal.read(context.run.path, "written"))
    done = {row["id"] for row in earlier}
    ranks.barrier()
    accepted = Accepted()
    for row in earlier:
        if not row["issues"]:
            accepted.add(row["completion"])
    mine = [record for record in rows if record.id not in done][context.rank :: context.world]
    for chunk in in_chunks(context, mine, stage.chunk, "writing"):
        rows_written = write_chunk(context, stage, engine, chunk, data, accepted)
        journal.append(context.run.path, "written", context.rank, rows_written)


def write_chunk(
    context: Context, stage: Synthesis, engine: TransformersEngine, chunk: Sequence[Record], data: Data, accepted: Accepted
) -> list[dict[str, Any]]:
    """Up to `stage.attempts` tries for each row; the first is greedy, later ones are sampled.

    A retry sees the issues of the last try only, so the prompt does not grow.
    """
    last: dict[str, tuple[str, list[Issue]]] = {}
    result: dict[str, dict[str, Any]] = {}
    for attempt in range(1, stage.attempts + 1):
        pending = [record for record in chunk if record.id not in result]
        if not pending:
            break
        sampling = Sampling(
            temperature=0.0 if attempt == 1 else stage.temperature, top_p=stage.top_p, max_new_tokens=stage.max_new_tokens
        )
        requests = [
            Request(f"{record.id}#{attempt}", _ask(context, stage, record, data, last.get(record.id)), record.images)
            for record in pending
        ]
        answers = engine.generate(requests, sampling, context.job.seed + attempt)
        for record, answer in zip(pending, answers, strict=True):
            issues = check_answer(answer.text, record, stage.quality, accepted, truncated=answer.finish_reason == "length")
            last[record.id] = (answer.text, issues)
            if not issues or attempt == stage.attempts:
                result[record.id] = {
                    "id": record.id,
                    "completion": answer.text,
                    "attempt": attempt,
                    "issues": [{"check": issue.check, "message": issue.message} for issue in issues],
                }
            if not issues:
                accepted.add(answer.text)
    return [result[record.id] for record in chunk]


def collect(context: Context, stage: Synthesis, rows: Sequence[Record], model: str) -> dict[str, Any]:
    """Sort what was written into accepted.jsonl and rejected.jsonl, with provenance, and report the yield."""
    written = {row["id"]: row for row in journal.read(context.run.path, "written")}
    kept, refused = [], []
    reasons: Counter[str] = Counter()
    attempts: Counter[int] = Counter()
    for record in rows:
        row = written[record.id]
        failed = {issue["check"] for issue in row["issues"]}
        provenance = {
            "model": model,
            "run": str(context.run.path),
            "attempt": row["attempt"],
            "checks": {name: name not in failed for name in CHECKS},
            "conditioned_on": "labels" if stage.feedback and row["attempt"] > 1 else stage.condition,
        }
        entry = {**record.to_json(), "description": row["completion"]}
        entry["meta_info"] = {**record.meta_info, "provenance": provenance}
        if failed:
            reasons.update(failed)
            refused.append({**entry, "reasons": [issue["message"] for issue in row["issues"]], "checks_failed": sorted(failed)})
        else:
            attempts[row["attempt"]] += 1
            kept.append(entry)
    _write_jsonl(context.run.path / "accepted.jsonl", kept)
    _write_jsonl(context.run.path / "rejected.jsonl", refused)
    report = {
        "rows": len(rows),
        "accepted": len(kept),
        "rejected": len(refused),
        "yield": len(kept) / len(rows),
        "by_attempt": {str(number): attempts[number] for number in sorted(attempts)},
        "reasons": dict(reasons.most_common()),
    }
    atomic.write_json(context.run.path / "yield.json", report)
    say(
        context,
        f"accepted {len(kept)} of {len(rows)} ({len(kept) / len(rows):.0%}); rejected for "
        + (", ".join(f"{name} {count}" for name, count in reasons.most_common()) or "nothing"),
    )
    value = report["yield"]
    return {
        "stage": "synthesis",
        "metrics": {"synthesis/yield": {"value": value, "low": value, "high": value, "n": len(rows), "clusters": len(rows)}},
        "failures": dict(reasons),
        "yield": report,
        "rows": len(rows),
    }


def _ask(
    context: Context, stage: Synthesis, record: Record, data: Data, before: tuple[str, list[Issue]] | None
) -> list[dict[str, Any]]:
    hint = "labels" if stage.condition == "labels" else None
    if before is None or not stage.feedback:
        return chat(context, record, data, hint=hint)
    text, issues = before
    return chat(context, record, data, hint=hint, issues=[issue.message for issue in issues], previous=text)


def _open_to(stage: Synthesis) -> Any:
    return lambda record: bool(record.AUs or record.labels) and (stage.include_described or not record.description)


def _write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    atomic.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
