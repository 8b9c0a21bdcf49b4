"""A comparison for the console, and as CSV, Markdown, LaTeX and JSON. Every difference is B - A."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from facial_r1 import atomic
from facial_r1.report.compare_scores import Comparison, Line
from facial_r1.report.compare_single import Contest
from facial_r1.report.leaderboard_tables import probability
from facial_r1.report.tables import escape_latex
from facial_r1.report.wording import is_detail, metric_label, short, signed

_COLUMNS = ("metric", "dataset", "a", "a_low", "a_high", "b", "b_low", "b_high", "difference", "low", "high", "p", "family", "p_holm",
            "detectable", "n", "clusters", "b_is")  # fmt: skip
SINGLE, MORE = "Single emotions and action units", "More figures"
_HEAD = ("Metric", "A", "B", "B − A", "95 % interval", "p", "p (Holm)", "Detectable")


def verdict(found: Comparison) -> str:
    """Which is better, in one sentence with its number; or how large a difference would have been seen."""
    line = found.line(found.primary)
    if line is None or line.difference is None:
        return "Nothing that both runs have can be compared."
    name = metric_label(line.metric)
    ends = f", 95 % interval {interval(line)}" if interval(line) else ""
    shown = f"B − A = {signed(line.difference)}{ends}"
    if line.p is not None:
        shown += f", p {_equals(line.p)}"
    if line.p_holm is not None:
        shown += f" ({_equals(line.p_holm).removeprefix('= ')} after Holm's correction)"
    if not line.verdict:
        seen = f" A difference of {short(line.detectable)} would have been found with 80 % power." if line.detectable else ""
        return f"{name}: not decided, {shown}.{seen}"
    winner, side = ("B", found.pair.b) if line.verdict == "better" else ("A", found.pair.a)
    return f"{name}: {winner} ({side.name}) is better, {shown}."


def counted(found: Comparison) -> str:
    """How many samples are compared, and how many only one side has."""
    pair = found.pair
    clusters = max((line.clusters for line in found.lines), default=0)
    groups = f" of {clusters:,} subjects" if clusters < len(pair.keys) else ""
    return (
        f"{len(pair.keys):,} samples{groups} are in both; {pair.only_a:,} only in A, {pair.only_b:,} only in B"
        f"{', left out' if pair.only_a or pair.only_b else ''}"
    )


def interval(line: Line) -> str:
    """ "[+0.012, +0.140]", "" without one."""
    return f"[{signed(line.low)}, {signed(line.high)}]" if line.low is not None and line.high is not None else ""


def cells(line: Line) -> list[str]:
    """A line as texts, in the order of the columns of every table, the name first."""
    name = metric_label(line.metric) + (f", {line.dataset}" if line.dataset else "")
    return [name, short(line.a["value"]), short(line.b["value"]), signed(line.difference), interval(line), *_tested(line)]


def _tested(line: Line) -> list[str]:
    holm = "" if line.p_holm is None else probability(line.p_holm)
    return ["" if line.p is None else probability(line.p), holm, short(line.detectable) if line.detectable else "–"]


def contest(found: Contest) -> str:
    """A McNemar test in one sentence."""
    seen = (
        "no difference could be found at this discordance"
        if found.detectable is None
        else f"detectable with 80 % power: {found.detectable:.3f}"
    )
    return (
        f"McNemar, {metric_label(found.metric)}: only B right {found.only_b:,}, only A right {found.only_a:,}, both {found.both:,}, "
        f"neither {found.neither:,}; exact p {_equals(found.p)}, mid-p {_equals(found.p_mid)}; {seen}"
        + ("; takes samples of one subject as independent" if found.clusters < found.n else "")
    )


def _equals(p: float) -> str:
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"


def headline(lines: Sequence[Line]) -> list[Line]:
    """The lines of the first table: no single emotions and units, no variants."""
    return [line for line in lines if not is_detail(line.metric)]


def console(found: Comparison, lines: Sequence[Line] | None = None, stream: IO[str] | None = None) -> None:
    """Print the comparison: who is who, the answer, the figures, single action units, datasets, McNemar, notes.

    Args:
        found: The comparison.
        lines: Only these figures; by default the main ones, then the single action units and emotions.
        stream: Where to; standard output by default.
    """
    from rich.console import Console
    from rich.text import Text

    target = stream or sys.stdout
    screen = Console(file=target, width=None if target.isatty() else 160, highlight=False)
    for letter, side in (("A", found.pair.a), ("B", found.pair.b)):
        screen.print(Text(f"{letter}: {side.name}  ({side.path})"))
    screen.print(Text(counted(found)))
    screen.print(Text(verdict(found), style="bold"))
    groups = [("", list(lines))] if lines is not None else parts([*found.lines, *found.by_dataset])
    for title, part in groups:
        if title != MORE:
            screen.print(_drawn("" if title == "Figures" else title, part))
    for one in found.contests:
        screen.print(Text(contest(one)))
    screen.print(Text(_explained(found), style="dim"))
    for note in found.notes:
        screen.print(Text(f"note: {note}"))


def _drawn(title: str, lines: Sequence[Line]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    corrected = any(line.p_holm is not None for line in lines)
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(_HEAD):
        if name != "p (Holm)" or corrected:
            table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for line in lines:
        row = [Text(cell) for cell in cells(line)]
        style = {"better": "green", "worse": "red", "": ""}[line.verdict]
        row[3] = Text(signed(line.difference), style=f"bold {style}" if style else "")
        table.add_row(*(cell for cell, name in zip(row, _HEAD, strict=True) if name != "p (Holm)" or corrected))
    return table


def _explained(found: Comparison) -> str:
    groups = "subjects" if any(line.clusters < line.n for line in found.lines) else "samples"
    return (
        f"B − A on the same samples; 95 % intervals and p from {found.resamples:,} resamples of {groups}, both sides drawn alike. Coloured "
        "where it is significant (after Holm's correction over the units, the classes, the datasets). Detectable: the smallest difference "
        "that these samples find with 80 % power."
    )


# --- files -------------------------------------------------------------------------------------------------------------


def to_csv(found: Comparison, lines: Sequence[Line]) -> str:
    """One row a figure, numbers in full precision, undefined ones empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for line in lines:
        row = as_json(line)
        values = [line.metric, line.dataset, *(row[side][key] for side in "ab" for key in ("value", "low", "high"))]
        values += [
            row[key] for key in ("difference", "low", "high", "p", "family", "p_holm", "detectable", "n", "clusters", "b_is")
        ]
        writer.writerow([f"{value:.10g}" if isinstance(value, float) else "" if value is None else value for value in values])
    return text.getvalue()


