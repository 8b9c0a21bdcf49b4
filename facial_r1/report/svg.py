"""Charts as inline SVG, without a plotting library: small, sharp, themed by the page's CSS variables.

Every chart is about 400 units wide, so that it keeps its proportions and readable letters on a phone; the page lays
several side by side on a desk. Colours come from classes (`s0`, `s1`, ... and `ink`, `grid`), never from here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from facial_r1.report.scales import is_noisy, smooth, ticks
from facial_r1.report.wording import is_number, short

WIDTH, HEIGHT = 400, 220

Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Series:
    """One line: values over the chart's x, None where there is none; `spread` draws a band of value ± spread."""

    label: str
    values: Sequence[float | None]
    spread: Sequence[float | None] | None = None
    colour: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its interval, for one model; `low` and `high` may be None."""

    value: float | None
    low: float | None = None
    high: float | None = None
    tip: str = ""


def lines(title: str, steps: Sequence[float], series: Sequence[Series], unit: bool = False, x_label: str = "step") -> Markup:
    """Lines over steps; long ones are drawn thin as measured and thick as moving average. Hover reads the values.

    Args:
        title: also the accessible name.
        steps: x of every value, ascending.
        series: at most six; each is labelled at its right end.
        unit: the values are shares, so the axis is 0 to 1.
    """
    steps, series = _thin(steps, series)
    noisy = [is_noisy(entry.values) for entry in series]
    half = max(2, len(steps) // 30)
    drawn = [smooth(entry.values, half) if rough else list(entry.values) for entry, rough in zip(series, noisy, strict=True)]
    low, high = _extent(series, drawn, unit)
    marks = [0.0, 0.25, 0.5, 0.75, 1.0] if unit else ticks(low, high)
    low, high = marks[0], marks[-1]
    direct = len(series) > 1
    left, right, top, bottom = 44, 92 if direct else 14, 12, 30
    width, height = WIDTH - left - right, HEIGHT - top - bottom
    first, last = steps[0], steps[-1] if steps[-1] > steps[0] else steps[0] + 1

    def x(step: float) -> float:
        return left + width * (step - first) / (last - first)

    def y(value: float) -> float:
        return top + height * (1 - (min(max(value, low), high) - low) / (high - low))

    parts = [_grid(marks, y, left, width)]
    parts += [
        Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
            x(at), HEIGHT - 14, anchor, short(round(at))
        )
        for at, anchor in _step_marks(first, steps[-1])
    ]
    parts.append(
        Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(left + width / 2, HEIGHT - 1, x_label)
    )
    for entry, values, rough in zip(series, drawn, noisy, strict=True):
        if entry.spread is not None:
            parts.append(_band(steps, values, smooth(entry.spread, half) if rough else entry.spread, entry.colour, x, y))
        if rough:
            parts.append(_path(steps, entry.values, x, y, f"line raw s{entry.colour}"))
        parts.append(_path(steps, values, x, y, f"line s{entry.colour}"))
        only = values[0]
        if len(steps) == 1 and only is not None:
            parts.append(
                Markup('<circle class="dot s{}" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(entry.colour, x(first), y(only))
            )
    if direct:
        ends = [next((value for value in reversed(values) if value is not None), None) for values in drawn]
        parts.append(_end_labels(series, ends, y, left + width + 6, top, top + height))
    parts.append(Markup('<line class="cursor" x1="0" x2="0" y1="{}" y2="{}"/>').format(top, top + height))
    data = {
        "x": [round(step, 3) for step in steps],
        "series": [
            {"label": entry.label, "colour": entry.colour, "values": [_digits(value) for value in entry.values]}
            for entry in series
        ],
        "box": [left, width, first, last],
    }
    described = "; ".join(f"{entry.label} {_journey(entry.values)}" for entry in series)
    return Markup(
        '<svg class="chart lines" viewBox="0 0 {} {}" role="img" tabindex="0" aria-label="{}" data-chart="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, f"{title}: {described}", json.dumps(data), Markup("").join(parts))


def bars(
    title: str,
    rows: Sequence[tuple[str, str, Sequence[Bar]]],
    models: Sequence[str],
    colours: Sequence[int],
    top_value: float = 1.0,
) -> Markup:
    """Horizontal bars (one model) or dots (several), each with its interval, one row per label.

    Args:
        title: the accessible name.
        rows: label, small explanation, one `Bar` per model.
        models: names of the models, for tooltips.
        colours: colour of each model.
        top_value: end of the axis, which starts at 0.
    """
    single = len(models) == 1
    left, right, step = 142, 40, 26 if single else max(26, 11 * len(models) + 8)
    height = step * len(rows) + 26
    width = WIDTH - left - right

    def x(value: float) -> float:
        return left + width * min(max(value / top_value, 0.0), 1.0)

    parts: list[Markup] = []
    for mark in (0, 0.25, 0.5, 0.75, 1):
        at = x(mark * top_value)
        parts.append(Markup('<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="2" y2="{1}"/>').format(at, height - 22))
        parts.append(
            Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                at, height - 8, f"{mark * top_value:g}"
            )
        )
    for index, (label, hint, values) in enumerate(rows):
        middle = step * index + step / 2 + 1
        parts.append(
            Markup('<text class="label" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
                left - 8, middle + (0 if hint else 4), label
            )
        )
        if hint:
            parts.append(
                Markup('<text class="hint" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(left - 8, middle + 10, hint)
            )
        for number, bar in enumerate(values):
            at = middle if single else middle + (number - (len(values) - 1) / 2) * 11
            parts.append(_bar(bar, f"{label} · {models[number]}", x, at, colours[number], single, left + width))
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, title, Markup("").join(parts)
    )


def heatmap(title: str, rows: Sequence[str], columns: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """A confusion matrix: each cell shaded by its share of the row (recall on the diagonal), its count written in."""
    left, top, right = 84, 62, 34  # the last column's slanted name reaches beyond its cells
    cell = min(46.0, (WIDTH - left - right) / max(len(columns), 1))
    tall = min(cell, 36.0)
    height = top + tall * len(rows) + 6
    parts: list[Markup] = []
    for j, name in enumerate(columns):
        at = left + cell * (j + 0.5)
        parts.append(
            Markup('<text class="label" transform="translate({:.1f} {}) rotate(-40)">{}</text>').format(at, top - 6, name)
        )
    for i, name in enumerate(rows):
        middle = top + tall * (i + 0.5)
        total = sum(counts[i])
        parts.append(
            Markup('<text class="label" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(left - 7, middle + 4, name)
        )
        for j, column in enumerate(columns):
            share = counts[i][j] / total if total else 0.0
            tip = f"truth {name}, answer {column}: {counts[i][j]} of {total} ({share:.0%})"
            kind = "cell right" if name == column else "cell"
            parts.append(
                Markup(
                    '<g class="{}" data-truth="{}" data-answer="{}"><title>{}</title>'
                    '<rect class="back" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="3"/>'
                    '<rect class="heat" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="3" fill-opacity="{:.3f}"/>'
                ).format(
                    kind, name, column, tip, *(_box(left, top, cell, tall, i, j) * 2), 0.0 if not share else 0.08 + 0.92 * share
                )
            )
            if counts[i][j]:
                shade = "on" if share > 0.5 else "off"
                parts.append(
                    Markup('<text class="count {}" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(
                        shade, left + cell * (j + 0.5), middle + 4, counts[i][j]
                    )
                )
            parts.append(Markup("</g>"))
    return Markup('<svg class="chart heatmap" viewBox="0 0 {} {:.0f}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, title, Markup("").join(parts)
    )


def whisker(
    figure: Mapping[str, float],
    marks: Sequence[tuple[str, float]] = (),
    colour: int = 0,
    others: Sequence[tuple[str, float, int]] = (),
) -> Markup:
    """A line from 0 to 1 with a dot at the value, its interval, and small marks for baselines.

    Args:
        figure: value, low, high.
        marks: name and value of each baseline.
        colour: of the dot.
        others: name, value and colour of other models, drawn as smaller dots.
    """
    if "value" not in figure or not 0 <= figure["value"] <= 1:
        return Markup("")

    def x(value: float) -> float:
        return 6 + 128 * min(max(value, 0.0), 1.0)

    parts = [Markup('<line class="grid" x1="6" x2="134" y1="9" y2="9"/>')]
    for name, value in marks:
        parts.append(
            Markup('<path class="mark" d="M{0:.1f} 3v12"><title>{1}: {2}</title></path>').format(x(value), name, short(value))
        )
    if "low" in figure and "high" in figure:
        parts.append(
            Markup('<line class="interval s{}" x1="{:.1f}" x2="{:.1f}" y1="9" y2="9"/>').format(
                colour, x(figure["low"]), x(figure["high"])
            )
        )
    for name, value, shade in others:
        parts.append(
            Markup('<circle class="dot s{}" cx="{:.1f}" cy="9" r="3"><title>{}: {}</title></circle>').format(
                shade, x(value), name, short(value)
            )
        )
    parts.append(Markup('<circle class="dot s{}" cx="{:.1f}" cy="9" r="4.5"/>').format(colour, x(figure["value"])))
    return Markup('<svg class="whisker" viewBox="0 0 140 18" aria-hidden="true">{}</svg>').format(Markup("").join(parts))


def _box(left: float, top: float, cell: float, tall: float, i: int, j: int) -> tuple[float, float, float, float]:
    return left + cell * j + 1, top + tall * i + 1, cell - 2, tall - 2


def _bar(bar: Bar, name: str, x: Scale, y: float, colour: int, single: bool, end: float) -> Markup:
    if not is_number(bar.value):
        return Markup('<text class="hint" x="{:.1f}" y="{:.1f}">not scored</text>').format(x(0) + 4, y + 4)
    interval = f" [{short(bar.low)}, {short(bar.high)}]" if is_number(bar.low) and is_number(bar.high) else ""
    parts = [Markup("<g><title>{}</title>").format(f"{name}: {short(bar.value)}{interval}{' · ' + bar.tip if bar.tip else ''}")]
    if single:
        parts.append(
            Markup('<rect class="bar s{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="13" rx="2"/>').format(
                colour, x(0), y - 6.5, x(bar.value) - x(0)
            )
        )
        parts.append(Markup('<text class="value" x="{:.1f}" y="{:.1f}">{}</text>').format(end + 6, y + 4, short(bar.value)))
    if is_number(bar.low) and is_number(bar.high):
        shape = "whisk" if single else f"interval s{colour}"
        parts.append(
            Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
                shape, x(bar.low), x(bar.high), y, y
            )
        )
    if not single:
        parts.append(Markup('<circle class="dot s{}" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(colour, x(bar.value), y))
    parts.append(Markup("</g>"))
    return Markup("").join(parts)


def _grid(marks: Sequence[float], y: Scale, left: float, width: float) -> Markup:
    row = Markup(
        '<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>'
        '<text class="tick" x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>'
    )
    return Markup("").join(row.format(left, left + width, y(mark), left - 6, y(mark) + 4, _tick(mark)) for mark in marks)


def _step_marks(first: float, last: float) -> list[tuple[float, str]]:
    return [(first, "start"), (last, "end")] if last > first else [(first, "start")]


def _path(steps: Sequence[float], values: Sequence[float | None], x: Scale, y: Scale, kind: str) -> Markup:
    points, pen = [], "M"
    for step, value in zip(steps, values, strict=True):
        if value is None:
            pen = "M"
        else:
            points.append(f"{pen}{x(step):.1f} {y(value):.1f}")
            pen = "L"
    return Markup('<path class="{}" d="{}"/>').format(kind, "".join(points))


def _band(
    steps: Sequence[float], centre: Sequence[float | None], spread: Sequence[float | None], colour: int, x: Scale, y: Scale
) -> Markup:
    known = [(step, c, s) for step, c, s in zip(steps, centre, spread, strict=True) if c is not None and s is not None]
    if len(known) < 2:
        return Markup("")
    upper = [f"{x(step):.1f} {y(c + s):.1f}" for step, c, s in known]
    lower = [f"{x(step):.1f} {y(c - s):.1f}" for step, c, s in reversed(known)]
    return Markup('<path class="band s{}" d="M{}Z"/>').format(colour, "L".join(upper + lower))


def _end_labels(series: Sequence[Series], ends: Sequence[float | None], y: Scale, at: float, top: float, bottom: float) -> Markup:
    """Labels at the lines' ends, pushed apart so that none covers another."""
    gap = 14.0
    wanted = sorted((y(end), index) for index, end in enumerate(ends) if end is not None)
    heights = [place for place, _ in wanted]
    for index in range(1, len(heights)):
        heights[index] = max(heights[index], heights[index - 1] + gap)
    if heights and heights[-1] > bottom:
        heights[-1] = bottom
        for index in range(len(heights) - 2, -1, -1):
            heights[index] = min(heights[index], heights[index + 1] - gap)
    placed = [
        Markup('<text class="end s{}" x="{}" y="{:.1f}">{}</text>').format(
            series[index].colour, at, max(height, top) + 4, _cut(series[index].label)
        )
        for height, (_, index) in zip(heights, wanted, strict=True)
    ]
    return Markup("").join(placed)


