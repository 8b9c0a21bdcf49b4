"""Completions and records in, every figure with its interval out; and the paired comparison of two such results.

Nothing here calls a model: an evaluation is scored again from its completions in seconds.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from facial_r1.affect.emotions import EMOTIONS
from facial_r1.errors import InputError
from facial_r1.metrics import baselines, facial_r1_compat
from facial_r1.metrics.action_units import check_vocabulary
from facial_r1.metrics.bootstrap import Array, Statistic, as_dicts, bootstrap, differences_as_dicts, paired_difference
from facial_r1.metrics.emotion import Confusion, LabelSpace, confusion
from facial_r1.metrics.rege import Scoring, Task, scored_units
from facial_r1.metrics.samples import Family, Sample, cluster_of, families, make_sample, means
from facial_r1.rewards.annotation import Empty, true_labels

Figures = dict[str, dict[str, Any]]


@dataclass(slots=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        metrics: Name to ``{"value", "low", "high", "n", "clusters"}``. Metrics without a single row are missing; a value is
            None where undefined (a unit that neither occurs nor is predicted), low and high where there is no interval
            (one cluster, or ``resamples=0``).
        failures: Counts of what did not work or did not apply, see `evaluate`.
        confusion: Of the emotions; None without labelled rows.
        samples: One per completion, see `facial_r1.metrics.samples.make_sample`.
        baselines: ``"majority"`` and ``"constant"``, each like `metrics`.
        vocabulary: Units that were scored.
        labels: Label space that was scored.
        resamples: Behind each interval.
        seed: Of the resamples.
        compat: Classes of the released evaluation, where its figures were asked for.
        rege: What REGE scored, where it was asked for.
    """

    metrics: Figures
    failures: dict[str, int]
    confusion: Confusion | None
    samples: list[Sample]
    baselines: dict[str, Figures]
    vocabulary: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    resamples: int = 2000
    seed: int = 0
    families: list[Family] = field(default_factory=list, repr=False)
    compat: facial_r1_compat.Classes | None = None
    rege: Scoring | None = None


def evaluate(
    completions: Sequence[str],
    records: Sequence[Mapping[str, Any]],
    vocabulary: Sequence[str],
    labels: Sequence[str],
    resamples: int = 2000,
    seed: int = 0,
    finish_reasons: Sequence[str | None] | None = None,
    empty_action_units: Empty = "unknown",
    compat: bool = False,
    rege_task: Task | None = None,
    annotated: Mapping[str, Sequence[str]] | None = None,
) -> Evaluation:
    """Score completions against their records.

    Rows without a label are left out of the emotion figures and rows without AU coding out of the AU figures; both are
    counted. An answer that cannot be read is wrong, never left out. Intervals are bootstrapped over subjects (rows without
    ``subject`` are their own cluster).

    Args:
        completions: What the model wrote.
        records: Mappings with the published keys, in the same order.
        vocabulary: The protocol's action units; empty leaves them unscored.
        labels: The protocol's label space; empty (an open vocabulary) scores over the labels that occur in the records.
        resamples: Behind each interval; 0 gives none.
        seed: Of the resamples.
        finish_reasons: Why the engine stopped, per completion; ``"length"`` counts as truncated.
        empty_action_units: What an empty ``AUs`` means: ``"unknown"`` (not coded) or ``"absent"`` (coded, none active).
        compat: Also give what the released Facial-R1 evaluation computed, under ``compat/`` (`facial_r1.metrics.facial_r1_compat`).
        rege_task: Also give REGE, under ``text/rege`` (`facial_r1.metrics.rege`); None leaves it out.
        annotated: By ``dataset``, the units that it annotates, for rows of several datasets: a unit that nobody coded in a
            dataset is neither right nor wrong there.

    Returns:
        Metrics named as in the summary of a run. Failures: ``unparsed`` (labelled rows without a readable label),
        ``truncated``, ``invalid_format``, ``unknown_action_units`` (completions that name a unit FACS does not have),
        ``without_labels``, ``without_action_units`` and ``without_reference`` (rows left out of a family); with `compat`
        ``compat_empty_answer`` (answers at which the released code stopped).

    Raises:
        InputError: A record's label or unit that is not in the protocol.
        ValueError: There are no completions, or lengths differ.

    Example:
        >>> text = "<think>The lip corners rise (AU12).</think><answer>happy</answer>"
        >>> rows = [{"id": "1", "AUs": ["AU12"], "labels": ["happiness"]}]
        >>> evaluate([text], rows, ["AU12"], ["anger", "happiness"]).metrics["au/f1/AU12"]["value"]
        1.0
    """
    if not completions:
        raise ValueError("no completions to evaluate")
    if len(completions) != len(records):
        raise ValueError(f"{len(completions)} completions, but {len(records)} records")
    reasons = [None] * len(completions) if finish_reasons is None else list(finish_reasons)
    units = check_vocabulary(vocabulary) if vocabulary else ()
    names = tuple(labels) or _occurring(records)
    space = LabelSpace(names) if names else None
    classes = facial_r1_compat.Classes.of(records) if compat else None
    scoring = Scoring(rege_task, _rege_units(rege_task, records, units), empty_action_units) if rege_task else None
    samples = [
        make_sample(
            completion, record, units, space, reason, empty_action_units, classes, scoring, _annotated(record, units, annotated)
        )
        for completion, record, reason in zip(completions, records, reasons, strict=True)
    ]
    scored = families(units, names, classes, scoring)
    cells = [tuple(sample["counts"]["emotion"]) for sample in samples if sample["counts"]["emotion"] is not None]
    return Evaluation(
        metrics=_figures(samples, scored, resamples, seed),
        failures=_failures(samples, len(names)),
        confusion=confusion(cells, space) if space and cells else None,
        samples=samples,
        baselines=_baselines(samples, units, names, resamples, seed),
        vocabulary=units,
        labels=names,
        resamples=resamples,
        seed=seed,
        families=scored,
        compat=classes,
        rege=scoring,
    )