def to_markdown(found: Comparison, lines: Sequence[Line]) -> str:
    """The answer, the tables, the McNemar tests and the notes."""
    a, b = found.pair.a, found.pair.b
    text = [
        f"# {_md(b.name)} against {_md(a.name)}",
        "",
        f"A is `{a.path}`, B is `{b.path}`. {counted(found)}.",
        "",
        verdict(found),
    ]
    for title, part in parts(lines):
        text += ["", f"## {title}", "", _pipes(_HEAD), _pipes(["---", *("---:" for _ in _HEAD[1:])])]
        text += [
            _pipes([_strong(cell, line) if place == 3 else _md(cell) for place, cell in enumerate(cells(line))]) for line in part
        ]
    if found.contests:
        text += ["", "## Who is right where", "", *(f"- {_md(contest(one))}" for one in found.contests)]
    text += ["", _md(_explained(found)).replace("Coloured", "Bold")]
    if found.notes:
        text += ["", *(f"- {_md(note)}" for note in found.notes)]
    return "\n".join([*text, ""])


def to_latex(found: Comparison, lines: Sequence[Line]) -> str:
    """One `tabular` with booktabs rules, for a paper: A, B, the difference with its interval, and p (Holm's where there is one)."""
    rows = []
    for _, part in parts(lines):
        rows += [r"\midrule"]
        for line in part:
            name, a, b, gap, ends, p, adjusted, _ = (_latex(cell) for cell in cells(line))
            shown = rf"\textbf{{{gap}}}" if line.clear else gap
            tested = rf"{adjusted}$^{{\ast}}$" if adjusted else p
            rows.append(" & ".join([name, a, b, shown + (rf" {{\scriptsize {ends}}}" if ends else ""), tested]) + r" \\")
    head = " & ".join(["Metric", *(_latex(side.name) for side in (found.pair.a, found.pair.b)), "Difference", "$p$"]) + r" \\"
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            f"% {counted(found)}. Difference: {found.pair.b.name} - {found.pair.a.name}, 95 % interval clustered by subject; bold: significant",
            "% at 5 %. p with an asterisk: after Holm's correction.",
            r"\begin{tabular}{lrrrr}",
            r"\toprule",
            head,
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def to_json(found: Comparison, lines: Sequence[Line]) -> dict[str, Any]:
    """Everything, for programs: figures by metric, datasets, McNemar tests, ids of the samples that flip."""
    ids = [key[0] for key in found.pair.keys]
    return {
        "direction": "B - A",
        "a": {"name": found.pair.a.name, "path": str(found.pair.a.path)},
        "b": {"name": found.pair.b.name, "path": str(found.pair.b.path)},
        "verdict": verdict(found),
        "primary": found.primary,
        "samples": {"common": len(ids), "only_a": found.pair.only_a, "only_b": found.pair.only_b},
        "level": 0.95,
        "power": 0.8,
        "resamples": found.resamples,
        "seed": found.seed,
        "metrics": {line.metric: as_json(line) for line in lines if not line.dataset},
        "by_dataset": [{"metric": line.metric, "dataset": line.dataset, **as_json(line)} for line in lines if line.dataset],
        "mcnemar": [
            {
                "metric": one.metric,
                "n": one.n,
                "clusters": one.clusters,
                "both_right": one.both,
                "only_a_right": one.only_a,
                "only_b_right": one.only_b,
                "neither_right": one.neither,
                "p_exact": one.p,
                "p_mid": one.p_mid,
                "detectable": one.detectable,
            }
            for one in found.contests
        ],
        "flips": {
            "by": found.decider,
            "better_in_a": [ids[place] for place in found.flips("a")],
            "better_in_b": [ids[place] for place in found.flips("b")],
        },
        "notes": list(found.notes),
    }


