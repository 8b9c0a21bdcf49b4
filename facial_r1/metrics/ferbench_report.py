"""FERBench figures for people: as the released scripts print and write them, to the letter, and both modes side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1 import atomic
from facial_r1.data.ferbench import AUTHORS_NAMES, TOTAL, dataset_name
from facial_r1.metrics.ferbench import Figures, Result, Stopped, evaluate

if TYPE_CHECKING:
    from facial_r1.metrics.ferbench_run import FerbenchResult


def compat_report(records: Sequence[Result] | Mapping[str, Sequence[Result]], dataset: str) -> str:
    """What the dataset's own script (or, for "total", the pooled one) prints about these results.

    Raises:
        InputError: See `facial_r1.metrics.ferbench.evaluate`.
    """
    return format_report(evaluate(records, dataset))


def format_report(figures: Figures) -> str:
    """The printed form of compat figures; ends with a line break."""
    names, overall = figures.labels, figures.overall
    lines = [
        "",
        f"Total items: {figures.total}",
        f"Errors: {figures.errors}",
        f"Unknown predictions: {figures.unknown}",
        f"Valid predictions: {figures.counted}",
        "",
        "===== Overall Performance Metrics =====",
        f"Accuracy: {overall['accuracy']:.4f}",
        f"Precision (macro): {overall['precision']:.4f}",
        f"Recall (macro): {overall['recall']:.4f}",
        f"F1 Score (macro): {overall['f1']:.4f}",
        "",
        "===== Confusion Matrix =====",
        "True Label (Rows) vs Predicted Label (Columns)",
        " " * 10 + "".join(f"{name[:5]:>8}" for name in names),
        "-" * (10 + 8 * len(names)),
    ]
    for name, counts in zip(names, figures.confusion_matrix, strict=True):
        lines.append(f"{name[:10]:>10}" + "".join(f"{count:>8}" for count in counts))
    lines += ["", "===== Per-Class Performance Metrics =====", _columns("Class", "Precision", "Recall", "F1-Score", "Support")]
    for row in figures.per_class:
        values = [f"{row[key]:.4f}" for key in ("precision", "recall", "f1")]
        lines.append(_columns(row["emotion"], *values, f"{row['support']:.0f}"))
    lines += ["", "===== Classes Ranked by F1-Score =====", f"{'Rank':<5} {'Class':<12} {'F1-Score':<10}"]
    ranked = sorted(figures.per_class, key=lambda row: row["f1"], reverse=True)
    lines += [f"{place:<5} {row['emotion']:<12} {row['f1']:<10.4f}" for place, row in enumerate(ranked, start=1)]
    return "\n".join([*lines, "", "Per-class metrics saved to per_class_metrics.json", ""])


def write_metrics(path: Path, figures: Figures) -> None:
    """Write the three published keys as the authors' scripts do."""
    atomic.write_text(path, json.dumps(dict(figures), indent=2))


def write_results(path: Path, records: Sequence[Result]) -> None:
    """Write results as the authors' inference scripts do; a file that their evaluation scripts read."""
    atomic.write_text(path, json.dumps(list(records), indent=2))


def write_compat(folder: Path, results: Mapping[str, Sequence[Result]]) -> list[Path]:
    """Write ``<name>_results.json``, ``<name>_metrics.json`` and ``<name>.stdout.txt`` of each dataset, and of ``total``.

    Where the released script stops (without a countable result, or without a truth among the candidates) there is no metrics file, as
    with the scripts; ``total`` is written when all of `results` are the four datasets.

    Returns:
        The files.
    """
    written: list[Path] = []
    by_name = {dataset_name(name): rows for name, rows in results.items()}
    for name, rows in by_name.items():
        written.append(folder / f"{AUTHORS_NAMES[name]}_results.json")
        write_results(written[-1], rows)
        written += _write_figures(folder, AUTHORS_NAMES[name], name, rows)
    if by_name.keys() == AUTHORS_NAMES.keys():
        written += _write_figures(folder, TOTAL, TOTAL, by_name)
    return written


def _write_figures(folder: Path, title: str, name: str, rows: Any) -> list[Path]:
    try:
        figures = evaluate(rows, name)
    except Stopped:
        return []
    metrics, text = folder / f"{title}_metrics.json", folder / f"{title}.stdout.txt"
    write_metrics(metrics, figures)
    atomic.write_text(text, format_report(figures))
    return [metrics, text]


def describe(result: FerbenchResult) -> str:
    """The figures that a person wants first, both modes side by side, as a table in plain text."""
    head = [
        "set",
        "n",
        "compat accuracy",
        "strict accuracy",
        "strict UAR",
        "macro F1 c / s",
        "majority",
        "format",
        "fall-back",
        "unknown",
    ]
    lines = [head]
    for row in result.per_set:
        majority = result.baselines["majority"].get(f"ferbench/{row['set']}/strict/accuracy", {}).get("value")
        lines.append(
            [
                row["set"],
                str(row["n"]),
                _with_interval(row["compat"]["accuracy"]),
                _with_interval(row["strict"]["accuracy"]),
                _percent(row["strict"]["uar"]["value"]),
                f"{_percent(row['compat']['macro_f1']['value'])} / {_percent(row['strict']['macro_f1']['value'])}",
                _percent(majority),
                _percent(row.get("format_rate", {}).get("value")),
                _percent(row.get("fallback_rate", {}).get("value")),
                str(row.get("unknown_strict", "")),
            ]
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*table, *(f"note: {note}" for note in result.notes)])


def _with_interval(figure: Mapping[str, Any]) -> str:
    text = _percent(figure["value"])
    return text if figure["low"] is None else f"{text} [{_percent(figure['low'])}, {_percent(figure['high'])}]"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _columns(first: str, *others: str) -> str:
    return f"{first:<12} " + " ".join(f"{other:<10}" for other in others)
