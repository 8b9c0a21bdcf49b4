"""The FERBench leaderboard for the console, and as CSV, Markdown and LaTeX. Figures are percentages where people read them."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from facial_r1 import atomic
from facial_r1.data.ferbench import QUESTIONS
from facial_r1.metrics.ferbench_figures import MATRIX_FIGURES, MODES, POOLED, RATES
from facial_r1.report.leaderboard_board import FIGURES, Board
from facial_r1.report.leaderboard_models import SET_LABELS
from facial_r1.report.tables import escape_latex

READINGS: dict[str, str] = {"strict": "strict", "compat": "as the released scripts read (compat)"}
BELOW, ABOVE = "†", "‡"

CAPTION = (
    "95 % intervals from resampling pictures within each set. "
    f"{BELOW}: significantly below the best model by pooled accuracy, {ABOVE}: above it in this set (exact McNemar test on the same "
    "questions, Holm's correction over all models and sets of a reading, 5 %). Bold: the highest value of a column."
)
_COLUMNS = (
    "model",
    "set",
    "reading",
    "figure",
    "value",
    "low",
    "high",
    "n",
    "source",
    "compared_with",
    "difference",
    "difference_low",
    "difference_high",
    "right_here_only",
    "right_there_only",
    "p_mcnemar",
    "p_holm",
)


def percent(value: float | None, digits: int = 2) -> str:
    """ "68.84" for 0.6884; "–" without a value."""
    return "–" if value is None else f"{100 * value:.{digits}f}"


def interval(found: Mapping[str, float]) -> str:
    """ "[67.9, 69.7]", or "" without one."""
    return f"[{percent(found['low'], 1)}, {percent(found['high'], 1)}]" if {"low", "high"} <= set(found) else ""


def probability(p: float) -> str:
    """ "0.031", "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def mark(board: Board, model: str, dataset: str, mode: str) -> str:
    """† or ‡ for an accuracy that differs significantly from the best model's."""
    test = board.tests.get((model, dataset, mode))
    return "" if test is None or not test.significant else BELOW if test.difference < 0 else ABOVE


def highest(board: Board, metric: str) -> float | None:
    """The largest value of a metric among two tested models or more; published ones do not compete."""
    values = [found["value"] for model in board.models if "value" in (found := model.figure(metric))]
    return max(values) if len(values) > 1 else None


