"""Figures by group: does a model serve everyone equally? The worst group stands beside the mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facial_r1.errors import InputError
from facial_r1.metrics.bootstrap import as_dicts, bootstrap
from facial_r1.metrics.evaluate import Evaluation
from facial_r1.metrics.samples import cluster_of

#: What rows without the field are called.
MISSING = "(not given)"
#: A group with fewer rows is shown, and is never called the worst: its figure is noise.
SMALL = 10
_SHOWN = ("emotion/accuracy", "emotion/uar", "emotion/macro_f1", "wheel/level1/f", "au/macro_f1", "au/micro_f1", "format/valid")


def field_of(record: Mapping[str, Any], path: str) -> str:
    """The value of a dotted field ("dataset", "meta_info.sex") as text; `MISSING` when the record has none."""
    value: Any = record
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value)) if value else None
    return MISSING if value in (None, "") else str(value)


def by_field(
    evaluation: Evaluation, records: Sequence[Mapping[str, Any]], path: str, resamples: int | None = None
) -> dict[str, Any]:
    """Every shown metric within each group of `path`, and the group where it is lowest.

    Args:
        evaluation: Of `records`, in the same order.
        records: With the published keys.
        path: A field of the records; dots lead into mappings.
        resamples: Behind each interval; by default those of the evaluation.

    Returns:
        `{"field", "groups": {group: {"rows", "metrics": {name: {"value", "low", "high", "n", "clusters"}}}},
        "worst": {metric: {"group", "value", "low", "high", "gap"}}}`; `gap` is the highest group's value minus the lowest's,
        over groups of at least `SMALL` rows, and `worst` leaves out metrics that fewer than two such groups have.

    Raises:
        InputError: no record has the field.
    """
    names = [field_of(record, path) for record in records]
    if set(names) == {MISSING}:
        raise InputError(
            f"stage.by: no row has the field {path}; fields are for example dataset, subject, split, meta_info.<key>"
        )
    groups: dict[str, Any] = {}
    for group in sorted(set(names), key=lambda name: (name == MISSING, name)):
        rows = [sample for sample, name in zip(evaluation.samples, names, strict=True) if name == group]
        metrics: dict[str, Any] = {}
        for family in evaluation.families:
            counted = [sample for sample in rows if sample["counts"].get(family.key) is not None]
            if counted:
                clusters = [cluster_of(sample) for sample in counted]
                draws = evaluation.resamples if resamples is None else resamples
                found = as_dicts(
                    bootstrap(family.counts(counted), clusters, family.statistic, draws, evaluation.seed), family.names
                )
                metrics |= {name: found[name] for name in _SHOWN if name in found and found[name]["value"] is not None}
        groups[group] = {"rows": len(rows), "metrics": metrics}
    return {"field": path, "groups": groups, "worst": _worst(groups)}


def _worst(groups: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for metric in _SHOWN:
        figures = {
            name: group["metrics"][metric]
            for name, group in groups.items()
            if metric in group["metrics"] and group["metrics"][metric]["n"] >= SMALL
        }
        if len(figures) < 2:
            continue
        lowest = min(figures, key=lambda name: figures[name]["value"])
        highest = max(figure["value"] for figure in figures.values())
        figure = figures[lowest]
        found[metric] = {
            "group": lowest,
            "value": figure["value"],
            "low": figure["low"],
            "high": figure["high"],
            "gap": highest - figure["value"],
        }
    return found
