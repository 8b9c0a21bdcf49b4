"""Every figure of two runs on their common samples, the differences between them, and what the differences are worth.

All differences are B - A: above zero means that B has the higher figure.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from facial_r1.metrics.bootstrap import Array, as_dicts, bootstrap, differences_as_dicts, paired_difference
from facial_r1.metrics.comparison import LEVEL, detectable_mean, difference_errors, holm
from facial_r1.metrics.evaluate import Evaluation, evaluate
from facial_r1.metrics.samples import Family, Sample, cluster_of, means
from facial_r1.progress import progress
from facial_r1.report.compare_ferbench import ferbench_families, in_set_order
from facial_r1.report.compare_open import add_words
from facial_r1.report.compare_runs import Pair, Row, Rules, Side
from facial_r1.report.compare_single import Contest, contests, deciding
from facial_r1.report.wording import figure, in_order, is_better, is_number

RESAMPLES = 10_000
HEADLINE = (
    "emotion/accuracy",
    "ferbench/pooled/strict/accuracy",
    "wheel/level1/f",
    "au/macro_f1",
    "au/subset_accuracy",
    "reward/mean",
    "format/valid",
)
"""The first of these that both have decides, unless the reader names another."""
_BY_DATASET = (
    "emotion/accuracy",
    "emotion/uar",
    "emotion/macro_f1",
    "wheel/level1/f",
    "au/macro_f1",
    "au/micro_f1",
    "reward/mean",
)
_UNDIRECTED = ("wheel/words_per_answer", "wheel/unknown_words")
_CLOSE = 5e-4


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of both.

    Attributes:
        metric: Its name.
        dataset: Of the rows behind it; "" for all.
        a, b: value, low, high; None where undefined.
        difference, low, high: B - A with its 95 % interval.
        p: Two-sided, of the same resamples; not corrected.
        family: What it is corrected with; "" alone.
        p_holm: After Holm's correction within the family; None alone.
        detectable: The smallest difference that these samples would have shown with 80 % power.
        n, clusters: Samples behind it, and the subjects among them.
    """

    metric: str
    dataset: str
    a: Mapping[str, float | None]
    b: Mapping[str, float | None]
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    detectable: float | None
    n: int
    clusters: int
    family: str = ""
    p_holm: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the difference is significant at 5 %: after Holm's correction where there is one, else by the interval."""
        if self.p_holm is not None:
            return self.p_holm < 1 - LEVEL
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def verdict(self) -> str:
        """What B is here, against A: "better", "worse", or "" where that is not decided, or where more is not better."""
        if not self.clear or self.difference is None or self.metric in _UNDIRECTED:
            return ""
        return "better" if is_better(self.metric, self.difference) else "worse"


@dataclass(frozen=True)
class Comparison:
    """All that tables and page show.

    Attributes:
        pair: The sides and their samples.
        lines: Figures over all samples, in the order of tables.
        by_dataset: Figures within each dataset; empty with a single one.
        contests: McNemar tests.
        decider: What says of single samples which side is better: a metric, "" without one.
        scores: By side, that metric of each common sample; None where it does not apply.
        binary: Whether those are right and wrong.
        primary: The metric that answers "which is better".
        resamples, seed: Behind intervals and p values.
        notes: What the reader should know.
    """

    pair: Pair
    lines: tuple[Line, ...]
    by_dataset: tuple[Line, ...]
    contests: tuple[Contest, ...]
    decider: str
    scores: tuple[list[float | None], list[float | None]] = field(repr=False)
    binary: bool
    primary: str
    resamples: int
    seed: int
    notes: tuple[str, ...]

    def line(self, metric: str) -> Line | None:
        """The figure of that name over all samples."""
        return next((line for line in self.lines if line.metric == metric), None)

    def about(self, metrics: Sequence[str]) -> Comparison:
        """The same about these metrics only, the first of which answers."""
        contests = tuple(one for one in self.contests if one.metric in metrics)
        return replace(self, primary=metrics[0], contests=contests)

    def flips(self, better: str) -> list[int]:
        """Places of the samples on which one side ("a" or "b") beats the other, by the decider; the clearest first."""
        gaps = [0.0 if one is None or two is None else two - one for one, two in zip(*self.scores, strict=True)]
        sign = 1.0 if better == "b" else -1.0
        return sorted((place for place, gap in enumerate(gaps) if sign * gap > 0), key=lambda place: -abs(gaps[place]))


