"""Data synthesis: the trained model writes reasoning for faces whose labels are known; checks decide what is kept.

With `stage.review` people decide about what the checks have kept; `facial-r1 review <run>` reads their decisions back.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facial_r1 import atomic
from facial_r1.config.schema import Sampling, Synthesis
from facial_r1.data import Data, Record
from facial_r1.generation.engine import Engine, Request
from facial_r1.stages import journal, ranks
from facial_r1.stages.context import Context
from facial_r1.stages.engines import engine_of, load_for_generation
from facial_r1.stages.material import chat, load_records, say, usable
from facial_r1.stages.openers import shown
from facial_r1.stages.quality import CHECKS, MODES, Accepted, Verdict, judge
from facial_r1.stages.scoring import in_chunks


def run(context: Context) -> dict[str, Any] | None:
    """Write, check, retry; then accepted.jsonl, rejected.jsonl and yield.json, and the review files if they are asked for."""
    stage = context.job.stage
    assert isinstance(stage, Synthesis)
    data = load_records(context)
    rows = usable(
        context,
        data.test.unique if stage.split == "test" else data.train.unique,
        "labels or action units to check against" + ("" if stage.include_described else ", and no description"),
        _open_to(stage),
        None if stage.split == "test" else context.job.data.amount,  # data.test_amount is taken when the rows are read
        "" if stage.include_described else "; stage.include_described=true writes about described rows too",
        distinct=True,
    )
    if context.job.debug.dry_run:
        say(context, f"plan: {len(rows)} {stage.split} rows, at most {stage.attempts} attempts each")
        return None
    trackers = context.track()
    loaded = load_for_generation(context)
    if context.main:
        context.run.update_status(model=loaded.source)
    engine = engine_of(context, loaded)
    write_all(context, stage, engine, rows, data)
    ranks.barrier()
    if not context.main:
        return {}
    summary = collect(context, stage, rows, loaded.source)
    trackers.log(0, {"synthesis/yield": summary["yield"]["yield"]})
    return summary


def write_all(context: Context, stage: Synthesis, engine: Engine, rows: Sequence[Record], data: Data) -> None:
    """Work through the rows chunk by chunk; a finished chunk is on disk and is never written again.

    All ranks share the work of each chunk, and all know what was accepted before it, which is what near-duplicates are compared
    with. So what is written depends on neither the number of ranks nor on where an earlier run was cut off.
    """
    written = {row["id"]: row for row in journal.read(context.run.path, "written")}
    chunks = [rows[start : start + stage.chunk] for start in range(0, len(rows), stage.chunk)]
    whole = [all(record.id in written for record in chunk) for chunk in chunks]
    earlier = [written[record.id] for chunk, done in zip(chunks, whole, strict=True) if done for record in chunk]
    ranks.barrier()
    if context.main and len(earlier) < len(written):  # a part of a chunk is done again as a whole
        journal.replace(context.run.path, "written", earlier)
    accepted = Accepted()
    for row in earlier:
        if row["passes"]["strict"]:
            accepted.add(row["completion"])
    missing = [record for chunk, done in zip(chunks, whole, strict=True) if not done for record in chunk]
    for chunk in in_chunks(context, missing, stage.chunk, "writing", together=True):
        rows_written = write_chunk(context, stage, engine, chunk, data, accepted)
        if context.main:
            journal.append(context.run.path, "written", context.rank, rows_written)


def write_chunk(
    context: Context, stage: Synthesis, engine: Engine, chunk: Sequence[Record], data: Data, accepted: Accepted
) -> list[dict[str, Any]]:
    """Up to `stage.attempts` tries for each row; the first is greedy, later ones have `stage.temperature` (0: greedy as well).

    A retry sees the issues of the last try only, so the prompt does not grow. Both tests are made of every text;
    `stage.quality.mode` says which one ends the tries.
    """
    last: dict[str, tuple[str, Verdict]] = {}
    first: dict[str, Verdict] = {}
    result: dict[str, dict[str, Any]] = {}
    for attempt in range(1, stage.attempts + 1):
        pending = [record for record in chunk if record.id not in result]
        if not pending:
            break
        sampling = Sampling(
            temperature=0.0 if attempt == 1 else stage.temperature, top_p=stage.top_p, max_new_tokens=stage.max_new_tokens
        )
        requests = [
            Request(f"{record.id}#{attempt}", _ask(context, stage, record, data, last.get(record.id)), **shown(record))
            for record in pending[context.rank :: context.world]
        ]
        shares = ranks.gather(engine.generate(requests, sampling, context.job.seed + attempt))
        answers = [shares[place % context.world][place // context.world] for place in range(len(pending))]
        for record, answer in zip(pending, answers, strict=True):
            verdict = judge(answer.text, record, stage.quality, accepted, truncated=answer.finish_reason == "length")
            last[record.id] = (answer.text, verdict)
            first.setdefault(record.id, verdict)
            if verdict.issues and attempt < stage.attempts:
                continue
            result[record.id] = {
                "id": record.id,
                "completion": answer.text,
                "attempt": attempt,
                "issues": [{"check": issue.check, "message": issue.message} for issue in verdict.issues],
                "strict": sorted({issue.check for issue in verdict.strict}),
                "passes": verdict.passes,
                "first": first[record.id].passes,
            }
            if verdict.passes["strict"]:
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
            "checks": {name: name not in row["strict"] for name in CHECKS},
            "published_test": row["passes"]["published"],
            "split": stage.split,
            "conditioned_on": "labels" if stage.feedback and row["attempt"] > 1 else stage.condition,
        }
        entry = {**record.to_json(), "description": row["completion"]}
        entry["meta_info"] = {**record.meta_info, "provenance": provenance}
        if stage.split == "test":  # so that no later job trains on it by accident
            entry["split"] = "test"
        if failed:
            reasons.update(failed)
            refused.append({**entry, "reasons": [issue["message"] for issue in row["issues"]], "checks_failed": sorted(failed)})
        else:
            attempts[row["attempt"]] += 1
            kept.append(entry)
    _write_jsonl(context.run.path / "accepted.jsonl", kept)
    _write_jsonl(context.run.path / "rejected.jsonl", refused)
    report: dict[str, Any] = {
        "rows": len(rows),
        "accepted": len(kept),
        "rejected": len(refused),
        "yield": len(kept) / len(rows),
        "by_attempt": {str(number): attempts[number] for number in sorted(attempts)},
        "reasons": dict(reasons.most_common()),
        "decided_by": stage.quality.mode,
        "tests": {name: _passed([written[record.id] for record in rows], name) for name in MODES},
    }
    atomic.write_json(context.run.path / "yield.json", report)
    say(
        context,
        f"accepted {len(kept)} of {len(rows)} ({len(kept) / len(rows):.0%}); rejected for "
        + (", ".join(f"{name} {count}" for name, count in reasons.most_common()) or "nothing"),
    )
    tests = report["tests"]
    say(context, ", ".join(f"{name} test: {tests[name]['written']} of {len(rows)} pass" for name in MODES))
    if stage.review.enabled:
        put_up_for_review(context, stage, kept)
    value = report["yield"]
    return {
        "stage": "synthesis",
        "metrics": {"synthesis/yield": {"value": value, "low": value, "high": value, "n": len(rows), "clusters": len(rows)}},
        "failures": dict(reasons),
        "yield": report,
        "rows": len(rows),
    }


def put_up_for_review(context: Context, stage: Synthesis, kept: Sequence[dict[str, Any]]) -> None:
    """Write the files in which people accept or reject what the checks have kept."""
    from facial_r1.report.review import write_review

    if not kept:
        say(context, "nothing was accepted, so there is nothing to review")
        return
    files = write_review(context.run.path, kept, stage.review.rows, stage.review.seed)
    pages = ", ".join(file.name for file in files if file.suffix == ".html")
    say(context, f"for review: {pages} in a browser, or review.csv; then facial-r1 review {context.run.path}")


def _passed(written: Sequence[dict[str, Any]], test: str) -> dict[str, Any]:
    """How many rows pass a test: of the texts as they stand at the end, and of those of the first try."""
    count = sum(row["passes"][test] for row in written)
    return {"written": count, "first": sum(row["first"][test] for row in written), "yield": count / len(written)}


def _ask(
    context: Context, stage: Synthesis, record: Record, data: Data, before: tuple[str, Verdict] | None
) -> list[dict[str, Any]]:
    hint = "labels" if stage.condition == "labels" else None
    if before is None or not stage.feedback:
        return chat(context, record, data, hint=hint)
    text, verdict = before
    return chat(context, record, data, hint=hint, issues=verdict.told, previous=text)


def _open_to(stage: Synthesis) -> Any:
    return lambda record: bool(record.AUs or record.labels) and (stage.include_described or not record.description)


def _write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    atomic.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
