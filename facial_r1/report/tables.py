"""Tables of metrics with intervals: for the console, and as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from facial_r1 import atomic
from facial_r1.report.wording import figure, in_order, is_better, is_detail, metric_label, model_label, short

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{mark: "\\" + mark for mark in "&%$#_{}"},
}


@dataclass(frozen=True, slots=True)
class MetricTable:
    """Metrics in rows, models (or runs) in columns.

    Attributes:
        models: column names.
        metrics: row names, in display order.
        figures: (metric, model) -> value, low, high, n, clusters, as far as known.
    """

    models: tuple[str, ...]
    metrics: tuple[str, ...]
    figures: Mapping[tuple[str, str], Mapping[str, float]]

    @classmethod
    def of(cls, summaries: Mapping[str, Mapping[str, Any]], details: bool = False) -> MetricTable:
        """From model name -> `summary.json`, or from one pipeline summary given as `{"": summary}`.

        Args:
            summaries: the summaries; failure rates become rows `failures/<name>`.
            details: also the rows of single emotions and action units, and variants of other metrics.
        """
        blocks: dict[str, Mapping[str, Any]] = {}
        for name, summary in summaries.items():
            if summary.get("models"):
                blocks.update({f"{name}/{model}" if name else model: block for model, block in summary["models"].items()})
            else:
                blocks[name] = summary
        figures: dict[tuple[str, str], Mapping[str, float]] = {}
        for model, block in blocks.items():
            for metric, value in block.get("metrics", {}).items():
                if details or not is_detail(metric):
                    figures[metric, model] = figure(value)
            for failure, value in (block.get("failures") or {}).items():
                rate = value.get("rate", value.get("value")) if isinstance(value, Mapping) else value
                if isinstance(rate, int) and block.get("rows"):
                    rate = rate / block["rows"]
                figures[f"failures/{failure}", model] = figure(rate)
        known = {key: value for key, value in figures.items() if "value" in value}
        return cls(tuple(blocks), tuple(in_order(metric for metric, _ in known)), known)

    def best(self, metric: str) -> str | None:
        """The model with the best value of a metric; None when there are fewer than two."""
        values = [(self.figures[metric, model]["value"], model) for model in self.models if (metric, model) in self.figures]
        if len(values) < 2:
            return None
        return (max if is_better(metric, 1.0) else min)(values, key=lambda pair: pair[0])[1]

    def cell(self, metric: str, model: str) -> str:
        """ "0.853 [0.820, 0.885]", or "–"."""
        value = self.figures.get((metric, model), {})
        if "value" not in value:
            return "–"
        interval = f" [{short(value['low'])}, {short(value['high'])}]" if {"low", "high"} <= set(value) else ""
        return short(value["value"]) + interval


def to_csv(table: MetricTable) -> str:
    """Long form, one row a figure: metric, model, value, low, high, n, clusters; full precision."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    fields = ("value", "low", "high", "n", "clusters")
    writer.writerow(["metric", "model", *fields])
    for metric in table.metrics:
        for model in table.models:
            if value := table.figures.get((metric, model)):
                writer.writerow([metric, model, *(f"{value[name]:.10g}" if name in value else "" for name in fields)])
    return buffer.getvalue()


def to_markdown(table: MetricTable) -> str:
    """A Markdown table; the best value of a row is bold."""
    lines = [["Metric", *(model_label(model) for model in table.models)], ["---", *("---:" for _ in table.models)]]
    for metric in table.metrics:
        best = table.best(metric)
        cells = [f"**{table.cell(metric, model)}**" if model == best else table.cell(metric, model) for model in table.models]
        lines.append([metric_label(metric), *cells])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def to_latex(table: MetricTable) -> str:
    """A `tabular` with booktabs rules; intervals in small print below the value, the best value bold."""
    lines = [
        r"% \usepackage{booktabs}",
        rf"\begin{{tabular}}{{l{'r' * len(table.models)}}}",
        r"\toprule",
        " & ".join(["Metric", *(escape_latex(model_label(model)) for model in table.models)]) + r" \\",
        r"\midrule",
    ]
    for metric in table.metrics:
        best = table.best(metric)
        cells = []
        for model in table.models:
            value, _, interval = table.cell(metric, model).partition(" ")
            shown = rf"\textbf{{{escape_latex(value)}}}" if model == best else escape_latex(value).replace("–", "--")
            cells.append(shown + (rf" {{\scriptsize {escape_latex(interval)}}}" if interval else ""))
        lines.append(" & ".join([escape_latex(metric_label(metric)), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def console(table: MetricTable, title: str = "", stream: IO[str] | None = None) -> None:
    """Print the table; to standard error unless told otherwise, where logs belong."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    target = stream or sys.stderr
    drawn = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("Metric", no_wrap=True)
    for model in table.models:
        drawn.add_column(model_label(model) or "Value", justify="right")
    for metric in table.metrics:
        best = table.best(metric)
        cells = [Text(table.cell(metric, model), style="bold" if model == best else "") for model in table.models]
        drawn.add_row(Text(metric_label(metric)), *cells)
    Console(file=target, width=None if target.isatty() else 160, highlight=False).print(drawn)


def pipeline_table(summary: Mapping[str, Any]) -> str:
    """The models of a pipeline's `summary.json` as plain aligned text: each metric with its interval, failures below."""
    table = MetricTable.of({"": summary})
    rows = [["", *(model_label(model) for model in table.models)]]
    rows += [[metric_label(metric), *(table.cell(metric, model) for model in table.models)] for metric in table.metrics]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:], ""])


def write_tables(table: MetricTable, folder: Path | str, stem: str = "metrics") -> list[Path]:
    """Write `<stem>.csv`, `.md` and `.tex`; returns their paths."""
    forms = {"csv": to_csv, "md": to_markdown, "tex": to_latex}
    paths = []
    for ending, form in forms.items():
        path = Path(folder) / f"{stem}.{ending}"
        atomic.write_text(path, form(table))
        paths.append(path)
    return paths


def leaderboard(run_dirs: Sequence[Path | str], by: str = "emotion/accuracy") -> MetricTable:
    """The evaluated runs as columns, the best one first.

    A pipeline gives one column per model. Runs without the metric come last. Runs of the same name are told apart by
    the folder they lie in.
    """
    from facial_r1.report.load import load_run

    paths = [Path(folder).resolve() for folder in run_dirs]
    twice = {path.name for path in paths if sum(other.name == path.name for other in paths) > 1}
    loaded = {f"{path.parent.name}/{path.name}" if path.name in twice else path.name: load_run(path).summary for path in paths}
    table = MetricTable.of({name: summary for name, summary in loaded.items() if summary.get("metrics") or summary.get("models")})
    worst = float("-inf")
    sign = 1.0 if is_better(by, 1.0) else -1.0

    def rank(model: str) -> float:
        return sign * table.figures[by, model]["value"] if (by, model) in table.figures else worst

    return MetricTable(tuple(sorted(table.models, key=rank, reverse=True)), table.metrics, table.figures)


def escape_latex(text: str) -> str:
    """The text with LaTeX's own characters written so that they are printed."""
    return "".join(_LATEX.get(character, character) for character in text)
