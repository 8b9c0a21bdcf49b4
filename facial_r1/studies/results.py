"""The figures of a study's runs: one row for each run, model and metric, in `results.csv`."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from facial_r1 import atomic
from facial_r1.config.resolved import load_resolved
from facial_r1.errors import InputError
from facial_r1.runs import RunDirectory
from facial_r1.studies.study import Panel, Study
from facial_r1.sweeps.expand import slug

FILE = "results.csv"
START = "start"
_COLUMNS = ("point", "seed", "model", "metric", "value", "low", "high", "n", "seconds")


@dataclass(frozen=True)
class Row:
    """One figure of one run.

    Attributes:
        point: name of the setting; "start" for the run that all jobs start from.
        seed: of the run; None for the start.
        model: of a pipeline's models ("sft", "grpo"), "" otherwise.
        metric: name as in summary.json; "training: <name>" for one of metrics.jsonl.
        value, low, high, n: the figure with its 95 % interval over the test rows and their number.
        seconds: duration of the whole run.
    """

    point: str
    seed: int | None
    model: str
    metric: str
    value: float
    low: float | None
    high: float | None
    n: int
    seconds: float | None


@dataclass(frozen=True)
class Spread:
    """A point's mean over seeds with its 95 % interval (Student's t over the seeds; with one seed, the run's own over test rows)."""

    mean: float
    low: float | None
    high: float | None
    values: tuple[float, ...]


# Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
      2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)  # fmt: skip


def spread(values: Sequence[float]) -> Spread:
    """Mean and interval over seeds.

    >>> spread([1.0, 2.0, 3.0]).mean
    2.0
    """
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return Spread(mean, None, None, tuple(values))
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    half = (_T[len(values) - 2] if len(values) - 2 < len(_T) else 1.96) * deviation / math.sqrt(len(values))
    return Spread(mean, mean - half, mean + half, tuple(values))


def collect(study: Study, runs: Path) -> tuple[list[Row], list[str]]:
    """Read the finished runs of a study.

    Args:
        study: the study.
        runs: the folder of its sweep: `<output_root>/sweeps/<name>`.

    Returns:
        rows, and a line about each job that has no figures yet.

    Raises:
        InputError: a run is finished and lacks a metric that the figure shows.
    """
    rows: list[Row] = []
    missing: list[str] = []
    for point, seed, overrides in study.jobs():
        run = _run(runs, overrides, seed)
        if run.state() != "finished":
            missing.append(f"{point.name}, seed {seed}: {run.state() or 'not started'}")
            continue
        parent = run.status().get("parent")
        if study.start is not None and parent and not rows:
            rows += _rows(study, RunDirectory(Path(parent)), START, None, optional=True)
        rows += _rows(study, run, point.name, seed)
    return rows, missing


def _run(runs: Path, overrides: Sequence[str], seed: int) -> RunDirectory:
    """The run directory of a job: a sweep leaves out of its folders' names what all of its jobs share, the seed or the setting."""
    run = RunDirectory(runs / slug(overrides))
    if run.path.is_dir():
        return run
    for shorter in (overrides[:-1], overrides[-1:]):
        one = RunDirectory(runs / slug(shorter))
        if one.resolved.is_file() and _has(load_resolved(one.resolved), [*overrides[:-1], f"seed={seed}"]):
            return one
    return run


def _has(settings: Mapping[str, Any], overrides: Sequence[str]) -> bool:
    """Whether resolved settings are those of these overrides."""
    for item in overrides:
        key, _, value = item.lstrip("+~").partition("=")
        found: Any = settings
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping):  # a choice of a group: its name stands inside
            found = found.get("name")
        if found != yaml.safe_load(value):
            return False
    return True


def _rows(study: Study, run: RunDirectory, point: str, seed: int | None, optional: bool = False) -> list[Row]:
    summary = run.read_summary()
    rows = []
    for panel in study.figure.panels:
        if optional and panel.training:  # the start learns by other steps
            continue
        for model in [""] if optional else panel.models or [""]:
            figure = _in_training(run, panel.metric) if panel.training else _in_summary(run, summary, model, panel)
            if figure is None and optional:
                continue
            if figure is None:
                raise InputError(
                    f"{run.path}: no metric {panel.key} in its {'metrics.jsonl' if panel.training else 'summary.json'}"
                    + (f"; the study's settings need stage.by: [{panel.group.split('=')[0]}]" if panel.group else "")
                )
            row = Row(point, seed, model, panel.key, figure["value"], figure.get("low"), figure.get("high"), figure["n"],
                      summary.get("seconds"))  # fmt: skip
            if row not in rows:
                rows.append(row)
    return rows


def _in_summary(run: RunDirectory, summary: Mapping[str, Any], model: str, panel: Panel) -> dict[str, Any] | None:
    block = summary.get("models", {}).get(model) if model else summary
    if block is None:
        raise InputError(f"{run.path}: no model '{model}' in its summary.json, which has {', '.join(summary.get('models', {}))}")
    if panel.group is not None:
        field, value = panel.group.split("=", 1)
        groups: Mapping[str, Any] = next((by["groups"] for by in block.get("by", []) if by["field"] == field), {})
        block = groups.get(value, {})
    figure = block.get("metrics", {}).get(panel.metric)
    return figure if figure is not None and figure.get("value") is not None else None


def _in_training(run: RunDirectory, metric: str) -> dict[str, Any] | None:
    """The mean over the last quarter of the steps; n is their number."""
    if not run.metrics.is_file():
        return None
    lines = [json.loads(line) for line in run.metrics.read_text(encoding="utf-8").splitlines()]
    values = [line[metric] for line in lines if line.get(metric) is not None]
    last = values[-max(1, len(values) // 4) :]
    return {"value": math.fsum(last) / len(last), "n": len(last)} if last else None


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write rows; figures with six digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        cells: list[Any] = [getattr(row, name) for name in _COLUMNS]
        writer.writerow(["" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells])
    atomic.write_text(path, text.getvalue())


def read_csv(path: Path) -> list[Row]:
    """Read what `write_csv` wrote.

    Raises:
        InputError: the file is another one; names the line.
    """
    rows = []
    with open(path, newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != _COLUMNS:
            raise InputError(f"{path}:1: the columns {', '.join(_COLUMNS)} are expected; facial-r1 figure writes them")
        for number, cells in enumerate(reader, start=2):
            try:
                rows.append(_row(cells))
            except (TypeError, ValueError):
                raise InputError(f"{path}:{number}: not a row of results; rebuild the file from the runs") from None
    return rows


def _row(cells: Mapping[str, str]) -> Row:
    low, high, seconds = (float(cells[name]) if cells[name] else None for name in ("low", "high", "seconds"))
    seed = int(cells["seed"]) if cells["seed"] else None
    return Row(cells["point"], seed, cells["model"], cells["metric"], float(cells["value"]), low, high, int(cells["n"]), seconds)


def over_seeds(rows: Sequence[Row], point: str, panel: Panel, model: str) -> Spread | None:
    """A point's spread in a panel; None where nothing was run."""
    found = [row for row in rows if (row.point, row.metric, row.model) == (point, panel.key, model) and row.seed is not None]
    if len(found) == 1:
        return Spread(found[0].value, found[0].low, found[0].high, (found[0].value,))
    return spread([row.value for row in found]) if found else None


def markdown(study: Study, rows: Sequence[Row]) -> str:
    """The study as a Markdown table: mean over seeds with its interval, each panel a column."""
    columns = [(panel, model) for panel in study.figure.panels for model in panel.models or [""]]
    names = [(panel.label or panel.metric) + (f", {model}" if model else "") for panel, model in columns]
    lines = ["| | seeds | " + " | ".join(names) + " |", "|---" * (len(columns) + 2) + "|"]
    begin = [_start_cell(rows, panel) for panel, _ in columns]
    if any(begin):
        lines.append("| start | | " + " | ".join(begin) + " |")
    for point in study.compared():
        found = [over_seeds(rows, point.name, panel, model) for panel, model in columns]
        seeds = len({row.seed for row in rows if row.point == point.name})
        lines.append(
            f"| {point.name} | {seeds} | "
            + " | ".join(_cell(one, panel) for one, (panel, _) in zip(found, columns, strict=True))
            + " |"
        )
    return "\n".join(lines) + "\n"


def _cell(found: Spread | None, panel: Panel) -> str:
    if found is None:
        return "-"
    return _figure(found.mean, found.low, found.high, panel)


def _start_cell(rows: Sequence[Row], panel: Panel) -> str:
    found = [row for row in rows if row.point == START and row.metric == panel.key]
    return _figure(found[0].value, found[0].low, found[0].high, panel) + " (over rows)" if found else ""


def _figure(value: float, low: float | None, high: float | None, panel: Panel) -> str:
    scale, digits = (100, 1) if panel.percent else (1, 3)
    text = f"{value * scale:.{digits}f}"
    return text if low is None or high is None else f"{text} [{low * scale:.{digits}f}, {high * scale:.{digits}f}]"
