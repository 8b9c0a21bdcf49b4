"""Emotion-wheel figures of an evaluation, with clustered intervals and the blind baselines beside them.

Names, all in [0, 1]:

* ``wheel/level1/f``, ``/precision``, ``/recall`` and the same of ``level2``: as published (`facial_r1.affect.wheels`, ``compat``);
* ``wheel/m1/f``, ``wheel/m2/f``, ``wheel/m_avg``: without wheels, and the mean of all twelve F (OV-MER);
* ``wheel/clip_f``: mean over the clips of the F that each has on its own, which is what the reward ``ov_accuracy`` pays;
* ``wheel/hit``: HIT of MER-UniBench over the clips with one label (with several, one shared sector is a hit);
* ``wheel/strict/level1/f``, ``/precision``, ``/recall``: the same data in ``strict``;
* ``wheel/unknown_words``: share of the predicted words that the tables do not have; in ``compat`` they cost nothing;
* ``wheel/words_per_answer``: predicted over true words, both distinct; not bounded by 1. Above 1 the answers are longer than the truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from facial_r1.affect.wheels import Wheels
from facial_r1.affect.wheels.baselines import SIZES, best_constant, covering_words
from facial_r1.affect.wheels.parsing import Labels
from facial_r1.affect.wheels.parsing import words as tokens_of
from facial_r1.affect.wheels.scorer import Counts, clip_f
from facial_r1.affect.wheels.tables import WHEELS
from facial_r1.metrics.bootstrap import Array, as_dicts, bootstrap, nanmean, ratio

Figures = dict[str, dict[str, Any]]

NAMES = (
    *("wheel/level1/f", "wheel/level1/precision", "wheel/level1/recall"),
    *("wheel/level2/f", "wheel/level2/precision", "wheel/level2/recall"),
    *("wheel/m1/f", "wheel/m2/f", "wheel/m_avg", "wheel/clip_f", "wheel/hit"),
    *("wheel/strict/level1/f", "wheel/strict/level1/precision", "wheel/strict/level1/recall"),
    *("wheel/unknown_words", "wheel/words_per_answer"),
)
"""The figures, in the order of the statistic."""

_SHOWN = ("wheel/level1/f", "wheel/level1/precision", "wheel/level1/recall", "wheel/clip_f", "wheel/strict/level1/f")
"""Of the baselines."""


def wheel_metrics(
    truths: Sequence[Labels],
    predictions: Sequence[Labels],
    wheels: Wheels,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[Figures, dict[str, Figures], dict[str, int]]:
    """All figures of predicted emotion words.

    Args:
        truths: Labels of each clip, as `Wheels.parse` takes them.
        predictions: Labels predicted for each clip, in the same order.
        wheels: The tables.
        clusters: What each clip is resampled with (its subject); by default, each clip by itself.
        resamples: Behind each interval; 0 gives none.
        seed: Of the resamples.

    Returns:
        Metrics, name to ``{"value", "low", "high", "n", "clusters"}``; baselines, a name that lists the words (``constant words: angry,
        happy``, ``whole vocabulary``) to the same for `wheel/level1`, `wheel/clip_f` and `wheel/strict/level1/f`; and counts of clips
        without a label (``wheel_no_truth``), whose truth has no sector on any wheel (``wheel_unscored``), without a predicted word
        (``wheel_no_prediction``) and with one that the tables do not have (``wheel_unknown_words``).

    Raises:
        ValueError: There are no clips, or lengths differ.

    Example:
        >>> from facial_r1.affect.wheels import load
        >>> metrics, baselines, failures = wheel_metrics(["happy"], ["joyful, glad"], load(), resamples=0)
        >>> metrics["wheel/level1/recall"]["value"]
        1.0
    """
    if not truths:
        raise ValueError("no clips to score")
    groups = range(len(truths)) if clusters is None else clusters
    if not len(truths) == len(predictions) == len(groups):
        raise ValueError(f"{len(truths)} truths, but {len(predictions)} predictions and {len(groups)} clusters")
    counts = np.array([wheel_counts(wheels, truth, said) for truth, said in zip(truths, predictions, strict=True)])
    statistic = wheel_statistic(wheels)
    metrics = as_dicts(bootstrap(counts, list(groups), statistic, resamples, seed), NAMES)
    baselines: dict[str, Figures] = {}
    for name, answer in _blind(wheels, truths):
        rows = np.array([wheel_counts(wheels, truth, answer) for truth in truths])
        figures = as_dicts(bootstrap(rows, list(groups), statistic, resamples, seed), NAMES)
        baselines[name] = {key: figures[key] for key in _SHOWN}
    return metrics, baselines, _failures(truths, predictions, wheels)


def wheel_counts(wheels: Wheels, truth: Labels, prediction: Labels) -> list[float]:
    """Sufficient counts of one clip for `wheel_statistic`: sums over clips are all that the figures depend on."""
    one, two = wheels.counts(truth, prediction), wheels.counts(truth, prediction, 2)
    strict = wheels.counts(truth, prediction, mode="strict")
    singles = [wheels.counts(truth, prediction, mapping=mapping)[0] for mapping in ("case1", "case2")]
    row: list[float] = []
    for shared, true, predicted in (*one, *two, *singles):
        row += [float(true > 0), shared / predicted if true and shared else 0.0, shared / true if true else 0.0]
    for shared, true, predicted in strict:
        p, r = (shared / predicted if true and shared else 0.0), (shared / true if true else 0.0)
        row += [float(true > 0), p, r, 2 * p * r / (p + r) if p + r else 0.0]
    true_words, said = set(tokens_of(truth)), set(tokens_of(prediction))
    row += [float(shared > 0) for shared, _, _ in one]
    return [*row, clip_f(one, "compat"), 1.0, float(len(wheels.unknown(said))), float(len(said)), float(len(true_words))]


def wheel_statistic(wheels: Wheels) -> Callable[[Array], Array]:
    """From summed counts (..., k) to the figures `NAMES` (..., m); NaN where undefined.

    With the tables of 2025, F of a wheel without any overlap is NaN, as in the code released with them, and so are all figures
    of a wheel on which no clip has a sector (HIT among them); with the others they are 0.
    """
    undefined = math.nan if wheels.source.nan else 0.0

    def f_measure(precision: Array, recall: Array) -> Array:
        return ratio(2 * precision * recall, precision + recall, undefined)

    def statistic(totals: Array) -> Array:
        plain = totals[..., : 3 * (2 * WHEELS + 2)].reshape(*totals.shape[:-1], -1, 3)
        n, precision, recall = (plain[..., part] for part in range(3))
        precision, recall = ratio(precision, n, undefined), ratio(recall, n, undefined)
        f = f_measure(precision, recall)
        start = 3 * (2 * WHEELS + 2)
        strict = totals[..., start : start + 4 * WHEELS].reshape(*totals.shape[:-1], WHEELS, 4)
        rest = totals[..., start + 4 * WHEELS :]
        mended = [nanmean(ratio(strict[..., part], strict[..., 0])) for part in (3, 1, 2)]
        hit = ratio(rest[..., :WHEELS], n[..., :WHEELS], undefined).mean(axis=-1)
        clip, clips, unknown, said, true = (rest[..., WHEELS + part] for part in range(5))
        figures = [column[..., :WHEELS].mean(axis=-1) for column in (f, precision, recall)]
        figures += [column[..., WHEELS : 2 * WHEELS].mean(axis=-1) for column in (f, precision, recall)]
        figures += [f[..., 2 * WHEELS], f[..., 2 * WHEELS + 1], f.mean(axis=-1), ratio(clip, clips), hit]
        figures += [*mended, ratio(unknown, said), ratio(said, true)]
        return np.stack(figures, axis=-1)

    return statistic


def _blind(wheels: Wheels, truths: Sequence[Labels]) -> list[tuple[str, list[str]]]:
    """Answers that are the same for every clip."""
    found: dict[str, list[str]] = {}
    for size in SIZES:
        words = list(best_constant(wheels, truths, size).words)
        found[f"constant words: {', '.join(words)}"] = words
    return [*found.items(), ("whole vocabulary", covering_words(wheels))]


def _failures(truths: Sequence[Labels], predictions: Sequence[Labels], wheels: Wheels) -> dict[str, int]:
    counts: list[Counts] = [wheels.counts(truth, said) for truth, said in zip(truths, predictions, strict=True)]
    said = [tokens_of(prediction) for prediction in predictions]
    return {
        "wheel_no_truth": sum(not tokens_of(truth) for truth in truths),
        "wheel_unscored": sum(not any(true for _, true, _ in row) for row in counts),
        "wheel_no_prediction": sum(not tokens for tokens in said),
        "wheel_unknown_words": sum(bool(wheels.unknown(tokens)) for tokens in said),
    }
