"""Figures as PNG for papers and dashboards. Drawn without pyplot: no global state, no display, safe in any thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facial_r1.report.scales import is_noisy, smooth
from facial_r1.report.wording import au_meaning, au_number, figure, is_number, metric_label, model_colours, model_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#2a5db0", "#c2560c", "#147d64", "#8b3fa0", "#6b6f76", "#a8324a")
INK, MUTED, LINE = "#1a2029", "#566270", "#d8dee5"
DPI = 200


def confusion_png(
    labels: Sequence[str],
    matrix: Sequence[Sequence[int]],
    path: Path | str,
    columns: Sequence[str] | None = None,
    title: str = "",
) -> Path:
    """Write a confusion matrix.

    Args:
        labels: names of the rows (truth), and of the columns unless `columns` is given.
        matrix: counts, one row per label.
        path: the PNG to write.
        columns: names of the columns (answers), for example the labels and "unparsed".
        title: printed above.

    Raises:
        ValueError: the matrix does not fit the names.
    """
    names = list(columns or labels)
    counts = np.asarray(matrix, dtype=float)
    if counts.shape != (len(labels), len(names)):
        raise ValueError(f"a matrix of {counts.shape} does not fit {len(labels)} rows and {len(names)} columns")
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    drawn, axes = _axes(1.9 + 0.52 * len(names), 1.5 + 0.46 * len(labels), title)
    axes.imshow(shares, cmap=_ramp(), vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), list(labels))
    axes.set(xlabel="answer", ylabel="truth")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)
    for i, j in np.argwhere(counts > 0):
        axes.text(
            j, i, f"{counts[i, j]:.0f}", ha="center", va="center", fontsize=8.5, color="white" if shares[i, j] > 0.5 else INK
        )
    return _save(drawn, path)


def curves_png(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    path: Path | str,
    title: str = "",
    labels: Sequence[str] | None = None,
) -> Path:
    """Write curves over steps, each labelled at its end; long ones as measured (thin) and as moving average (thick).

    Args:
        rows: rows of `metrics.jsonl`.
        names: the metrics to draw, at most six.
        path: the PNG to write.
        title: printed above.
        labels: what the curves are called; the metric names by default.
    """
    drawn, axes = _axes(5.2, 3.0, title)
    ends: list[tuple[float, str, str]] = []
    for index, name in enumerate(names):
        points = [(row["step"], float(row[name])) for row in rows if is_number(row.get(name))]
        if not points:
            continue
        steps, values = [list(column) for column in zip(*points, strict=True)]
        colour = COLOURS[index % len(COLOURS)]
        thick = values
        if is_noisy(values):
            axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.3)
            thick = [value for value in smooth(values, max(2, len(points) // 30)) if value is not None]
        axes.plot(steps, thick, color=colour, linewidth=1.8, marker="o" if len(points) == 1 else None)
        ends.append((thick[-1], labels[index] if labels else metric_label(name), colour))
    axes.set_xlabel("step")
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    _label_ends(axes, ends)
    return _save(drawn, path)


def au_bars_png(metrics: Mapping[str, Mapping[str, Any]], path: Path | str, title: str = "") -> Path:
    """Write the F1 of every action unit with its interval: bars for one model, dots for several.

    Args:
        metrics: model name -> the `metrics` of its summary.
        path: the PNG to write.
        title: printed above.

    Raises:
        ValueError: no model has a metric `au/f1/<AU>`.
    """
    names = sorted({name for block in metrics.values() for name in block if name.startswith("au/f1/")}, key=au_number)
    if not names:
        raise ValueError("no metric au/f1/<AU> to draw")
    drawn, axes = _axes(5.2, 0.9 + 0.27 * len(names) * max(1.0, 0.45 * len(metrics)), title)
    colours = [COLOURS[index] for index in model_colours(list(metrics))]
    for index, (model, block) in enumerate(metrics.items()):
        found = [figure(block.get(name)) for name in names]
        shift = 0.0 if len(metrics) == 1 else (index - (len(metrics) - 1) / 2) * 0.8 / len(metrics)
        kept = [(place + shift, value) for place, value in enumerate(found) if "value" in value]
        places, values = [place for place, _ in kept], [value["value"] for _, value in kept]
        below = [value["value"] - value.get("low", value["value"]) for _, value in kept]
        above = [value.get("high", value["value"]) - value["value"] for _, value in kept]
        errors = np.maximum([below, above], 0.0)
        colour = colours[index]
        if len(metrics) == 1:
            axes.barh(places, values, height=0.62, color=colour)
            axes.errorbar(values, places, xerr=errors, fmt="none", ecolor=INK, elinewidth=1.0)
        else:
            axes.errorbar(
                values, places, xerr=errors, fmt="o", markersize=4.5, color=colour, elinewidth=1.6, label=model_label(model)
            )
    codes = [name.removeprefix("au/f1/") for name in names]
    axes.set_yticks(range(len(codes)), [f"{code}  {au_meaning(code)}" for code in codes])
    axes.set(xlim=(0, 1.02), xlabel="F1, 95 % interval")
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    if len(metrics) > 1:
        axes.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(metrics), frameon=False, fontsize=8.5, handletextpad=0.2
        )
    return _save(drawn, path)


def _axes(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """A new figure of this size in inches, with quiet axes."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    axes = drawn.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=8.5)
    axes.xaxis.label.set(color=MUTED, fontsize=9)
    axes.yaxis.label.set(color=MUTED, fontsize=9)
    if title:
        drawn.suptitle(title, x=0.01, ha="left", fontsize=10.5, color=INK, fontweight="bold")
    return drawn, axes


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write each curve's name beside its end, pushed apart so that none covers another."""
    low, high = axes.get_ylim()
    gap = 0.075 * (high - low)
    before = float("-inf")
    for value, label, colour in sorted(ends):
        height = max(value, before + gap)
        before = height
        axes.annotate(
            label, (1.01, (height - low) / (high - low)), xycoords="axes fraction", color=colour, fontsize=8.5, va="center"
        )


def _ramp() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("share", ["#f3f6fa", "#9db9e3", COLOURS[0]])


def _save(drawn: Figure, path: Path | str) -> Path:
    """Write beside the target, then rename: a reader never sees half a picture."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.part")
    drawn.savefig(fresh, format="png", dpi=DPI)
    fresh.replace(target)
    return target
