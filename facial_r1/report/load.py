"""Reads a run directory, whatever part of it exists: a report of a failed run is the one that is needed most."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from facial_r1.errors import InputError
from facial_r1.report.wording import stage_label
from facial_r1.tracking.jsonl import read_metrics
from facial_r1.tracking.redaction import redact, redact_text

T = TypeVar("T")

_CHILD = re.compile(r"^\d+_")
_ROLLOUT = re.compile(r"step_(\d+)\.parquet$")


@dataclass(slots=True)
class Confusion:
    """Counts: row i is the truth `rows[i]`, column j the answer `columns[j]` (the last may be "unparsed")."""

    rows: list[str]
    columns: list[str]
    counts: list[list[int]]


@dataclass(slots=True)
class Synthesis:
    """What quality control kept and refused.

    `reasons` counts each reason over refused rows; `tests` has the rows that pass each test, at the end ("written") and at the
    first try ("first"); `decided_by` names the test that decided.
    """

    accepted: int
    rejected: int
    reasons: dict[str, int]
    attempts: dict[str, int]
    accepted_examples: list[dict[str, Any]]
    rejected_examples: list[dict[str, Any]]
    tests: dict[str, dict[str, int]] = field(default_factory=dict)
    decided_by: str = ""


@dataclass(slots=True)
class Run:
    """The contents of one run directory; `notes` lists what could not be read."""

    path: Path
    name: str
    status: dict[str, Any] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    rollouts: dict[int, Path] = field(default_factory=dict)
    confusion: Confusion | None = None
    synthesis: Synthesis | None = None
    alerts: list[dict[str, Any]] = field(default_factory=list)
    children: list[Run] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def stage(self) -> str:
        """The stage that wrote this directory, "run" when nothing says."""
        return str(self.status.get("stage") or self.summary.get("stage") or "run")

    def image_path(self, image: Any) -> Path | None:
        """Absolute path of an image as `samples.jsonl` and rollouts give it; None when there is none."""
        if isinstance(image, (list, tuple)):
            image = image[0] if image else None
        if not isinstance(image, str) or not image:
            return None
        return self.path / image  # an absolute path stays what it is


def load_run(path: Path | str) -> Run:
    """Read a run directory and, for a pipeline, its sub-runs.

    Raises:
        InputError: there is no such directory, or nothing in it that a run writes.
    """
    folder = Path(path).resolve()
    if not folder.is_dir():
        raise InputError(f"{path} is no run directory: give the folder named in the last line of a finished job")
    run = _read(folder)
    run.children = [_read(child) for child in sorted(folder.iterdir()) if child.is_dir() and _CHILD.match(child.name)]
    if not (run.status or run.summary or run.metrics or run.samples or run.children):
        raise InputError(f"{path} has no status.json, metrics.jsonl, summary.json or samples.jsonl: it is no run directory")
    for child in run.children:
        run.notes += [f"{child.path.name}: {note}" for note in child.notes]
    return run


def sub_runs(run: Run) -> list[tuple[Run, str, str]]:
    """A run and its sub-runs with the name of the model each evaluates, and the label of what it did.

    In a pipeline the fine-tuning that follows a synthesis makes the model "synthesis" (or "synthesis2", ...): that
    is the model the written data lead to.
    """
    found = [(run, run.stage if run.stage != "eval" else run.name, stage_label(run.stage))]
    written = ""
    for child in run.children:
        name = re.sub(r"^eval_|_eval$", "", child.name)
        if child.stage == "synthesis":
            written = name
            found.append((child, "", stage_label(name)))
        elif written and child.stage == "sft":
            found.append((child, written, stage_label("re" + name)))
            written = ""
        else:
            found.append((child, name, stage_label(name)))
    return found


def models_of(run: Run) -> dict[str, Run]:
    """Model name -> the run that evaluated it. A single run is its own and only model."""
    parts = sub_runs(run)[1:] or sub_runs(run)
    found = {model: child for child, model, _ in parts if model and (child.samples or child.summary.get("metrics"))}
    named = run.summary.get("models")
    return {name: found[name] for name in named if name in found} if named else found


def read_rollouts(path: Path) -> list[dict[str, Any]]:
    """The rows of one rollout file as plain dictionaries."""
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path).to_pylist()


def _read(folder: Path) -> Run:
    run = Run(folder, _CHILD.sub("", folder.name))

    def attempt(name: str, reader: Callable[[Path], T], empty: T) -> T:
        file = folder / name
        if not file.exists():
            return empty
        try:
            return reader(file)
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            run.notes.append(f"{name} could not be read: {error}")
            return empty

    run.status = attempt("status.json", _read_object, {})
    run.resolved = attempt("resolved.yaml", _read_yaml, {})
    run.metrics = attempt("metrics.jsonl", read_metrics, [])
    run.summary = attempt("summary.json", _read_object, {})
    run.samples = attempt("samples.jsonl", lambda file: list(_lines(file, run.notes)), [])
    run.alerts = attempt("alerts.jsonl", lambda file: list(_lines(file, run.notes)), [])
    run.confusion = attempt("confusion.csv", _read_confusion, None)
    files = (folder / "rollouts").glob("step_*.parquet") if (folder / "rollouts").is_dir() else ()
    run.rollouts = {int(match[1]): file for file in sorted(files) if (match := _ROLLOUT.search(file.name))}
    if (folder / "accepted.jsonl").exists() or (folder / "rejected.jsonl").exists() or (folder / "yield.json").exists():
        run.synthesis = _read_synthesis(folder, attempt("yield.json", _read_object, {}), run.notes)
    return run


def _read_object(file: Path) -> dict[str, Any]:
    value = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _read_yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(redact_text(str(error))) from error
    if not isinstance(value, dict):
        raise ValueError("not a mapping")
    return redact(value)


def _lines(file: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """Objects of a JSONL file; broken lines are left out and noted."""
    broken = []
    with open(file, encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if isinstance(value, dict):
                yield value
            else:
                broken.append(number)
    if broken:
        notes.append(f"{file.name}: {len(broken)} broken line(s) left out, the first is line {broken[0]}")


def _read_confusion(file: Path) -> Confusion | None:
    with open(file, encoding="utf-8", newline="") as stream:
        table = [row for row in csv.reader(stream) if row]
    if len(table) < 2:
        return None
    columns = table[0][1:]
    counts = [[int(float(cell or 0)) for cell in row[1:]] for row in table[1:]]
    if any(len(row) != len(columns) for row in counts):
        raise ValueError("rows of different length")
    return Confusion([row[0] for row in table[1:]], columns, counts)


def _read_synthesis(folder: Path, totals: dict[str, Any], notes: list[str]) -> Synthesis:
    kept = list(_lines(folder / "accepted.jsonl", notes)) if (folder / "accepted.jsonl").exists() else []
    refused = list(_lines(folder / "rejected.jsonl", notes)) if (folder / "rejected.jsonl").exists() else []
    counted = Counter(reason for row in refused for reason in reasons_of(row))
    reasons = totals.get("reasons") or totals.get("rejected_by_reason") or counted
    return Synthesis(
        accepted=_count(totals.get("accepted"), len(kept)),
        rejected=_count(totals.get("rejected"), len(refused)),
        reasons={str(name): _count(value, 0) for name, value in dict(reasons).items()},
        attempts={str(name): _count(value, 0) for name, value in (totals.get("by_attempt") or {}).items()},
        accepted_examples=kept[:6],
        rejected_examples=_one_of_each_reason(refused),
        tests={
            str(name): {key: _count(counts.get(key), 0) for key in ("written", "first")}
            for name, counts in (totals.get("tests") or {}).items()
        },
        decided_by=str(totals.get("decided_by") or ""),
    )


def reasons_of(row: dict[str, Any]) -> list[str]:
    """Why a row was refused, as short names: its failed checks, else its reasons up to a colon."""
    if row.get("checks_failed"):
        return [str(name) for name in row["checks_failed"]]
    reasons = row.get("reasons") or row.get("reason") or row.get("meta_info", {}).get("reasons") or []
    listed = [reasons] if isinstance(reasons, str) else list(reasons)
    return list(dict.fromkeys(str(reason).split(":", 1)[0].strip() for reason in listed)) or ["unnamed"]


def _one_of_each_reason(rows: list[dict[str, Any]], per_reason: int = 2, limit: int = 24) -> list[dict[str, Any]]:
    seen: Counter[str] = Counter()
    chosen = []
    for row in rows:
        names = reasons_of(row)
        if any(seen[name] < per_reason for name in names):
            seen.update(names)
            chosen.append(row)
    return chosen[:limit]


def _count(value: Any, otherwise: int) -> int:
    if isinstance(value, dict):
        value = value.get("count", value.get("n"))
    if isinstance(value, list):
        return len(value)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise
