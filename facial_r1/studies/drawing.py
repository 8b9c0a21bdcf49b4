"""The figure of a study: a panel for each metric, a mark for each seed, mean and interval over seeds."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facial_r1.report.figures import COLOURS, DPI, INK, LINE, MUTED
from facial_r1.studies.results import START, Row, over_seeds
from facial_r1.studies.study import Panel, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# How far right of its mean a seed's mark stands, as a share of the axis.
_BESIDE = 0.03


def draw(study: Study, rows: Sequence[Row], path: Path) -> Path:
    """Write the study's figure as PNG: at most four panels a row, 3.4 inches each.

    Args:
        study: what is drawn.
        rows: figures of its runs.
        path: the PNG.
    """
    from matplotlib.figure import Figure

    panels = study.figure.panels
    across = min(4, len(panels))
    down = -(-len(panels) // across)
    drawn = Figure(figsize=(max(5.2, 3.4 * across), 0.75 + 3.0 * down), layout="constrained", facecolor="white")
    drawn.suptitle(
        "\n".join(textwrap.wrap(study.question, 48 * across)), x=0.01, ha="left", fontsize=10.5, color=INK, fontweight="bold"
    )
    for place, panel in enumerate(panels):
        _panel(drawn.add_subplot(down, across, place + 1), study, panel, rows)
    seeds = len({row.seed for row in rows if row.seed is not None})
    marks = f"circles: {seeds} seeds; dot and bar: their mean, 95 % interval (Student's t)"
    drawn.text(0.995, -0.01, (marks if seeds > 1 else "bar: 95 % interval over the test rows")
               + ("; dotted: chance" if any(panel.chance is not None for panel in panels) else "")
               + ("; dashed: the model that all start from" if any(row.point == START for row in rows) else ""),
               ha="right", va="top", fontsize=7.5, color=MUTED)  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.part")
    drawn.savefig(fresh, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    fresh.replace(path)
    return path


def _panel(axes: Axes, study: Study, panel: Panel, rows: Sequence[Row]) -> None:
    factor = 100 if panel.percent else 1
    points = study.compared()
    numeric = study.figure.scale != "names"
    where = {point.name: study.position(point) if numeric else float(place) for place, point in enumerate(points)}
    models = panel.models or [""]
    for number, model in enumerate(models):
        colour = COLOURS[number % len(COLOURS)]
        found = [(where[point.name], one) for point in points if (one := over_seeds(rows, point.name, panel, model))]
        if not found:
            continue
        shift = 0.0 if numeric or len(models) == 1 else 0.16 * (number - (len(models) - 1) / 2)
        xs = [x + shift for x, _ in found]
        for x, one in zip(xs, (one for _, one in found), strict=True):
            if len(one.values) == 1:
                continue
            beside = x * 1.07 if study.figure.scale == "log" else x + _BESIDE * (max(where.values()) - min(where.values()) or 1)
            axes.plot(
                [beside] * len(one.values),
                [value * factor for value in one.values],
                "o",
                ms=4,
                color="white",
                mec=colour,
                mew=0.9,
            )
        means = [one.mean * factor for _, one in found]
        below = [(one.mean - one.low) * factor if one.low is not None else 0 for _, one in found]
        above = [(one.high - one.mean) * factor if one.high is not None else 0 for _, one in found]
        axes.errorbar(xs, means, [below, above], fmt="o-" if numeric else "o", color=colour, ms=5, lw=1.4, capsize=3, elinewidth=1.1,
                      label=model or None)  # fmt: skip
    _limits(axes, rows, panel, factor)
    begin = [row for row in rows if row.point == START and row.metric == panel.key]
    if begin:
        axes.axhline(begin[0].value * factor, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=0)
    if panel.chance is not None:
        axes.axhline(panel.chance * factor, color=MUTED, lw=1, ls=":", zorder=0)
    if study.figure.scale == "log":
        axes.set_xscale("log", base=2)
    if numeric:
        axes.set_xticks(list(where.values()), list(where))
        axes.minorticks_off()
    else:
        axes.set_xticks(range(len(points)), ["\n".join(textwrap.wrap(point.name, max(6, 38 // len(points)))) for point in points])
        axes.set_xlim(-0.5, len(points) - 0.5)
    axes.set_title((panel.label or panel.metric) + (" (%)" if panel.percent else ""), fontsize=9.5, color=INK, loc="left")
    axes.set_xlabel(study.figure.x_label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.grid(axis="y", color=LINE, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=8)
    axes.xaxis.label.set(color=MUTED, fontsize=8.5)
    if len(models) > 1:
        axes.legend(frameon=False, fontsize=8)


def _limits(axes: Axes, rows: Sequence[Row], panel: Panel, factor: float) -> None:
    """The axis shows all seeds; an interval of few seeds that reaches far beyond them is cut."""
    values = [row.value * factor for row in rows if row.metric == panel.key]
    if not values:
        return
    if panel.chance is not None:
        values.append(panel.chance * factor)
    room = max((max(values) - min(values)) * 0.6, 0.02 * factor if panel.percent else 1e-3)
    low, high = axes.get_ylim()
    if panel.chance is not None:
        low = min(low, (panel.chance - 0.03) * factor)
    low, high = max(low, min(values) - room), min(high, max(values) + room)
    axes.set_ylim(max(low, -2.0) if panel.percent else low, min(high, 102.0) if panel.percent else high)