def _thin(steps: Sequence[float], series: Sequence[Series], limit: int = 500) -> tuple[list[float], list[Series]]:
    """Means over equal stretches when there are more points than a screen has pixels."""
    if len(steps) <= limit:
        return list(steps), list(series)
    size = math.ceil(len(steps) / limit)
    parts = range(0, len(steps), size)

    def means(values: Sequence[float | None]) -> list[float | None]:
        buckets = ([value for value in values[at : at + size] if value is not None] for at in parts)
        return [sum(bucket) / len(bucket) if bucket else None for bucket in buckets]

    shorter = [Series(s.label, means(s.values), means(s.spread) if s.spread is not None else None, s.colour) for s in series]
    return [steps[min(at + size, len(steps)) - 1] for at in parts], shorter


def _extent(series: Sequence[Series], drawn: Sequence[Sequence[float | None]], unit: bool) -> tuple[float, float]:
    if unit:
        return 0.0, 1.0
    values = sorted(value for entry in series for value in entry.values if value is not None)
    for entry, centre in zip(series, drawn, strict=True):
        if entry.spread is not None:
            values += [
                c + s * sign
                for c, s in zip(centre, entry.spread, strict=True)
                if c is not None and s is not None
                for sign in (1, -1)
            ]
    values.sort()
    if not values:
        return 0.0, 1.0
    low, high = values[0], values[-1]
    if len(values) >= 50:  # a single spike must not flatten the rest; it is clipped at the edge
        cut = len(values) // 100
        trimmed_low, trimmed_high = values[cut], values[-1 - cut]
        if high - low > 4 * (trimmed_high - trimmed_low) > 0:
            low, high = trimmed_low, trimmed_high
    if 0 < low < 0.6 * high:
        low = 0.0
    return low, high


def _tick(value: float) -> str:
    return f"{value:g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def _digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def _journey(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"from {short(known[0])} to {short(known[-1])}" if known else "has no values"


def _cut(label: str, limit: int = 14) -> str:
    return label if len(label) <= limit else label[: limit - 1] + "…"