def compare(pair: Pair, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """Score both sides on their common samples by the same rules, and compare.

    Args:
        pair: From `facial_r1.report.compare_runs.read_pair`.
        resamples: Behind each interval and p value, at least 1.
        seed: Of the resamples; both sides and all metrics of the same rows share the draws.
    """
    sides = [_samples(pair, side) for side in (pair.a, pair.b)]
    scored = [_families(pair, samples) for samples in sides]
    shared = {family.key for family in scored[1]}
    families = [family for family in scored[0] if family.key in shared]
    lines = _lines(sides, families, "", resamples, seed)
    notes = [*pair.notes, *_changed(pair, lines)]
    kept = {line.metric: line for line in lines if line.metric not in pair.left_out}
    names = in_set_order(kept) if pair.rules.ferbench else in_order(kept)
    lines = _corrected([kept[name] for name in names])
    datasets = sorted({str(record["dataset"]) for record in pair.records})
    within: list[Line] = []
    if len(datasets) > 1 and not pair.rules.ferbench:
        wanted = [family for family in families if set(family.names) & set(_BY_DATASET)]
        for name in datasets:
            chosen = [place for place, record in enumerate(pair.records) if record["dataset"] == name]
            parts = [[samples[place] for place in chosen] for samples in sides]
            found = {line.metric: line for line in _lines(parts, wanted, name or "(not given)", resamples, seed)}
            within += [found[metric] for metric in _BY_DATASET if metric in found and metric not in pair.left_out]
        within = _corrected(sorted(within, key=lambda line: (_BY_DATASET.index(line.metric), line.dataset)))
    decider, scores, binary = deciding(sides, is_open=pair.rules.wheels is not None)
    return Comparison(
        pair,
        tuple(lines),
        tuple(within),
        tuple(contests(sides)),
        decider,
        scores,
        binary,
        next((name for name in HEADLINE if any(line.metric == name for line in lines)), lines[0].metric if lines else ""),
        resamples,
        seed,
        tuple(dict.fromkeys(notes)),
    )


# --- scoring -----------------------------------------------------------------------------------------------------------


def evaluate_by(rules: Rules, rows: Sequence[Row], records: Sequence[Mapping[str, Any]], resamples: int = 0) -> Evaluation:
    """Score the answers of `rows` again by the rules of a run.

    Args:
        rules: Of the run.
        rows: Its samples.
        records: What is right, in their order.
        resamples: Behind each interval.
    """
    return evaluate(
        [row["completion"] for row in rows],
        [dict(record) if rules.labels else {**record, "labels": []} for record in records],
        vocabulary=() if rules.ferbench else rules.vocabulary,
        labels=rules.labels,
        resamples=resamples,
        finish_reasons=[row.get("finish_reason") for row in rows],
        empty_action_units=rules.empty,
        compat=rules.compat,
        rege_task=rules.rege,
        annotated=rules.annotated or None,
    )


def _samples(pair: Pair, side: Side) -> list[Sample]:
    """The common samples of a side with the counts that every figure is made of."""
    rows, rules = pair.rows(side), pair.rules
    result = evaluate_by(rules, rows, pair.records)
    for sample, row in zip(result.samples, rows, strict=True):
        sample["row"], sample["families"] = row, result.families
    if rules.wheels is not None:
        add_words(result, pair.records, rows, rules.wheels, rules.output)
    return result.samples


def _families(pair: Pair, samples: Sequence[Sample]) -> list[Family]:
    """The families of metrics of a side. Adds the counts of rewards, verdicts and FERBench to the samples."""
    if pair.rules.ferbench:
        return [*ferbench_families(samples, pair.records), _noted(samples, "format/valid")]
    found = list(samples[0]["families"])
    named = dict.fromkeys(name for sample in samples for name in sample["row"].get("scores") or ())
    return found + [_noted(samples, name) for name in named if name.startswith(("reward/", "text/judge"))]


def _noted(samples: Sequence[Sample], name: str) -> Family:
    """The mean of a value that the run noted for each row."""
    for sample in samples:
        value = (sample["row"].get("scores") or {}).get(name)
        sample["counts"][name] = [float(value)] if is_number(value) else None
    return means(name, (name,))


def _lines(sides: Sequence[Sequence[Sample]], families: Sequence[Family], dataset: str, resamples: int, seed: int) -> list[Line]:
    lines = []
    for family in progress(families, what="comparing", unit="groups of figures"):
        rows = [pair for pair in zip(*sides, strict=True) if all(sample["counts"].get(family.key) is not None for sample in pair)]
        if not rows:
            continue
        one, two = (family.counts([pair[side] for pair in rows]) for side in (0, 1))
        clusters = [cluster_of(left) for left, _ in rows]
        figures = _figures(one, two, clusters, family, resamples, seed)
        found = paired_difference(two, one, clusters, family.statistic, resamples, seed)
        errors = difference_errors(two, one, clusters, family.statistic)
        differences = differences_as_dicts(found, family.names)
        for name, error in zip(family.names, errors, strict=True):
            gap = differences[name]
            a, b = ({key: side[name][key] for key in ("value", "low", "high")} for side in figures)
            ends = {key: gap[key] for key in ("difference", "low", "high", "p")}
            seen = None if gap["difference"] is None else detectable_mean(float(error), found.clusters)
            lines.append(Line(name, dataset, a, b, **ends, detectable=seen, n=found.n, clusters=found.clusters))
    return lines


def _figures(
    one: Array, two: Array, clusters: Sequence[Hashable], family: Family, resamples: int, seed: int
) -> list[dict[str, dict[str, Any]]]:
    """The figures of both sides with their intervals, by one set of draws."""
    width = one.shape[1]

    def both(totals: Array) -> Array:
        return np.concatenate([family.statistic(totals[..., :width]), family.statistic(totals[..., width:])], axis=-1)

    estimate = bootstrap(np.concatenate([one, two], axis=1), clusters, both, resamples, seed)
    places = [f"{side} {name}" for side in "ab" for name in family.names]
    found = as_dicts(estimate, places)
    return [{name: found[f"{side} {name}"] for name in family.names} for side in "ab"]


def _corrected(lines: Sequence[Line]) -> list[Line]:
    """The lines with Holm's correction within each family of two or more."""
    families: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        if line.p is not None and (name := _family(line)):
            families.setdefault(name, []).append(place)
    found = list(lines)
    for name, places in families.items():
        if len(places) > 1:
            for place, value in zip(places, holm([_known(lines[place].p) for place in places]), strict=True):
                found[place] = replace(lines[place], family=name, p_holm=value)
    return found


def _known(p: float | None) -> float:
    return 1.0 if p is None else p


def _family(line: Line) -> str:
    """What a figure is corrected with, "" for one that stands alone."""
    if line.dataset:
        return f"datasets, {line.metric}"
    name = line.metric
    for part, family in (("au/f1/", "action units"), ("emotion/recall/", "emotions")):
        if name.removeprefix("compat/").startswith(part):
            return family + (", compat" if name.startswith("compat/") else "")
    parts = name.split("/")
    if parts[0] == "ferbench" and len(parts) == 4 and parts[1] != "pooled":
        return f"sets, {parts[2]} {parts[3]}"
    return ""


# --- against what the runs said ----------------------------------------------------------------------------------------


def _changed(pair: Pair, lines: Sequence[Line]) -> list[str]:
    """Figures that are not what the run wrote although all of its samples are here: other code, or edited files."""
    notes = []
    for side, other, pick in ((pair.a, pair.only_a, "a"), (pair.b, pair.only_b, "b")):
        if side.run is None or other:
            continue
        written = side.run.summary.get("metrics") or {}
        odd = []
        for line in lines:
            before, now = figure(written.get(line.metric)).get("value"), getattr(line, pick)["value"]
            if (
                before is not None
                and now is not None
                and abs(before - now) > _CLOSE
                and figure(written[line.metric]).get("n") in (None, line.n)
            ):
                odd.append(f"{line.metric} {before:.4f}, now {now:.4f}")
        if odd:
            more = f", and {len(odd) - 3} more" if len(odd) > 3 else ""
            notes.append(
                f"{side.name}: scored again, {len(odd)} figures are not those of its summary.json ({'; '.join(odd[:3])}{more}): its answers or "
                "this code have changed since. The figures here are of the answers in samples.jsonl"
            )
    return notes
