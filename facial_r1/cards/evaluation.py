"""The evaluation in a card: figures with their intervals beside blind baselines, failures as shares, figures by group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from facial_r1.cards.markdown import interval, number, table
from facial_r1.report.wording import LOWER_IS_BETTER, METRICS, failure_label, metric_label

_HUB_TYPES = {
    "emotion/accuracy": "accuracy",
    "emotion/uar": "recall",
    "emotion/macro_f1": "f1",
    "au/macro_f1": "f1",
    "au/micro_f1": "f1",
    "text/rouge_l": "rouge",
}
"""Metrics that the hub has a name for."""
_OTHERS = (
    "au/subset_accuracy",
    "au/hallucinated",
    "wheel/level1/f",
    "wheel/level2/f",
    "sentiment/waf",
    "format/valid",
    "text/judge",
    "text/rege",
)
_SPARED = ("without_labels", "without_action_units", "without_reference")
"""Counts of rows that a metric does not apply to; they are no failures."""


def figures(summary: Mapping[str, Any]) -> str:
    """All main figures of a summary as a table, those of single classes folded below it."""
    metrics = summary.get("metrics") or {}
    baselines = [block for block in (summary.get("baselines") or {}).values() if isinstance(block, Mapping)]
    main = [name for name in (*METRICS, *sorted(set(metrics) - set(METRICS))) if name in metrics and not _detail(name)]
    text = table(
        ("figure", "value", "95 % interval", "rows", "clusters", "blind baseline"),
        (_row(name, metrics[name], baselines) for name in main if metrics[name].get("value") is not None),
    )
    single = table(
        ("class", "value", "95 % interval", "rows", "clusters", "blind baseline"),
        (_row(name, metrics[name], baselines) for name in metrics if _detail(name) and metrics[name].get("value") is not None),
    )
    if single:
        text += f"\n\n<details><summary>Each emotion and each action unit</summary>\n\n{single}\n\n</details>"
    return text


def failures(summary: Mapping[str, Any]) -> str:
    """What went wrong, as counts and shares of the rows; and what a metric did not apply to."""
    counts, rows = summary.get("failures") or {}, summary.get("rows")
    shown = [(name, count) for name, count in counts.items() if isinstance(count, int) and name not in _SPARED]
    text = table(
        ("failure", "rows", "share"),
        ((failure_label(name), count, f"{count / rows:.1%}" if rows else "not known") for name, count in shown),
    )
    spared = [f"{counts[name]} {failure_label(name).lower()}" for name in _SPARED if counts.get(name)]
    return text + (f"\n\nLeft out of the figures they have no truth for: {', '.join(spared)}." if spared else "")


def groups(summary: Mapping[str, Any]) -> str:
    """Figures by group, one table for each field that was asked for (`stage.by`); "" when none was."""
    found = []
    for part in summary.get("by") or ():
        names = list(dict.fromkeys(name for group in part["groups"].values() for name in group["metrics"]))
        rows = (
            (group, block["rows"], *(_short(block["metrics"].get(name)) for name in names))
            for group, block in part["groups"].items()
        )
        text = f"By `{part['field']}`:\n\n" + table((part["field"], "rows", *map(metric_label, names)), rows)
        worst = [
            f"{metric_label(name)} is lowest for {entry['group']} ({_short(entry)}, {entry['gap']:.3f} below the best)"
            for name, entry in (part.get("worst") or {}).items()
        ]
        found.append(text + (f"\n\n{'; '.join(worst)}." if worst else ""))
    return "\n\n".join(found)


def hub_results(name: str, evaluations: Iterable[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The `model-index` of front matter: one result for each dataset, with the figures that have a value."""
    results = []
    for dataset, summary in evaluations:
        metrics = [
            {"type": _HUB_TYPES.get(key, key), "value": round(figure["value"], 4), "name": _described(key, figure)}
            for key in (*_HUB_TYPES, *_OTHERS)
            if (figure := (summary.get("metrics") or {}).get(key)) and figure.get("value") is not None
        ]
        if metrics:
            results.append(
                {
                    "task": {"type": "image-text-to-text", "name": "Facial expression reasoning"},
                    "dataset": {"name": dataset, "type": dataset, "split": "test"},
                    "metrics": metrics,
                }
            )
    return [{"name": name, "results": results}] if results else []


def hub_metrics(index: Iterable[Mapping[str, Any]]) -> list[str]:
    """The kinds of metrics in a `model-index` that the hub knows."""
    used = {metric["type"] for model in index for result in model["results"] for metric in result["metrics"]}
    return [kind for kind in dict.fromkeys(_HUB_TYPES.values()) if kind in used]


def _row(name: str, figure: Mapping[str, Any], baselines: Iterable[Mapping[str, Any]]) -> tuple[Any, ...]:
    blind = [value for block in baselines if (value := (block.get(name) or {}).get("value")) is not None]
    best = number((min if name in LOWER_IS_BETTER else max)(blind)) if blind else ""
    return metric_label(name), number(figure["value"]), interval(figure), figure.get("n", ""), figure.get("clusters", ""), best


def _detail(name: str) -> bool:
    return name.removeprefix("compat/").startswith(("emotion/recall/", "au/f1/"))


def _short(figure: Mapping[str, Any] | None) -> str:
    if not figure or figure.get("value") is None:
        return ""
    return number(figure["value"]) + ("" if figure.get("low") is None else f" [{figure['low']:.3f}, {figure['high']:.3f}]")


def _described(name: str, figure: Mapping[str, Any]) -> str:
    said = f"{metric_label(name)}; 95 % interval {interval(figure)}" if figure.get("low") is not None else metric_label(name)
    return f"{said}, {figure['n']} rows, {figure['clusters']} clusters" if "n" in figure and "clusters" in figure else said