def as_json(line: Line) -> dict[str, Any]:
    """A line as plain values."""
    names = ("difference", "low", "high", "p", "family", "p_holm", "detectable", "n", "clusters")
    return {"a": dict(line.a), "b": dict(line.b), **{name: getattr(line, name) for name in names}, "b_is": line.verdict}


def write_tables(found: Comparison, lines: Sequence[Line], folder: Path, stem: str = "compare") -> list[Path]:
    """Write `<stem>.csv`, `.md`, `.tex` and `.json`; returns their paths."""
    paths = [folder / f"{stem}.{ending}" for ending in ("csv", "md", "tex", "json")]
    for path, text in zip(paths, (to_csv(found, lines), to_markdown(found, lines), to_latex(found, lines)), strict=False):
        atomic.write_text(path, text)
    atomic.write_json(paths[-1], to_json(found, lines))
    return paths


def parts(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    """The lines under the titles that they stand under, without empty parts."""
    plain = [line for line in lines if not line.dataset]
    single = [line for line in plain if _is_single(line)]
    found = [
        ("Figures", headline(plain)),
        (SINGLE, single),
        ("By dataset", [line for line in lines if line.dataset]),
        (MORE, [line for line in plain if is_detail(line.metric) and line not in single]),
    ]
    return [(title, part) for title, part in found if part]


def _is_single(line: Line) -> bool:
    """Whether it is the figure of one emotion or one unit, in the strict reading."""
    return line.metric.startswith(("au/f1/", "emotion/recall/"))


def _strong(cell: str, line: Line) -> str:
    return f"**{_md(cell)}**" if line.clear else _md(cell)


def _pipes(row: Sequence[str]) -> str:
    return "| " + " | ".join(row) + " |"


def _md(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _latex(text: str) -> str:
    return escape_latex(text).replace("–", "--").replace("−", "$-$").replace("< ", "$<$ ")
