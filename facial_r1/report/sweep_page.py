"""`sweep.html`: the jobs of a sweep in one page that loads nothing; columns sort, and each setting's own effect is summed up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facial_r1 import atomic
from facial_r1.report import document, svg
from facial_r1.report.sweep import SweepTable, cell
from facial_r1.report.wording import duration, is_number, metric_label, short


def write_page(table: SweepTable, folder: Path, *, title: str, command: str) -> Path:
    """Write `sweep.html` into the sweep's folder.

    Args:
        table: the jobs.
        folder: the sweep's directory; links to the jobs' reports are relative to it.
        title: the page's heading.
        command: what started the sweep, and continues it.
    """
    path = folder / "sweep.html"
    counts = table.counts()
    shown = table.shown
    text = document.render(
        "sweep.html.j2",
        {},
        styles=("report.css", "sweep.css"),
        scripts=("sweep.js",),
        title=title,
        command=command,
        counts=counts,
        done=counts.get("finished", 0) == len(table.rows),
        total=len(table.rows),
        settings=table.settings,
        metrics=[{"name": name, "label": metric_label(name), "target": name == table.target} for name in shown],
        rows=[_row(table, row, folder) for row in table.rows],
        best=_best(table),
        target=metric_label(table.target) if table.target else "",
        direction="higher" if table.direction == "maximize" else "lower",
        effects=_effects(table),
    )
    atomic.write_text(path, text)
    return path


def _row(table: SweepTable, row: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    cells = []
    for name in table.shown:
        found = table.figure(row, name)
        leading = "value" in found and found["value"] == table.leading[name]
        value, _, interval = cell(found).partition(" ")
        cells.append(
            {
                "value": value,
                "range": interval,
                "best": leading,
                "sort": _sortable(found.get("value")),
                "drawing": svg.whisker(found),
            }
        )
    run = Path(str(row.get("run", "")))
    report = run / "report.html"
    return {
        "settings": [
            {"text": str(value), "sort": _sortable(value)}
            for value in (row.get("settings", {}).get(key, "") for key in table.settings)
        ],
        "state": str(row.get("state", "")),
        "cells": cells,
        "time": duration(row.get("seconds")),
        "seconds": _sortable(row.get("seconds")),
        "run": run.relative_to(folder).as_posix() if run.is_relative_to(folder) else str(run),
        "report": report.relative_to(folder).as_posix() if report.is_file() and report.is_relative_to(folder) else "",
        "reason": str(row.get("reason") or ""),
        "command": str(row.get("command") or ""),
    }


def _sortable(value: Any) -> str:
    """What a column is sorted by: a number where it is one, as text."""
    if is_number(value):
        return repr(float(value))
    try:
        number = float(str(value))
    except ValueError:
        return str(value) if value is not None else ""
    return repr(number) if math.isfinite(number) else str(value)


def _best(table: SweepTable) -> dict[str, Any] | None:
    """The job with the best objective."""
    target = table.target
    value = table.leading[target] if target else None
    if target is None or value is None:
        return None
    row = next(row for row in table.rows if table.figure(row, target).get("value") == value)
    found = table.figure(row, target)
    return {"value": short(value), "range": cell(found).partition(" ")[2], "settings": list(row.get("settings", {}).items())}


def _effects(table: SweepTable) -> list[dict[str, Any]]:
    """For each setting with several values, where there are several settings: the objective over the jobs of each value."""
    target = table.target
    if target is None or len(table.settings) < 2:
        return []
    effects = []
    for key in table.settings:
        groups: dict[str, list[float]] = {}
        for row in table.rows:
            found = table.figure(row, target)
            if "value" in found:
                groups.setdefault(str(row.get("settings", {}).get(key, "")), []).append(found["value"])
        if len(groups) > 1 and max(map(len, groups.values())) > 1:
            effects.append({"key": key, "values": [_group(value, found) for value, found in groups.items()]})
    return effects


def _group(value: str, found: Sequence[float]) -> dict[str, str]:
    return {
        "value": value,
        "n": str(len(found)),
        "mean": short(math.fsum(found) / len(found)),
        "range": f"{short(min(found))} to {short(max(found))}" if len(found) > 1 else "",
    }