def to_csv(board: Board) -> str:
    """Long form, shares of 1 in full precision: one row a figure, with the comparison beside the accuracies."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    figures = [(mode, figure) for mode in MODES for figure in MATRIX_FIGURES]
    for model in board.models:
        for name in board.sets:
            for mode, figure in [*figures, *(("", rate) for rate in RATES)]:
                found = model.figure("/".join(part for part in ("ferbench", name, mode, figure) if part))
                if "value" not in found:
                    continue
                test = board.tests.get((model.name, name, mode)) if figure == "accuracy" else None
                beside = () if test is None else (
                    test.best, test.difference, test.low, test.high, test.gained, test.lost, test.p, test.p_holm,
                )  # fmt: skip
                writer.writerow([_cell(model.name), name, mode, figure, *_numbers(found), "evaluated", *map(_cell, beside)])
    for system in board.references:
        for metric, found in system["figures"].items():
            parts = metric.split("/")
            row = [parts[1], parts[2] if len(parts) == 4 else "", parts[-1], *_numbers(found)]
            writer.writerow([_cell(system["name"]), *row, f"published: {system['sources'][metric]}"])
    return buffer.getvalue()


def to_markdown(board: Board) -> str:
    """One table for each figure and reading, then the tests."""
    lines = ["# FERBench", "", f"In %. {CAPTION}"]
    for mode in ("strict", "compat"):
        for figure, title in FIGURES.items():
            lines += ["", f"## {title}, {READINGS[mode]}", ""]
            head, *rows = _grid(board, figure, mode, lambda text: f"**{text}**")
            lines += _pipes(head, "---", *("---:" for _ in head[1:])) + _pipes(*rows, several=True)
    for mode in ("strict", "compat"):
        if rows := _test_rows(board, mode):
            lines += ["", f"## Against {_md(board.best[mode])}, {READINGS[mode]}", ""]
            lines += _pipes(_TESTS, "---", "---", *("---:" for _ in _TESTS[2:])) + _pipes(*rows, several=True)
    if board.references:
        lines += ["", *(f"- {name}: {source}" for name, source in sources(board))]
    if board.notes:
        lines += ["", "Notes:", "", *(f"- {_md(note)}" for note in board.notes)]
    return "\n".join([*lines, ""])


def to_latex(board: Board) -> str:
    """A `tabular` with booktabs rules for each figure and reading; intervals in small print."""
    lines = [r"% \usepackage{booktabs}", f"% {CAPTION}"]
    for mode in ("strict", "compat"):
        for figure, title in FIGURES.items():
            head, *rows = _grid(board, figure, mode, lambda text: rf"\textbf{{{text}}}", _latex)
            lines += ["", f"% {title}, {READINGS[mode]}", rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", r"\toprule"]
            lines += [" & ".join(head) + r" \\", r"\midrule", *(" & ".join(row) + r" \\" for row in rows)]
            lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [f"% {name}: {source}" for name, source in sources(board)]
    return "\n".join([*lines, ""])


def sources(board: Board) -> list[tuple[str, str]]:
    """Published systems, each with the sources of its figures, and whether they may be compared with what is here."""
    asked, whole = sum(map(len, board.keys.values())), sum(QUESTIONS.values())
    other = "" if asked == whole else f". Not comparable: that was over {whole:,} questions, here are {asked:,}"
    return [(str(system["name"]), "; ".join(dict.fromkeys(system["sources"].values())) + other) for system in board.references]


def write_tables(board: Board, folder: Path, stem: str = "leaderboard") -> list[Path]:
    """Write `<stem>.csv`, `.md` and `.tex`; returns their paths."""
    paths = []
    for ending, form in {"csv": to_csv, "md": to_markdown, "tex": to_latex}.items():
        paths.append(folder / f"{stem}.{ending}")
        atomic.write_text(paths[-1], form(board))
    return paths


def console(board: Board, stream: IO[str] | None = None) -> None:
    """Print accuracies, strict and as published, and the tests of the pooled figure."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    target = stream or sys.stdout
    table = Table(
        title="FERBench: accuracy in %, strict / as published", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("Model")
    for name in board.sets:
        table.add_column(SET_LABELS[name], justify="right", no_wrap=True)
    for row in [*board.models, *board.references]:
        cells = []
        for name in board.sets:
            strict, compat = (_figure(row, f"ferbench/{name}/{mode}/accuracy") for mode in ("strict", "compat"))
            both = f"{percent(strict.get('value'))} / {percent(compat.get('value'))}"
            sign = mark(board, _name(row), name, "strict")
            shown = f"{both}{sign} \n{interval(strict)}" if interval(strict) and name == POOLED else f"{both}{sign}"
            best = strict.get("value") is not None and strict.get("value") == highest(board, f"ferbench/{name}/strict/accuracy")
            cells.append(Text(shown, style="bold" if best else ""))
        table.add_row(Text(_name(row) + ("" if row in board.models else " (published)")), *cells)
    shown_on = Console(file=target, width=None if target.isatty() else 160, highlight=False)
    shown_on.print(table)
    if board.tests:
        shown_on.print(
            Text(f"{BELOW} below, {ABOVE} above {board.best['strict']} (strict): exact McNemar test, Holm's correction, 5 %")
        )
    for name, source in sources(board):
        shown_on.print(Text(f"{name} (published): {source}"))
    for note in board.notes:
        shown_on.print(Text(f"note: {note}"))


# --- cells -------------------------------------------------------------------------------------------------------------

_TESTS = ("Model", "Set", "Questions", "Difference", "95 % interval", "Only here right", "Only there right", "p", "p (Holm)")


def compared(board: Board, mode: str) -> list[dict[str, Any]]:
    """The tests of a reading in the order of the table, as texts."""
    found = []
    for model in board.models:
        for name in board.sets:
            if test := board.tests.get((model.name, name, mode)):
                ends = interval({key: value for key, value in (("low", test.low), ("high", test.high)) if value is not None})
                sign = "−" if test.difference < 0 else "+"
                found.append(
                    {
                        "model": model.name,
                        "set": SET_LABELS[name],
                        "n": f"{test.n:,}",
                        "difference": f"{sign}{percent(abs(test.difference))}",
                        "interval": ends.replace("-", "−"),
                        "gained": f"{test.gained:,}",
                        "lost": f"{test.lost:,}",
                        "p": probability(test.p),
                        "p_holm": probability(test.p_holm),
                        "verdict": "" if not test.significant else "worse" if test.difference < 0 else "better",
                    }
                )
    return found


def _test_rows(board: Board, mode: str) -> list[list[str]]:
    keys = ("model", "set", "n", "difference", "interval", "gained", "lost", "p", "p_holm")
    return [[_md(row[key]) for key in keys] for row in compared(board, mode)]


def _grid(board: Board, figure: str, mode: str, bold: Any, escape: Any = None) -> list[list[str]]:
    """Head and rows of one table."""
    clean = escape or _md
    rows = [["Model", *(clean(SET_LABELS[name]) for name in board.sets)]]
    for row in [*board.models, *board.references]:
        tested = row in board.models
        cells = [clean(_name(row) + ("" if tested else " (published)"))]
        for name in board.sets:
            metric = f"ferbench/{name}/{mode}/{figure}"
            found = _figure(row, metric)
            value = clean(percent(found.get("value")))
            top = tested and found.get("value") is not None and found["value"] == highest(board, metric)
            text = bold(value) if top else value
            sign = mark(board, _name(row), name, mode) if figure == "accuracy" and tested else ""
            ends = interval(found)
            if escape is not None:
                text += {BELOW: r"$^{\dagger}$", ABOVE: r"$^{\ddagger}$", "": ""}[sign] + (
                    rf" {{\scriptsize {ends}}}" if ends else ""
                )
            else:
                text += sign + (f" {ends}" if ends else "")
            cells.append(text)
        rows.append(cells)
    return rows


def _pipes(*lines: Any, several: bool = False) -> list[str]:
    rows = lines if several else (lines[0], lines[1:])
    return ["| " + " | ".join(row) + " |" for row in rows]


def _figure(row: Any, metric: str) -> Mapping[str, float]:
    found: Mapping[str, float] = row["figures"].get(metric, {}) if isinstance(row, Mapping) else row.figure(metric)
    return found


def _name(row: Any) -> str:
    return str(row["name"] if isinstance(row, Mapping) else row.name)


def _numbers(found: Mapping[str, float]) -> list[str]:
    return [f"{found[key]:.10g}" if key in found else "" for key in ("value", "low", "high", "n")]


def _cell(value: Any) -> str:
    """A value for CSV; a text that a spreadsheet would take for a formula gets an apostrophe in front."""
    if isinstance(value, float):
        return f"{value:.10g}"
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") and isinstance(value, str) else text


def _md(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _latex(text: str) -> str:
    return escape_latex(text).replace("–", "--")
