"""MER-UniBench (AffectGPT, arXiv 2501.16566): HIT, WAF/ACC and level-1 F on nine sets from predicted words, and their mean.

Figures in [0, 1]: ``unibench/<set>/hit`` and ``/mscore`` (mer2023, mer2024, meld, iemocap), ``/waf`` and ``/accuracy`` (cmumosi, cmumosei, sims,
simsv2), ``/f``, ``/precision``, ``/recall`` (ovmerdplus; ovmerd where it is given). Where a set has several checkpoints, its figures are those
of the best one **on the test set**, which is how the published numbers came about. ``unibench/mean`` is the mean of the nine primary figures under
that rule, ``unibench/one_checkpoint/mean`` that of the best single checkpoint for all sets, ``unibench/last_checkpoint/mean`` that of the last ones.
With fewer than nine sets the means are called ``unibench/given/...``.

``unibench/<set>/strict/hit`` and ``unibench/ovmerdplus/strict/f`` are the same answers by the strict scorer (`facial_r1.affect.wheels`): neutral clips are
scored too, a clip whose answer has no word that the tables know is wrong, and unknown words cost precision. They are in no mean.

``n`` counts the clips of the truth. Neutral clips (HIT) and clips with truth 0 (WAF) are among them and are never scored: `SetResult.scored`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facial_r1.affect.wheels import Wheels
from facial_r1.affect.wheels.baselines import best_constant
from facial_r1.affect.wheels.parsing import words as tokens_of
from facial_r1.affect.wheels.tables import WHEELS
from facial_r1.data.ovmer import read_items
from facial_r1.data.unibench import NINE, SETS, BenchmarkSet, Checkpoint, Truth
from facial_r1.errors import InputError
from facial_r1.metrics.bootstrap import Array, Estimate, as_dicts, from_resamples, multinomial_sums, ratio
from facial_r1.metrics.sentiment import sentiment, sentiment_of

FIGURES = {"hit": ("hit", "mscore"), "sentiment": ("waf", "accuracy"), "open": ("f", "precision", "recall")}
"""Of each kind of set, the primary one first."""


@dataclass(frozen=True)
class SetResult:
    """A set scored on one checkpoint.

    Attributes:
        name: The set.
        checkpoint: Its name.
        values: Figures by name (`FIGURES`); NaN as the released code has it.
        n: Clips of the truth.
        scored: Clips that count: of each wheel, or for sentiment in all.
        counts: Sufficient counts of each clip, for intervals; shape (n, k).
        predictions: What was predicted, by clip, as written.
        stand_in: The sentiment was read off the wheels, since no file names it.
        strays: Clips answered with none of the three sentiment words, or without any word that the tables know.
        neutral: Clips whose truth is never scored: neutral (on all wheels nothing), or 0.
    """

    name: str
    checkpoint: str
    values: dict[str, float]
    n: int
    scored: list[int]
    counts: Array
    predictions: dict[str, str]
    stand_in: bool
    strays: int
    neutral: int

    @property
    def primary(self) -> float:
        """The figure that counts in the mean."""
        return self.values[SETS[self.name].primary]


@dataclass(frozen=True)
class UnibenchResult:
    """What an evaluation found.

    Attributes:
        metrics: Name to ``{"value", "low", "high", "n", "clusters"}``; names are in the module's docstring.
        best: The chosen checkpoint of each set.
        checkpoints: Set to a row ``{"checkpoint", "epoch", figures...}`` for each.
        baselines: ``best constant word``: what naming one thing for every clip scores.
        failures: Counts over the chosen checkpoints.
        notes: What the user should know, each one line.
    """

    metrics: dict[str, dict[str, Any]]
    best: dict[str, SetResult]
    checkpoints: dict[str, list[dict[str, Any]]]
    baselines: dict[str, dict[str, dict[str, Any]]]
    failures: dict[str, int]
    notes: list[str]


def score_set(name: str, truths: Mapping[str, Truth], checkpoint: Checkpoint, wheels: Wheels) -> SetResult:
    """Score one set on one checkpoint as the released code does.

    Raises:
        InputError: A file cannot be read, or a clip has no prediction.
    """
    chosen = SETS[name]
    if not truths:
        raise InputError(f"{name}: the truth has no clip")
    file = checkpoint.sentiment if chosen.kind == "sentiment" and checkpoint.sentiment else checkpoint.words
    if file is None and checkpoint.items is None:
        raise InputError(f"{name}: {checkpoint.name}: there are no words, {checkpoint.name}-openset.npz")
    said = dict(checkpoint.items or {}) if file is None else read_items(file)
    missing = [clip for clip in truths if clip not in said]
    if missing:
        raise InputError(
            f"{file or checkpoint.name}: {len(missing)} of {len(truths)} clips of {name} have no prediction, for example {missing[0]}"
        )
    stand_in = chosen.kind == "sentiment" and checkpoint.sentiment is None
    said = {clip: sentiment_of(tokens_of(said[clip]), wheels) if stand_in else said[clip] for clip in truths}
    if chosen.kind == "sentiment":
        return _sentiments(chosen, checkpoint, {clip: float(truth) for clip, truth in truths.items()}, said, stand_in)
    return _words(chosen, checkpoint, {clip: str(truth) for clip, truth in truths.items()}, said, wheels)


def _sentiments(
    chosen: BenchmarkSet, checkpoint: Checkpoint, truths: Mapping[str, float], said: dict[str, str], stand_in: bool
) -> SetResult:
    score = sentiment(truths, said)
    counts = np.zeros((len(truths), 4))
    for row, (clip, truth) in zip(counts, truths.items(), strict=True):
        if truth and not math.isnan(truth):
            row[2 * (truth > 0) + (said[clip] == "positive")] = 1.0
    values = {"waf": score.waf, "accuracy": score.accuracy}
    return SetResult(
        chosen.name, checkpoint.name, values, len(truths), [score.n], counts, said, stand_in, score.strays, score.unscored
    )


def _words(
    chosen: BenchmarkSet, checkpoint: Checkpoint, truths: Mapping[str, str], said: dict[str, str], wheels: Wheels
) -> SetResult:
    clips = [wheels.counts(truth, said[clip]) for clip, truth in truths.items()]
    if chosen.kind == "hit":
        hits = wheels.hit(truths, said)
        values, scored = {"hit": hits.hit_rate, "mscore": hits.mscore}, list(hits.n)
        classes = list(dict.fromkeys(truths.values()))
        named = [[shared for shared, _, _ in wheels.counts(classes, said[clip])] for clip in truths]
        rows = [
            [part for counts, some in zip(clip, listed, strict=True) for part in _hit_counts(counts, some)]
            for clip, listed in zip(clips, named, strict=True)
        ]
    else:
        corpus = wheels.corpus(truths, said)
        values = {"f": corpus.f, "precision": corpus.precision, "recall": corpus.recall}
        scored = [score.n for score in corpus.wheels]
        rows = [
            [part for shared, true, predicted in clip for part in (float(true > 0), shared / predicted if true and shared else 0.0, shared / true if true else 0.0)]
            for clip in clips
        ]  # fmt: skip
    strays = sum(not any(predicted for _, _, predicted in clip) for clip in clips)
    neutral = sum(not any(true for _, true, _ in clip) for clip in clips)
    return SetResult(chosen.name, checkpoint.name, values, len(truths), scored, np.array(rows), said, False, strays, neutral)


def _hit_counts(counts: tuple[int, int, int], classes: int) -> tuple[float, float, float]:
    """Of one clip on one wheel: scored, hit, share of the hit in the classes that were named."""
    shared, true, _ = counts
    return float(true > 0), float(true > 0 and shared > 0), (shared > 0 and true > 0) / max(1, classes)


def score_unibench(
    truths: Mapping[str, Mapping[str, Truth]],
    checkpoints: Mapping[str, Sequence[Checkpoint]],
    wheels: Wheels,
    resamples: int = 2000,
    seed: int = 0,
) -> UnibenchResult:
    """Score all sets that have truths and predictions.

    Args:
        truths: By set and clip, see `facial_r1.data.unibench.read_truths`.
        checkpoints: By set; all are scored.
        wheels: The tables; published figures are by those of 2025.
        resamples: Behind each interval; 0 gives none. Which checkpoint is the best is not resampled.
        seed: Of the resamples.

    Raises:
        InputError: There is nothing to score, or a file cannot be scored.
    """
    scored = {
        name: [score_set(name, truths[name], one, wheels) for one in checkpoints[name]]
        for name in SETS
        if name in truths and checkpoints.get(name)
    }
    if not scored:
        raise InputError("MER-UniBench: no set has both truths and predictions")
    best = {name: results[_best([one.primary for one in results])] for name, results in scored.items()}
    metrics: dict[str, dict[str, Any]] = {}
    drawn: dict[str, Array] = {}
    for place, (name, result) in enumerate(best.items()):
        estimate, drawn[name] = _estimate(result, wheels, resamples, np.random.default_rng([seed, place]))
        names = [f"unibench/{name}/{figure}" for figure in FIGURES[SETS[name].kind]]
        metrics |= as_dicts(estimate, names)
        metrics |= _strict(result, truths[name], wheels)
    metrics |= _means(scored, best, drawn, checkpoints)
    rows = {
        name: [
            {"checkpoint": one.name, "epoch": one.epoch, **{figure: _plain(value) for figure, value in result.values.items()}}
            for one, result in zip(checkpoints[name], results, strict=True)
        ]
        for name, results in scored.items()
    }
    failures = {
        "unscored": sum(result.neutral for result in best.values()),
        "stray_sentiments": sum(result.strays for result in best.values() if SETS[result.name].kind == "sentiment"),
        "without_known_words": sum(result.strays for result in best.values() if SETS[result.name].kind != "sentiment"),
        "sentiments_by_wheels": sum(result.n for result in best.values() if result.stand_in),
    }
    return UnibenchResult(
        metrics, best, rows, {"best constant word": _constant(truths, best, wheels)}, failures, _notes(scored, best)
    )


def _best(values: Sequence[float]) -> int:
    """The first of the highest; where one is NaN, the first NaN, as numpy's argmax in the released script."""
    return int(np.argmax(values))


def _estimate(result: SetResult, wheels: Wheels, resamples: int, rng: np.random.Generator) -> tuple[Estimate, Array]:
    """The figures of a set with their intervals, and those of the resamples, shape (resamples, figures)."""
    statistic = _statistic(SETS[result.name].kind, math.nan if wheels.source.nan else 0.0)
    value = np.array([result.values[name] for name in FIGURES[SETS[result.name].kind]])
    if resamples < 1 or result.n < 2:
        drawn = np.empty((0, len(value)))
    else:
        cells, often = np.unique(result.counts, axis=0, return_counts=True)
        drawn = statistic(multinomial_sums(cells, often, resamples, rng))
    return from_resamples(value, drawn, result.n, result.n), drawn


def _statistic(kind: str, undefined: float) -> Callable[[Array], Array]:
    """From summed counts (..., k) to the figures of a kind of set (..., m)."""

    def hit(totals: Array) -> Array:
        parts = totals.reshape(*totals.shape[:-1], WHEELS, 3)
        return np.stack([ratio(parts[..., part], parts[..., 0], undefined).mean(axis=-1) for part in (1, 2)], axis=-1)

    def words(totals: Array) -> Array:
        parts = totals.reshape(*totals.shape[:-1], WHEELS, 3)
        p, r = (ratio(parts[..., part], parts[..., 0], undefined) for part in (1, 2))
        return np.stack([column.mean(axis=-1) for column in (ratio(2 * p * r, p + r, undefined), p, r)], axis=-1)

    def sides(totals: Array) -> Array:
        right_negative, false_positive, false_negative, right_positive = (totals[..., cell] for cell in range(4))
        negative, positive = right_negative + false_positive, false_negative + right_positive
        f1 = [ratio(2 * right, 2 * right + false_positive + false_negative, 0.0) for right in (right_negative, right_positive)]
        n = negative + positive
        return np.stack([ratio(negative * f1[0] + positive * f1[1], n), ratio(right_negative + right_positive, n)], axis=-1)

    return {"hit": hit, "open": words, "sentiment": sides}[kind]


def _strict(result: SetResult, truth: Mapping[str, Truth], wheels: Wheels) -> dict[str, dict[str, Any]]:
    """The primary figure of a set of words by the strict scorer (`facial_r1.affect.wheels`); nothing for sentiment."""
    chosen = SETS[result.name]
    if chosen.kind == "sentiment":
        return {}
    labels = {clip: str(label) for clip, label in truth.items()}
    if chosen.kind == "hit":
        value = wheels.hit(labels, result.predictions, mode="strict").hit_rate
    else:
        value = wheels.corpus(labels, result.predictions, mode="strict").f
    figure = {"value": _plain(value), "low": None, "high": None, "n": result.n, "clusters": result.n}
    return {f"unibench/{result.name}/strict/{chosen.primary}": figure}


def _means(
    scored: Mapping[str, Sequence[SetResult]],
    best: Mapping[str, SetResult],
    drawn: Mapping[str, Array],
    checkpoints: Mapping[str, Sequence[Checkpoint]],
) -> dict[str, dict[str, Any]]:
    """The benchmark's mean under three rules for the checkpoint; sets are resampled independently of each other."""
    chosen = [name for name in NINE if name in best]
    if not chosen:
        return {}
    prefix = "unibench" if len(chosen) == len(NINE) else "unibench/given"
    clips = sum(best[name].n for name in chosen)
    values = np.array([np.mean([best[name].primary for name in chosen])])
    columns = [drawn[name][:, 0] for name in chosen]
    resampled = np.mean(columns, axis=0)[:, None] if len({len(column) for column in columns}) == 1 else np.empty((0, 1))
    found = as_dicts(from_resamples(values, resampled, clips, clips), [f"{prefix}/mean"])
    epochs = [{one.epoch: result.primary for one, result in zip(checkpoints[name], scored[name], strict=True)} for name in chosen]
    common = [epoch for epoch in epochs[0] if all(epoch in others for others in epochs)]
    rules = {"last_checkpoint": float(np.mean([scored[name][-1].primary for name in chosen]))}
    if common:
        means = [float(np.mean([others[epoch] for others in epochs])) for epoch in common]
        rules["one_checkpoint"] = means[_best(means)]
    for rule, value in rules.items():
        found[f"{prefix}/{rule}/mean"] = {"value": _plain(value), "low": None, "high": None, "n": clips, "clusters": clips}
    return found


