"""`facial-r1 review <run>`: what people decided about written rows becomes a reviewed file that loads as a test set."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facial_r1 import atomic
from facial_r1.data.problems import Problem, describe_problems
from facial_r1.data.rows import read_rows
from facial_r1.errors import InputError
from facial_r1.report import decisions as reading
from facial_r1.report.review import DECISIONS, TABLE, write_review

REVIEWED, SUMMARY = "reviewed.jsonl", "review_summary.json"


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns 0, or 2 when the run or the decisions cannot be used."""
    options = _parser().parse_args(list(arguments))
    try:
        if options.prepare:
            _prepare(options.run, options.rows, options.seed)
        else:
            _read_back(options.run, options.decisions, options.second)
    except InputError as error:
        print(f"facial-r1 review: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facial-r1 review",
        description=f"Read back the decisions about the rows of a synthesis run: writes {REVIEWED} (accepted rows, a test set) "
        f"and {SUMMARY} into it.",
    )
    parser.add_argument("run", type=Path, help="the synthesis run; of a pipeline, its step (04_synthesis)")
    parser.add_argument(
        "--decisions", type=Path, nargs="+", metavar="CSV", help=f"filled files of one person; by default {TABLE} of the run"
    )
    parser.add_argument("--second", type=Path, nargs="+", metavar="CSV", help="those of a second person, for the agreement")
    parser.add_argument(
        "--prepare", action="store_true", help="put the rows of a finished run up for review, as stage.review.enabled does"
    )
    parser.add_argument("--rows", type=int, metavar="N", help="with --prepare: how many rows; by default all")
    parser.add_argument("--seed", type=int, default=0, help="with --prepare: of the draw and the order")
    return parser


def accepted_rows(run: Path) -> dict[str, dict[str, Any]]:
    """The accepted rows of a synthesis run, by id.

    Raises:
        InputError: the folder is no synthesis run, or accepted.jsonl cannot be read.
    """
    file = run / "accepted.jsonl"
    if not file.is_file():
        steps = sorted(path.parent for path in run.glob("*/accepted.jsonl")) if run.is_dir() else []
        fix = f"name the step: {', '.join(map(str, steps))}" if steps else "name a finished run of stage=synthesis"
        raise InputError(f"{run}: no accepted.jsonl in it; {fix}")
    rows: dict[str, dict[str, Any]] = {}
    problems = []
    for item in read_rows(file):
        if isinstance(item, Problem):
            problems.append(item)
        elif "id" not in item[1]:
            problems.append(Problem(str(file), item[0], "id", "there is none", "take the file as synthesis wrote it"))
        else:
            rows[str(item[1]["id"])] = item[1]
    if problems:
        raise InputError(f"{len(problems)} problem(s) in the accepted rows:\n{describe_problems(problems)}")
    return rows


def _prepare(run: Path, count: int | None, seed: int) -> None:
    if count is not None and count < 1:
        raise InputError(f"--rows {count}: give a number from 1, or leave it out for all rows")
    rows = accepted_rows(run)
    filled = run / TABLE
    if filled.is_file() and _has_decisions(filled, rows):
        raise InputError(f"{filled} holds decisions, which would be lost: move it away first")
    for file in write_review(run, list(rows.values()), count, seed):
        print(file)


def _has_decisions(file: Path, known: Mapping[str, Any]) -> bool:
    """Whether a table holds somebody's work: it has decisions or comments, or it is not as we wrote it."""
    try:
        found = reading.read_decisions([file], known, may_be_empty=True)
    except InputError:
        return True
    return any(entry.decision or entry.comment for entry in found.values())


def _read_back(run: Path, files: Sequence[Path] | None, others: Sequence[Path] | None) -> None:
    rows = accepted_rows(run)
    files = files or [run / TABLE]
    if not files[0].is_file() and files[0] == run / TABLE:
        raise InputError(
            f"{files[0]} is not there: the run was not put up for review (stage.review.enabled=true). "
            f"facial-r1 review {run} --prepare does it now, without writing the texts again"
        )
    first = reading.read_decisions(files, rows)
    second = reading.read_decisions(others, rows) if others else None
    summary = {"run": str(run.resolve()), "files": [str(file) for file in files], **reading.summarise(rows, first)}
    if second is not None:
        summary["second"] = {"files": [str(file) for file in others or ()], **reading.summarise(rows, second)}
        summary["agreement"] = reading.compare(rows, first, second)
    kept = reading.reviewed_rows(rows, first, second)
    summary["reviewed"] = len(kept)
    atomic.write_text(run / REVIEWED, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))
    atomic.write_json(run / SUMMARY, summary)
    print(_text(summary))
    print(_next(run, kept))


def _text(summary: Mapping[str, Any]) -> str:
    names = (*DECISIONS, reading.OPEN)
    table = [("", *names, "accepted"), ("all", *_counts(summary["decisions"], names))]
    table += [(label, *_counts(counts, names)) for label, counts in summary["by_label"].items()]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
        for row in table
    ]
    found = summary.get("agreement")
    if found:
        lines.append(
            f"two reviewers, {found['rows']} rows: raw agreement {_figure(found['raw'])}, Cohen's kappa {_figure(found['kappa'])}, "
            f"{len(found['disagreements'])} disagreements (in {SUMMARY})"
        )
    return "\n".join(lines)


def _counts(counts: Mapping[str, int], names: Sequence[str]) -> list[str]:
    decided = sum(counts[name] for name in DECISIONS)
    return [*(str(counts[name]) for name in names), f"{counts['accept'] / decided:.0%}" if decided else "–"]


def _figure(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "undefined (both gave one answer to all rows)"
    interval = "" if figure["low"] is None else f" [{figure['low']:.2f}, {figure['high']:.2f}]"
    return f"{figure['value']:.2f}{interval}"


def _next(run: Path, kept: Sequence[Mapping[str, Any]]) -> str:
    """What was written and how it is used; says when it was made of rows that jobs train on."""
    file = run.resolve() / REVIEWED
    if not kept:
        return f"{file}: no row was accepted, so there is no test set"
    lines = [f"{file}: {len(kept)} rows, a test set: data=jsonl data.test_files=[{file}]"]
    sides = {((row["meta_info"].get("provenance") or {}).get("split") or "train") for row in kept}
    if "train" in sides:
        lines.append(
            "note: these rows are of the train side; leave them out of the training of every model that is tested on them"
        )
    return "\n".join(lines)
