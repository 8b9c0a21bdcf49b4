"""Two systems sample by sample: who is right where, and on which samples they part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from facial_r1.metrics.comparison import detectable_proportion, mcnemar, mcnemar_mid_p
from facial_r1.metrics.samples import Sample, cluster_of
from facial_r1.report.wording import is_number

Scores = list[float | None]


@dataclass(frozen=True, slots=True)
class Contest:
    """Who is right on which samples, for a metric that is a share of right samples.

    Attributes:
        metric: Its name.
        both, only_a, only_b, neither: Samples.
        p, p_mid: Exact McNemar test, two-sided, and its mid-p; samples count as independent.
        detectable: The smallest difference that this test would have found with 80 % power; None where none could be.
        clusters: Subjects among the samples.
    """

    metric: str
    both: int
    only_a: int
    only_b: int
    neither: int
    p: float
    p_mid: float
    detectable: float | None
    clusters: int

    @property
    def n(self) -> int:
        """Samples in all."""
        return self.both + self.only_a + self.only_b + self.neither


def contests(sides: Sequence[Sequence[Sample]]) -> list[Contest]:
    """The McNemar test of every metric that is a share of right samples; of FERBench, of the pooled ones.

    Args:
        sides: Samples of A and of B, aligned, with their counts.
    """
    found = []
    for metric in _shares(sides):
        rows = [
            ((one, two), cluster_of(left))
            for left, right in zip(*sides, strict=True)
            if (one := _right(left, metric)) is not None and (two := _right(right, metric)) is not None
        ]
        if not rows:
            continue
        cells = Counter(pair for pair, _ in rows)
        only_a, only_b = cells[True, False], cells[False, True]
        found.append(
            Contest(
                metric,
                both=cells[True, True],
                only_a=only_a,
                only_b=only_b,
                neither=cells[False, False],
                p=mcnemar(only_b, only_a),
                p_mid=mcnemar_mid_p(only_b, only_a),
                detectable=detectable_proportion(only_a + only_b, len(rows)),
                clusters=len({cluster for _, cluster in rows}),
            )
        )
    return found


def deciding(sides: Sequence[Sequence[Sample]], is_open: bool) -> tuple[str, tuple[Scores, Scores], bool]:
    """What decides sample by sample: right or wrong (in an open vocabulary, the F on the wheels), else the reward.

    Args:
        sides: Samples of A and of B, aligned, with their counts.
        is_open: Whether the labels are free words.

    Returns:
        The metric ("" without one), its value for each sample of A and of B, and whether it is right or wrong.
    """
    shares = [] if is_open else [metric for metric in _shares(sides) if "/compat/" not in metric]
    for metric in (*(["wheel/clip_f"] if is_open else shares), "reward/mean"):
        read = _right if metric in shares else _paid
        one, two = ([_number(read(sample, metric)) for sample in samples] for samples in sides)
        if any(value is not None for value in one) and any(value is not None for value in two):
            return metric, (one, two), metric in shares
    return "", ([None] * len(sides[0]), [None] * len(sides[1])), False


def _shares(sides: Sequence[Sequence[Sample]]) -> list[str]:
    """Metrics that are a share of right samples, the first of which decides."""
    judged = [f"{key}/accuracy" for key in sides[0][0]["counts"] if key.startswith("ferbench/")]
    pooled = [name for name in judged if name.startswith("ferbench/pooled/")]
    ferbench = sorted(pooled or judged, key=lambda name: "/compat/" in name)
    return ferbench or ["emotion/accuracy", "au/subset_accuracy"]


def _right(sample: Sample, metric: str) -> bool | None:
    """Whether a sample is right by one of `_shares`; None where it does not apply."""
    counts = sample["counts"]
    if metric == "au/subset_accuracy":
        return None if counts["au"] is None else counts["au"]["agreement"] == 1.0
    pair = counts["emotion"] if metric == "emotion/accuracy" else counts.get(metric.removesuffix("/accuracy"))
    return None if pair is None else pair[0] == pair[1]


def _paid(sample: Sample, metric: str) -> Any:
    return sample["scores"].get(metric) if metric.startswith("wheel/") else (sample["row"].get("scores") or {}).get(metric)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, bool) or is_number(value) else None