def _constant(
    truths: Mapping[str, Mapping[str, Truth]], best: Mapping[str, SetResult], wheels: Wheels
) -> dict[str, dict[str, Any]]:
    """The primary figure of the best constant answer of one word (or sentiment) for each set, chosen on the set itself."""
    found = {}
    for name, result in best.items():
        truth, kind = truths[name], SETS[name].kind
        if kind == "sentiment":
            numbers = {clip: float(value) for clip, value in truth.items()}
            value = max(sentiment(numbers, dict.fromkeys(numbers, side)).waf for side in ("positive", "negative"))
        elif kind == "open":
            value = best_constant(wheels, [str(labels) for labels in truth.values()], 1).f
        else:
            labels = {clip: str(label) for clip, label in truth.items()}
            rates = [wheels.hit(labels, dict.fromkeys(labels, label)).hit_rate for label in Counter(labels.values())]
            value = max((rate for rate in rates if not math.isnan(rate)), default=math.nan)
        found[f"unibench/{name}/{SETS[name].primary}"] = {
            "value": _plain(value), "low": None, "high": None, "n": result.n, "clusters": result.n,
        }  # fmt: skip
    return found


def _notes(scored: Mapping[str, Sequence[SetResult]], best: Mapping[str, SetResult]) -> list[str]:
    notes = []
    several = [name for name, results in scored.items() if len(results) > 1]
    if several:
        notes.append(
            f"{', '.join(several)}: the best checkpoint on the test set itself is shown, as published; unibench/.../one_checkpoint and "
            "last_checkpoint are without that choice"
        )
    for name, result in best.items():
        if result.n != SETS[name].clips:
            notes.append(f"{name}: {result.n} clips, where the benchmark has {SETS[name].clips}")
        if result.stand_in:
            notes.append(
                f"{name}: nobody named sentiments ({result.checkpoint}-openset-sentiment.npz); which side words are on was read off the wheels, "
                "where the published step asks a language model"
            )
    missing = [name for name in NINE if name not in best]
    if missing:
        notes.append(f"not scored, so that there is no mean of nine sets: {', '.join(missing)}")
    return notes


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
