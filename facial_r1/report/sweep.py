"""The table that closes a sweep: for the console and as CSV. `sweep_page` makes a page of the same rows."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from facial_r1 import atomic
from facial_r1.report.wording import duration, figure, in_order, is_better, is_number, metric_label, short

SHOWN = ("reward/mean", "emotion/accuracy", "emotion/uar", "au/macro_f1", "format/valid")
"""What a table for people shows besides the objective; the CSV has every metric."""
COLOURS = {"finished": "green", "failed": "red", "refused": "red", "not run": "dim"}


@dataclass(frozen=True)
class SweepTable:
    """The jobs of a sweep.

    Attributes:
        rows: one mapping a job: settings {key: value}, state, metrics (as in `summary.json`), seconds, run, reason, command.
        objective: the metric that decides which job is best; None takes the first of `SHOWN` that a job has.
        direction: maximize or minimize.
    """

    rows: Sequence[Mapping[str, Any]]
    objective: str | None = None
    direction: str = "maximize"

    @cached_property
    def settings(self) -> list[str]:
        """The keys that tell the jobs from each other, in the order of the command."""
        return list(dict.fromkeys(key for row in self.rows for key in row.get("settings", {})))

    @cached_property
    def metrics(self) -> list[str]:
        """All metrics that a job has."""
        return in_order(name for row in self.rows for name in row.get("metrics", {}))

    @cached_property
    def target(self) -> str | None:
        """The objective: what was asked for, else the first usual metric that there is."""
        return self.objective or next((name for name in SHOWN if name in self.metrics), None)

    @cached_property
    def shown(self) -> list[str]:
        """The metrics of a table for people, the objective first."""
        known = set(self.metrics)
        first = [self.target] if self.target else []
        return [*first, *(name for name in SHOWN if name in known and name != self.target)]

    def figure(self, row: Mapping[str, Any], name: str) -> dict[str, float]:
        """A metric of a job: value, low, high, n, as far as known."""
        return figure(row.get("metrics", {}).get(name))

    @cached_property
    def leading(self) -> dict[str, float | None]:
        """The best value of each metric that is shown; None with fewer than two jobs that have it."""
        return {name: self.best(name) for name in self.shown}

    def best(self, name: str) -> float | None:
        """The best value of a metric; None with fewer than two jobs that have it."""
        values = [found["value"] for row in self.rows if "value" in (found := self.figure(row, name))]
        if len(values) < 2:
            return None
        upward = self.direction == "maximize" if name == self.target else is_better(name, 1.0)
        return max(values) if upward else min(values)

    def counts(self) -> dict[str, int]:
        """State -> number of jobs, the states in the order in which they first occur."""
        found: dict[str, int] = {}
        for row in self.rows:
            found[str(row.get("state", ""))] = found.get(str(row.get("state", "")), 0) + 1
        return found


def sweep_table(
    rows: Sequence[Mapping[str, Any]],
    folder: Path | str,
    stream: IO[str] | None = None,
    *,
    objective: str | None = None,
    direction: str = "maximize",
) -> Path:
    """Close a sweep: print one line a job, and write everything to `sweep.csv`.

    Args:
        rows: see `SweepTable`.
        folder: the sweep's directory.
        stream: where to print; standard error by default.
        objective: see `SweepTable`.
        direction: see `SweepTable`.

    Returns:
        The path of the CSV: settings, state, every metric with its bounds, seconds, run directory, reason, command.
    """
    table = SweepTable(rows, objective, direction)
    path = Path(folder) / "sweep.csv"
    atomic.write_text(path, to_csv(table))
    _print(table, path, stream or sys.stderr)
    return path


def to_csv(table: SweepTable) -> str:
    """One row a job; numbers in full precision."""
    bounds = [(name, key) for name in table.metrics for key in ("value", "low", "high")]
    known = {(name, key) for row in table.rows for name in row.get("metrics", {}) for key in table.figure(row, name)}
    bounds = [pair for pair in bounds if pair in known]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    heads = [name if key == "value" else f"{name}_{key}" for name, key in bounds]
    writer.writerow([*table.settings, "state", *heads, "seconds", "run", "reason", "command"])
    for row in table.rows:
        found = {name: table.figure(row, name) for name in row.get("metrics", {})}
        seconds = row.get("seconds")
        writer.writerow(
            [
                *(row.get("settings", {}).get(key, "") for key in table.settings),
                row.get("state", ""),
                *(f"{found[name][key]:.10g}" if key in found.get(name, {}) else "" for name, key in bounds),
                f"{seconds:.1f}" if is_number(seconds) else "",
                row.get("run", ""),
                row.get("reason", ""),
                row.get("command", ""),
            ]
        )
    return buffer.getvalue()


def cell(found: Mapping[str, float]) -> str:
    """ "0.853 [0.820, 0.885]", or "–"."""
    interval = f" [{short(found['low'])}, {short(found['high'])}]" if {"low", "high"} <= set(found) else ""
    return short(found.get("value")) + interval


def _print(table: SweepTable, path: Path, stream: IO[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    folder = path.parent
    drawn = Table(title=f"{len(table.rows)} jobs in {folder}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for key in table.settings:
        drawn.add_column(Text(key), justify="right")
    drawn.add_column("state", no_wrap=True)
    for name in table.shown:
        drawn.add_column(metric_label(name), justify="right")
    drawn.add_column("time", justify="right", no_wrap=True)
    drawn.add_column("run", overflow="fold")
    for row in table.rows:
        cells = []
        for name in table.shown:
            found = table.figure(row, name)
            leading = "value" in found and found["value"] == table.leading[name]
            cells.append(Text(cell(found), style="bold" if leading else ""))
        state = str(row.get("state", ""))
        run = Path(str(row.get("run", "")))
        place = str(run.relative_to(folder)) if run.is_relative_to(folder) else str(run)
        told = place + (f"\n{row['reason']}" if row.get("reason") else "")
        drawn.add_row(
            *(Text(str(row.get("settings", {}).get(key, ""))) for key in table.settings),
            Text(state, style=COLOURS.get(state, "yellow")),
            *cells,
            Text(duration(row.get("seconds"))),
            Text(told),
        )
    console = Console(file=stream, width=None if stream.isatty() else 200, highlight=False)
    console.print(drawn)
    for row in table.rows:
        if row.get("state") != "finished" and row.get("command"):
            console.print(Text(f"{row.get('state')}: {row['command']}"), soft_wrap=True)
    console.print(Text(f"table: {path}"), soft_wrap=True)
