"""The contents of the page's sections, as plain values for the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from facial_r1.affect import ACTION_UNITS
from facial_r1.report import beside, svg
from facial_r1.report.curves import ends, length_chart, training_charts
from facial_r1.report.gallery import length_against_reward
from facial_r1.report.load import Confusion, Run, sub_runs
from facial_r1.report.wording import (
    METRICS,
    au_meaning,
    au_number,
    duration,
    failure_label,
    figure,
    in_order,
    is_better,
    is_detail,
    is_number,
    metric_label,
    model_colours,
    model_label,
    short,
    signed,
    stage_label,
)

_TILES = ("emotion/accuracy", "au/macro_f1", "reward/mean", "emotion/uar", "text/rouge_l", "format/valid", "synthesis/yield")


def title(run: Run) -> str:
    """ "GRPO · grpo-1a2b": the stage and the run's name."""
    stage = stage_label(run.stage)
    return f"{stage} · {run.status.get('name') or run.path.name}"


def context(run: Run, models: Mapping[str, Run]) -> dict[str, Any]:
    """Everything the template shows besides gallery, rollouts and synthesis."""
    blocks = _blocks(run, models)
    training = []
    for child, _, name in sub_runs(run):
        if not any(row.get("step") for row in child.metrics):  # an evaluation logs its figures at step 0
            continue
        main, other, remarks = training_charts(child.metrics)
        extra = length_chart(length_against_reward(child)) if child.rollouts else None
        training.append({"name": name, "charts": [*main, *([extra] if extra else [])], "other": other, "remarks": remarks})
    return {
        "state": str(run.status.get("state") or "unknown"),
        "facts": _facts(run),
        "reason": str(run.status.get("reason") or ""),
        "tiles": _tiles(run, blocks),
        "model_names": [
            {"key": name, "label": model_label(name), "colour": colour}
            for name, colour in zip(blocks, model_colours(list(blocks)), strict=True)
        ],
        "table": _table(blocks, details=False),
        "detail_table": _table(blocks, details=True),
        "failures": _failures(blocks),
        "differences": _differences(run.summary.get("differences", {})),
        "course": beside.course(blocks),
        "groups": beside.groups(run.summary),
        "published": beside.published(run.summary),
        "training": training,
        "confusions": _confusions(run, models),
        "au_charts": _au_charts(blocks),
        "lineage": _lineage(run),
        "config": yaml.safe_dump(run.resolved, sort_keys=False, allow_unicode=True, width=100) if run.resolved else "",
        "alerts": [{"title": str(alert.get("title", "")), "text": str(alert.get("text", ""))} for alert in run.alerts],
    }


def _blocks(run: Run, models: Mapping[str, Run]) -> dict[str, Mapping[str, Any]]:
    """Model name -> its block of figures, failures and baselines."""
    named = run.summary.get("models")
    if isinstance(named, Mapping) and named:
        return {str(name): {**(models[name].summary if name in models else {}), **block} for name, block in named.items()}
    return {name: child.summary for name, child in models.items() if child.summary.get("metrics")}


