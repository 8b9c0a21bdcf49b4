"""What stands beside the headline figures: groups of people, published figures of others, the course over the rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from facial_r1.report.svg import HEIGHT, WIDTH
from facial_r1.report.wording import figure, in_order, is_number, metric_label, model_label, short

_COURSE = ("reward/mean", "emotion/accuracy", "au/macro_f1", "format/valid", "wheel/level1/f")
#: Names under which a paper's figure may stand for one of several of ours, because it does not say which it is.
_UNSTATED = {"au/f1": ("au/macro_f1", "au/micro_f1", "au/macro_f1_present")}


def groups(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One table for each field that figures were broken down by; the worst group of each metric is marked."""
    tables = []
    for part in summary.get("by") or ():
        names = in_order({name for group in part["groups"].values() for name in group["metrics"]})
        worst = {name: found["group"] for name, found in part.get("worst", {}).items()}
        rows = []
        for group, block in part["groups"].items():
            cells = []
            for name in names:
                found = figure(block["metrics"].get(name))
                cells.append({"value": short(found.get("value")), "range": _range(found), "worst": worst.get(name) == group})
            rows.append({"group": group, "rows": short(block["rows"]), "cells": cells})
        gaps = [
            f"{metric_label(name)}: lowest for {found['group']}, {short(found['gap'])} below the highest group"
            for name, found in part.get("worst", {}).items()
        ]
        tables.append({"field": part["field"], "columns": [metric_label(name) for name in names], "rows": rows, "gaps": gaps})
    return tables


def published(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Figures of others beside ours, each with its source and whether the two may be compared.

    They may be compared when the metric is the same and was taken over the same number of rows; everything else is shown
    with the reason why not.
    """
    ours = summary.get("metrics") or {}
    rows = []
    for entry in summary.get("published") or ():
        metric = str(entry.get("metric", ""))
        names = [name for name in _UNSTATED.get(metric, (metric,)) if figure(ours.get(name)).get("value") is not None]
        found = figure(ours.get(names[0])) if names else {}
        verdict, reason = _comparable(entry, metric, found)
        rows.append(
            {
                "system": str(entry.get("system", "")),
                "metric": metric_label(metric),
                "value": short(entry.get("value")),
                "ours": ", ".join(f"{metric_label(name)} {short(figure(ours.get(name))['value'])}" for name in names)
                if len(names) > 1
                else short(found.get("value")),
                "range": _range(found) if len(names) == 1 else "",
                "comparable": verdict,
                "note": "; ".join(part for part in (reason, str(entry.get("note") or "")) if part),
                "source": str(entry.get("source", "")),
            }
        )
    return rows


def _comparable(entry: Mapping[str, Any], metric: str, ours: Mapping[str, Any]) -> tuple[bool, str]:
    if metric in _UNSTATED:
        return False, ""
    if "value" not in ours:
        return False, "no such figure here"
    wanted = entry.get("n")
    if not is_number(wanted):
        return False, "the rows behind it are not stated"
    if entry.get("wheels") and entry["wheels"] != entry.get("scored_with"):
        return False, f"by the tables {entry['wheels']}, ours by {entry.get('scored_with') or 'others'}"
    if ours.get("n") != wanted:
        return False, f"over {short(int(wanted))} rows, ours over {short(int(ours.get('n', 0)))}"
    return True, ""


def course(blocks: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Charts of a metric over the models of a pipeline, in the order in which they were made; from three models on."""
    if len(blocks) < 3:
        return []
    charts = []
    for name in _COURSE:
        points = [(model_label(model), figure(block.get("metrics", {}).get(name))) for model, block in blocks.items()]
        if sum("value" in found for _, found in points) >= 3:
            charts.append({"title": metric_label(name), "drawing": path_chart(f"{metric_label(name)} over the recipe", points)})
    return charts


def path_chart(title: str, points: Sequence[tuple[str, Mapping[str, float]]]) -> Markup:
    """A value with its 95 % interval for each step of a sequence, joined by a line.

    Args:
        title: the accessible name.
        points: name and figure (value, low, high) of each step; one without a value leaves a gap.
    """
    left, right, top, bottom = 44, 18, 12, 46
    width, height = WIDTH - left - right, HEIGHT - top - bottom
    ends = [found[key] for _, found in points for key in ("value", "low", "high") if key in found]
    unit = all(0 <= value <= 1 for value in ends)
    low, high = (0.0, 1.0) if unit else (min(0.0, *ends), max(ends))

    def x(index: int) -> float:
        return left + width * (index + 0.5) / len(points)

    def y(value: float) -> float:
        return top + height * (1 - (value - low) / ((high - low) or 1.0))

    parts = []
    for step in range(5):
        mark = low + (high - low) * step / 4
        parts.append(
            Markup(
                '<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>'
                '<text class="tick" x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>'
            ).format(left, left + width, y(mark), left - 6, y(mark) + 4, f"{mark:.3g}")
        )
    line = " ".join(
        f"{'L' if index else 'M'}{x(index):.1f} {y(f['value']):.1f}" for index, (_, f) in enumerate(points) if "value" in f
    )
    line = "M" + line[1:] if line else ""
    parts.append(Markup('<path class="line s0" d="{}"/>').format(line))
    for index, (name, found) in enumerate(points):
        lowered = 12 * (index % 2) if len(points) > 5 else 0
        parts.append(
            Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                x(index), HEIGHT - 26 + lowered, name
            )
        )
        if "value" not in found:
            continue
        shown = f"{name}: {short(found['value'])} {_range(found)}".strip()
        parts.append(Markup("<g><title>{}</title>").format(shown))
        if "low" in found and "high" in found:
            parts.append(
                Markup('<line class="interval s0" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>').format(
                    x(index), y(found["low"]), y(found["high"])
                )
            )
        parts.append(Markup('<circle class="dot s0" cx="{:.1f}" cy="{:.1f}" r="4"/></g>').format(x(index), y(found["value"])))
    described = "; ".join(f"{name} {short(found.get('value'))}" for name, found in points)
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, f"{title}: {described}", Markup("").join(parts)
    )


def _range(found: Mapping[str, Any]) -> str:
    return f"[{short(found['low'])}, {short(found['high'])}]" if {"low", "high"} <= set(found) else ""