def compare(
    first: Evaluation, second: Evaluation, resamples: int | None = None, seed: int | None = None
) -> dict[str, dict[str, Any]]:
    """Paired differences of every metric, first minus second, over the records that both scored.

    Records are paired by id (and occurrence, where an id repeats). Both systems are resampled with the same draws of subjects.

    Args:
        first: For example the later model.
        second: What it is compared with.
        resamples: By default those of `first`, at least 1.
        seed: By default that of `first`.

    Returns:
        Metric to ``{"difference", "low", "high", "p", "n", "clusters"}``, p two-sided and not corrected for several metrics.

    Raises:
        InputError: The protocols differ, no record is shared, or a shared record has another truth.
    """
    if (first.vocabulary, first.labels) != (second.vocabulary, second.labels):
        raise InputError("the evaluations were scored with different label spaces or action units: score both with one protocol")
    one, two = _by_id(first.samples), _by_id(second.samples)
    shared = [key for key in one if key in two]
    if not shared:
        raise InputError("the evaluations share no record id: compare runs on the same test rows")
    found: dict[str, dict[str, Any]] = {}
    compat = first.compat if first.compat == second.compat else None
    scoring = first.rege if first.rege == second.rege else None
    for family in families(first.vocabulary, first.labels, compat, scoring):
        pairs = [(one[key], two[key]) for key in shared if _scored(one[key], two[key], family.key)]
        if not pairs:
            continue
        left, right = [a for a, _ in pairs], [b for _, b in pairs]
        difference = paired_difference(
            family.counts(left),
            family.counts(right),
            [cluster_of(sample) for sample in left],
            family.statistic,
            resamples=max(1, first.resamples if resamples is None else resamples),
            seed=first.seed if seed is None else seed,
        )
        found |= differences_as_dicts(difference, family.names)
    return found


def _annotated(
    record: Mapping[str, Any], vocabulary: Sequence[str], annotated: Mapping[str, Sequence[str]] | None
) -> Sequence[str] | None:
    """The units of the record's dataset; None where it annotates all of the vocabulary."""
    own = (annotated or {}).get(str(record.get("dataset") or ""))
    return None if own is None or set(vocabulary) <= set(own) else own


def _rege_units(task: Task, records: Sequence[Mapping[str, Any]], vocabulary: Sequence[str]) -> tuple[str, ...]:
    if task == "emotion":
        return ()
    return scored_units([str(record.get("dataset") or "") for record in records], vocabulary)


def mean_figures(
    columns: Mapping[str, Sequence[float | None]], clusters: Sequence[Hashable], resamples: int = 2000, seed: int = 0
) -> Figures:
    """Means of several values of the same rows (rewards, for example) with their intervals, like the metrics of `evaluate`.

    Args:
        columns: By name, one value per row; None is left out of the mean, and a column of nothing else is left out.
        clusters: The cluster of each row.
        resamples: Behind each interval; 0 gives none.
        seed: Of the resamples.
    """
    samples = [
        {
            "counts": {name: None if value is None else [value] for name, value in zip(columns, row, strict=True)},
            "cluster": cluster,
        }
        for cluster, row in zip(clusters, zip(*columns.values(), strict=True), strict=True)
    ]
    return _figures(samples, [means(name, (name,)) for name in columns], resamples, seed)