def _tiles(run: Run, blocks: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    tiles: list[dict[str, Any]] = []
    last = list(blocks.values())[-1] if blocks else {}
    baselines = _baseline_values(last)
    colours = model_colours(list(blocks))
    for name in _TILES:
        values = [(model_label(model), figure(block.get("metrics", {}).get(name))) for model, block in blocks.items()]
        final = values[-1][1] if values else {}
        if "value" in final:
            marks = [(baseline, known[name]) for baseline, known in baselines.items() if name in known]
            before = [
                (model, value["value"], colour)
                for (model, value), colour in zip(values, colours, strict=True)
                if "value" in value
            ][:-1]
            tiles.append(
                {
                    "label": metric_label(name),
                    "value": short(final["value"]),
                    "range": _range(final),
                    "path": [(model, short(value.get("value"))) for model, value in values] if len(values) > 1 else [],
                    "drawing": svg.whisker(final, marks, colours[-1], before),
                    "note": ", ".join(f"{baseline} {short(value)}" for baseline, value in marks),
                }
            )
    if not tiles:
        for name, label in (("reward/mean", "Mean reward"), ("loss", "Loss"), ("token_accuracy", "Token accuracy")):
            if found := ends(run.metrics, name):
                tiles.append(
                    {
                        "label": label,
                        "value": short(found[1]),
                        "range": "",
                        "path": [("start", short(found[0])), ("end", short(found[1]))],
                        "drawing": "",
                        "note": "first and last tenth of the steps",
                    }
                )
    return tiles[:4]


def _table(blocks: Mapping[str, Mapping[str, Any]], details: bool) -> dict[str, Any]:
    """A table of figures: one row a metric, one column a model and, for a single model, its baselines.

    Metrics of single emotions and action units and variants of others have a table of their own (`details`).
    """
    names = in_order(name for block in blocks.values() for name in block.get("metrics", {}) if is_detail(name) == details)
    single = len(blocks) == 1
    colours = model_colours(list(blocks))
    baselines = _baseline_values(next(iter(blocks.values()))) if single else {}
    rows = []
    for name in names:
        figures = [figure(block.get("metrics", {}).get(name)) for block in blocks.values()]
        known = [value["value"] for value in figures if "value" in value]
        best = (max(known) if is_better(name, 1.0) else min(known)) if len(known) > 1 else None
        marks = [(baseline, values[name]) for baseline, values in baselines.items() if name in values]
        rows.append(
            {
                "name": name,
                "label": metric_label(name),
                "about": METRICS.get(name, ("", ""))[1],
                "cells": [
                    {
                        "value": short(value.get("value")),
                        "range": _range(value),
                        "best": best is not None and value.get("value") == best,
                        "drawing": svg.whisker(value, marks, colour),
                    }
                    for value, colour in zip(figures, colours, strict=True)
                ],
                "baselines": [short(values.get(name)) for values in baselines.values()],
                "n": _size(figures),
            }
        )
    return {"rows": rows, "baselines": list(baselines), "single": single}


def _failures(blocks: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for block in blocks.values() for name in block.get("failures") or {})
    return [
        {
            "name": failure_label(name),
            "cells": [_failure((block.get("failures") or {}).get(name), block.get("rows")) for block in blocks.values()],
        }
        for name in names
    ]


def _failure(value: Any, rows: Any) -> dict[str, Any]:
    """A count of `rows`, or a rate, as text; more than one in twenty is worth a colour."""
    count, rate = None, None
    if isinstance(value, Mapping):
        count, rate, rows = value.get("count"), value.get("rate", value.get("value")), value.get("n", rows)
    elif isinstance(value, float) and 0 <= value <= 1:
        rate = value
    elif is_number(value):
        count = value
    if rate is None and is_number(count) and is_number(rows) and rows:
        rate = count / rows
    parts = [short(count) if is_number(count) else "", f"{rate:.1%}" if is_number(rate) else ""]
    return {"text": " · ".join(part for part in parts if part) or "–", "bad": is_number(rate) and rate > 0.05}


def _baseline_values(block: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    result = {}
    for baseline, values in (block.get("baselines") or {}).items():
        values = values.get("metrics", values) if isinstance(values, Mapping) else {}
        known = {name: found["value"] for name, value in values.items() if "value" in (found := figure(value))}
        if known:
            result[str(baseline)] = known
    return result


def _differences(differences: Mapping[str, Any]) -> list[dict[str, Any]]:
    result = []
    for pair, values in differences.items():
        names = in_order(name for name in values if not is_detail(name))
        rows = []
        for name in names:
            value = values[name]
            low, high, change = value.get("low"), value.get("high"), value.get("difference", value.get("value"))
            clear = is_number(low) and is_number(high) and (low > 0 or high < 0)
            verdict = "" if not clear or not is_number(change) else "better" if is_better(name, change) else "worse"
            rows.append(
                {
                    "label": metric_label(name),
                    "name": name,
                    "difference": signed(change),
                    "range": f"[{signed(low)}, {signed(high)}]" if is_number(low) and is_number(high) else "",
                    "p": _p(value.get("p")),
                    "verdict": verdict,
                }
            )
        result.append({"pair": " − ".join(model_label(part.strip()) for part in str(pair).split(" - ")), "rows": rows})
    return result


def _confusions(run: Run, models: Mapping[str, Run]) -> list[dict[str, Any]]:
    found = []
    sources = models or ({run.name: run} if run.confusion else {})
    for name, child in sources.items():
        matrix = child.confusion or _counted(child.samples)
        if matrix:
            matrix = _without_empty(matrix)
            label = model_label(name)
            right = sum(matrix.counts[i][matrix.columns.index(row)] for i, row in enumerate(matrix.rows) if row in matrix.columns)
            total = sum(map(sum, matrix.counts))
            drawing = svg.heatmap(
                f"Confusion matrix, {label}: {right} of {total} faces right", matrix.rows, matrix.columns, matrix.counts
            )
            found.append({"name": label, "drawing": drawing, "right": right, "total": total})
    return found


def _without_empty(matrix: Confusion) -> Confusion:
    """The matrix without emotions that neither occur nor are answered."""

    def empty(name: str) -> bool:
        answered = sum(row[matrix.columns.index(name)] for row in matrix.counts) if name in matrix.columns else 0
        occurring = sum(matrix.counts[matrix.rows.index(name)]) if name in matrix.rows else 0
        return answered + occurring == 0

    rows = [i for i, name in enumerate(matrix.rows) if not empty(name)]
    columns = [j for j, name in enumerate(matrix.columns) if not empty(name)]
    counts = [[matrix.counts[i][j] for j in columns] for i in rows]
    return Confusion([matrix.rows[i] for i in rows], [matrix.columns[j] for j in columns], counts)


def _counted(samples: Sequence[Mapping[str, Any]]) -> Confusion | None:
    """A confusion matrix from samples, for runs without confusion.csv."""
    pairs = []
    for sample in samples:
        if sample.get("labels"):
            parsed = sample.get("parsed") or {}
            given = (parsed.get("labels") or ["unparsed"])[0] if parsed.get("valid", True) else "unparsed"
            pairs.append((str(sample["labels"][0]), str(given)))
    rows = sorted({truth for truth, _ in pairs})
    columns = [*rows, *sorted({given for _, given in pairs} - set(rows) - {"unparsed"}), "unparsed"]
    return Confusion(rows, columns, [[pairs.count((row, column)) for column in columns] for row in rows]) if pairs else None


def _au_charts(blocks: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """F1 of each action unit: one chart of the upper face, one of the lower."""
    names = sorted(
        {name for block in blocks.values() for name in block.get("metrics", {}) if name.startswith("au/f1/")}, key=au_number
    )
    labels, colours = [model_label(name) for name in blocks], model_colours(list(blocks))
    rows: dict[str, list[tuple[str, str, list[svg.Bar]]]] = {}
    for name in names:
        code = name.removeprefix("au/f1/")
        bars = []
        for block in blocks.values():
            value = figure(block.get("metrics", {}).get(name))
            tip = f"n={short(int(value['n']))}" if "n" in value else ""
            bars.append(svg.Bar(value.get("value"), value.get("low"), value.get("high"), tip))
        unit = ACTION_UNITS.get(code)
        rows.setdefault(unit.region if unit else "lower", []).append((code, au_meaning(code), bars))
    charts = []
    for region, part in rows.items():
        title = f"Action units, {region} face"
        drawing = svg.bars(f"{title}: F1 with 95 % interval", part, labels, colours)
        charts.append(
            {"title": title, "drawing": drawing, "legend": list(zip(labels, colours, strict=True)) if len(labels) > 1 else []}
        )
    return charts


def _facts(run: Run) -> list[tuple[str, str]]:
    status = run.status
    version = status.get("version") or {}
    data = status.get("data") or {}
    code = " · ".join(str(part) for part in (version.get("package"), str(version.get("git") or "")[:19]) if part)
    rows = ", ".join(f"{name} {short(value)}" for name, value in data.items() if is_number(value))
    facts = [
        ("Run", status.get("name") or run.path.name),
        ("Started", str(status.get("started") or "").replace("T", " ")[:19]),
        ("Took", duration(run.summary.get("seconds"))),
        ("Model", _named(run.resolved.get("model"))),
        ("Data", _named(run.resolved.get("data"))),
        ("Rows", rows),
        ("Data fingerprint", str(data.get("fingerprint") or "")[:16]),
        ("Code", code),
    ]
    return [(name, str(value)) for name, value in facts if value]


def _named(part: Any) -> str:
    return str(part.get("name") or "") if isinstance(part, Mapping) else ""


def _lineage(run: Run) -> list[dict[str, str]]:
    """The chain of runs that led here, the oldest first, this one last."""
    chain = [step for step in run.status.get("chain") or () if isinstance(step, Mapping)]
    steps = [
        {"stage": stage_label(str(step.get("stage", ""))), "run": Path(str(step.get("run", ""))).name, "here": ""}
        for step in chain
    ]
    steps = [step for step in steps if step["run"] != run.path.name]
    if run.children:
        return [*steps, *({"stage": label, "run": child.path.name, "here": ""} for child, _, label in sub_runs(run)[1:])]
    return [*steps, {"stage": stage_label(run.stage), "run": run.path.name, "here": "yes"}]


def _range(value: Mapping[str, float]) -> str:
    return f"[{short(value['low'])}, {short(value['high'])}]" if {"low", "high"} <= set(value) else ""


def _size(figures: Sequence[Mapping[str, float]]) -> str:
    found = next((value for value in reversed(figures) if "n" in value), {})
    n = short(int(found["n"])) if found else ""
    return f"{n} / {short(int(found['clusters']))}" if "clusters" in found else n


def _p(value: Any) -> str:
    if not is_number(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
