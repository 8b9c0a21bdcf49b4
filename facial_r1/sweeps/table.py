"""The end of a sweep: rows from run directories, then `sweep.csv`, `sweep.html` and the table on the console."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1.config.suggest import did_you_mean
from facial_r1.report.sweep import SweepTable, sweep_table
from facial_r1.report.sweep_page import write_page
from facial_r1.sweeps.expand import override
from facial_r1.sweeps.journal import Outlook
from facial_r1.sweeps.snapshot import Job

if TYPE_CHECKING:
    from facial_r1.sweeps.request import Request


def write(asked: Request, folder: Path, jobs: Sequence[Job], looks: Mapping[str, Outlook], notes: Mapping[str, str]) -> None:
    """Write and print the table of a sweep.

    Args:
        asked: the sweep.
        folder: of the sweep.
        jobs: in the order of the table.
        looks: job -> where it stands.
        notes: job -> what else to say about it.
    """
    rows = [row(asked, job, looks[job.name], notes.get(job.name, "")) for job in jobs]
    table = SweepTable(rows, asked.settings.objective, asked.settings.direction)
    sweep_table(rows, folder, objective=table.objective, direction=table.direction)
    known = table.metrics
    if asked.settings.objective and known and asked.settings.objective not in known:
        hint = did_you_mean(asked.settings.objective, known)
        print(f"facial_r1: sweep.objective={asked.settings.objective}: no job has that metric; {hint}", file=sys.stderr)
    try:
        page = write_page(table, folder, title=f"Sweep {folder.name}", command=asked.whole())
        print(f"page: {page}", file=sys.stderr, flush=True)
    except Exception as error:  # a page that cannot be built fails no finished sweep
        (folder / "sweep.html.error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        print(f"facial_r1: sweep.html could not be built ({type(error).__name__}: {error})", file=sys.stderr)


def row(asked: Request, job: Job, look: Outlook, note: str) -> dict[str, Any]:
    """One job as `report.sweep.SweepTable` takes it."""
    summary = look.run.read_summary() if look.state == "finished" else {}
    seconds = summary.get("seconds")
    return {
        "settings": settings(job.point),
        "state": look.state,
        "metrics": metrics_of(summary),
        "seconds": look.seconds if seconds is None else seconds,
        "run": str(look.run.path),
        "reason": "; ".join(part for part in (look.reason, note) if part),
        "command": asked.command(*job.point, override("run_dir", str(look.run.path))),
    }


def settings(point: Sequence[str]) -> dict[str, str]:
    """The settings of a point: key -> value as text.

    >>> settings(["stage.beta=0.1", "+data.extra=x=1"])
    {'stage.beta': '0.1', 'data.extra': 'x=1'}
    """
    return dict(item.lstrip("+").split("=", 1) for item in point if "=" in item)


def metrics_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of a run; of a pipeline those of its last model."""
    if summary.get("metrics"):
        return dict(summary["metrics"])
    models = list((summary.get("models") or {}).values())
    return dict(models[-1].get("metrics", {})) if models else {}