def _figures(samples: Sequence[Sample], scored: Sequence[Family], resamples: int, seed: int) -> Figures:
    """Figures with their intervals. Families of the same rows are resampled together: the draws are the same for each anyway."""
    together: dict[tuple[int, ...], list[Family]] = {}
    for family in scored:
        rows = tuple(index for index, sample in enumerate(samples) if sample["counts"][family.key] is not None)
        if rows:
            together.setdefault(rows, []).append(family)
    found: Figures = {}
    for rows, group in together.items():
        chosen = [samples[index] for index in rows]
        counts = [family.counts(chosen) for family in group]
        ends = np.cumsum([part.shape[1] for part in counts])[:-1]
        estimate = bootstrap(
            np.concatenate(counts, axis=1),
            [cluster_of(sample) for sample in chosen],
            _joined([family.statistic for family in group], ends),
            resamples,
            seed,
        )
        found |= as_dicts(estimate, [name for family in group for name in family.names])
    return {name: found[name] for family in scored for name in family.names if name in found}


def _joined(statistics: Sequence[Statistic], ends: npt.NDArray[np.intp]) -> Statistic:
    """One statistic of the counts of several, which stand side by side."""

    def statistic(totals: Array) -> Array:
        parts = np.split(totals, ends, axis=-1)
        return np.concatenate([one(part) for one, part in zip(statistics, parts, strict=True)], axis=-1)

    return statistic


def _failures(samples: Sequence[Sample], classes: int) -> dict[str, int]:
    counts = [sample["counts"] for sample in samples]
    found = {
        "unparsed": sum(row["emotion"] is not None and row["emotion"][1] == classes for row in counts),
        "truncated": sum(row["format"][1] == 1.0 for row in counts),
        "invalid_format": sum(row["format"][0] == 0.0 for row in counts),
        "unknown_action_units": sum(bool(sample["parsed"]["unknown"]) for sample in samples),
        "without_labels": sum(row["emotion"] is None for row in counts),
        "without_action_units": sum(row["au"] is None for row in counts),
        "without_reference": sum(row["text"] is None for row in counts),
    }
    if any(facial_r1_compat.EMOTION in row for row in counts):
        answers = [row[facial_r1_compat.EMOTION] for row in counts]
        found["compat_empty_answer"] = sum(row is not None and row["answer"] is None for row in answers)
    return found


def _baselines(
    samples: Sequence[Sample], vocabulary: Sequence[str], labels: Sequence[str], resamples: int, seed: int
) -> dict[str, Figures]:
    emotional = [sample["counts"]["emotion"] for sample in samples if sample["counts"]["emotion"] is not None]
    coded = [frozenset(sample["counts"]["au"]["truth"]) for sample in samples if sample["counts"]["au"] is not None]
    called = labels.index(baselines.majority_class([labels[true] for true, _ in emotional])) if emotional else None
    chosen = sorted(baselines.constant_units(coded, vocabulary)) if coded else None
    answers = [{"cluster": sample["cluster"], "counts": _constant(sample["counts"], called, chosen)} for sample in samples]
    scored = {family.key: family for family in families(vocabulary, labels) if family.key in ("emotion", "au")}
    figures = _figures(answers, list(scored.values()), resamples, seed)
    named = {"majority": emotional and scored["emotion"].names, "constant": coded and scored["au"].names}
    return {name: {metric: figures[metric] for metric in metrics} for name, metrics in named.items() if metrics}


def _constant(counts: Mapping[str, Any], called: int | None, chosen: Sequence[str] | None) -> dict[str, Any]:
    """The counts of a row as if it had been answered with this class and these units."""
    emotion, units = counts["emotion"], counts["au"]
    return {
        "emotion": None if emotion is None else [emotion[0], called],
        "au": None if units is None else units | {"predicted": chosen, "agreement": None},
    }


def _occurring(records: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Labels of the records, ours first in their order, then the others alphabetically."""
    seen = {label for record in records for label in true_labels(record)}
    return (*(label for label in EMOTIONS if label in seen), *sorted(seen.difference(EMOTIONS)))


def _by_id(samples: Sequence[Sample]) -> dict[tuple[str, str, int], Sample]:
    found: dict[tuple[str, str, int], Sample] = {}
    repeats: dict[tuple[str, str], int] = {}
    for sample in samples:
        key = (sample["dataset"], sample["id"])
        repeats[key] = repeats.get(key, 0) + 1
        found[*key, repeats[key]] = sample
    return found


def _scored(one: Sample, two: Sample, key: str) -> bool:
    """Whether both have the counts. Raises InputError when they were scored against different truths."""
    left, right = one["counts"][key], two["counts"][key]
    if left is None or right is None:
        return False
    if (left[0] != right[0]) if key == "emotion" else isinstance(left, dict) and left["truth"] != right["truth"]:
        raise InputError(
            f"record {one['id']}: the evaluations have different truths ({key}); compare runs on the same annotation"
        )
    return True
