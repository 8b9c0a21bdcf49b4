"""Models side by side on the same questions of FERBench: their order, who answers what right, and whether a lead is one.

The test is the exact McNemar test: of the questions that one model answers right and the other wrong, half should go either way
if the two are equally good (Dietterich 1998, *Approximate Statistical Tests for Comparing Supervised Classification Learning
Algorithms*, recommends it for systems that are run once). Its p values are corrected by Holm's method over all models, sets and
the pooled figure of one reading. The interval of a difference comes from paired resamples of the questions within each set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from facial_r1.data.ferbench import DATASETS
from facial_r1.errors import InputError
from facial_r1.metrics.bootstrap import from_resamples, multinomial_sums
from facial_r1.metrics.comparison import holm, mcnemar
from facial_r1.metrics.ferbench import merged
from facial_r1.metrics.ferbench_figures import MEAN, MODES, POOLED
from facial_r1.report.leaderboard_models import SET_LABELS, Model
from facial_r1.report.wording import figure

Right = npt.NDArray[np.int8]
"""1 right, 0 wrong, -1 not counted (no answer, or a crash in compat)."""

FIGURES: dict[str, str] = {"accuracy": "Accuracy", "macro_f1": "Macro-F1", "uar": "UAR"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model against the best one, on the questions that both were counted on.

    Attributes:
        model: Its name.
        best: Name of the model it is compared with.
        dataset: A set, or "pooled".
        mode: compat or strict.
        n: Questions compared.
        gained: Right here, wrong for the best model.
        lost: Wrong here, right for the best model.
        difference: Accuracy, this model minus the best one.
        low, high: Its 95 % interval; None without resamples.
        p: Exact McNemar test, two-sided.
        p_holm: After Holm's correction.
    """

    model: str
    best: str
    dataset: str
    mode: str
    n: int
    gained: int
    lost: int
    difference: float
    low: float | None
    high: float | None
    p: float
    p_holm: float = 1.0

    @property
    def significant(self) -> bool:
        """Whether the corrected p value is below 5 %."""
        return self.p_holm < 0.05


@dataclass(frozen=True)
class Board:
    """Everything that tables and page show.

    Attributes:
        models: In the order of the table, the best one first.
        sets: Columns, in order.
        by: The metric that decides the order.
        best: By mode, the model that the others are tested against.
        tests: By (model, set, mode).
        keys: Questions of each set.
        right: By (set, mode): for each model and question, see `Right`. Pooled compat reads SFEW as the pooled script does.
        references: Published systems that were not tested here: name, figures by metric, sources by metric.
        notes: What the reader should know.
    """

    models: tuple[Model, ...]
    sets: tuple[str, ...]
    by: str
    best: dict[str, str]
    tests: dict[tuple[str, str, str], Comparison]
    keys: dict[str, list[str]] = field(repr=False)
    right: dict[tuple[str, str], Right] = field(repr=False)
    references: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


def make_board(
    models: Sequence[Model],
    by: str | None = None,
    published: Sequence[Mapping[str, Any]] = (),
    resamples: int = 2000,
    seed: int = 0,
) -> Board:
    """Compare models.

    Args:
        models: At least one, names differ.
        by: Metric to sort by; by default the strict accuracy over all questions, or over the set that most models have.
        published: Entries of the protocol: system, metric, value, source.
        resamples: Behind the interval of each difference.
        seed: Of the resamples.

    Raises:
        InputError: Two models were asked the same question with another true label, or no model has the metric `by`.
    """
    sets = tuple(
        name for name in SET_LABELS if any(f"ferbench/{name}/strict/accuracy" in m.result.summary_metrics for m in models)
    )
    deciding = by or _usual(models, sets)
    known = sorted({name for model in models for name in model.result.summary_metrics})
    if deciding not in known:
        raise InputError(f"no model has the metric {deciding}: choose --by from {', '.join(known)}")
    ordered = sorted(models, key=lambda model: _value(model, deciding), reverse=True)
    keys = {name: _keys(ordered, name) for name in DATASETS if name in sets}
    right = {(name, mode): _right(ordered, name, mode, questions) for name, questions in keys.items() for mode in MODES}
    right[POOLED, "strict"] = np.concatenate([right[name, "strict"] for name in keys], axis=1)
    right[POOLED, "compat"] = np.concatenate(
        [_right(ordered, name, "compat", asked, "total") for name, asked in keys.items()], axis=1
    )
    best = {mode: _best(ordered, sets, mode) for mode in MODES}
    tested = [name for name in sets if name in keys or name == POOLED]
    tests: dict[tuple[str, str, str], Comparison] = {}
    for mode in MODES:
        found = _tests(ordered, best[mode], tested, mode, right, keys, resamples, seed)
        tests |= {(test.model, test.dataset, mode): test for test in _corrected(found)}
    return Board(
        models=tuple(ordered),
        sets=sets,
        by=deciding,
        best={mode: model.name for mode, model in best.items()},
        tests=tests,
        keys=keys,
        right=right,
        references=_references(published),
        notes=tuple(_notes(ordered, keys, right)),
    )


def counts(board: Board, first: int, second: int, dataset: str, mode: str) -> tuple[int, int, int, int]:
    """Questions that both models of these places answer right, only the first, only the second, and neither."""
    one, two = _shared(board.right[dataset, mode], first, second)
    return tuple(int(np.sum((one == a) & (two == b))) for a, b in ((1, 1), (1, 0), (0, 1), (0, 0)))  # type: ignore[return-value]


# --- order -------------------------------------------------------------------------------------------------------------


def _usual(models: Sequence[Model], sets: Sequence[str]) -> str:
    names = [f"ferbench/{name}/strict/accuracy" for name in sets]
    return max(names, key=lambda name: sum(name in model.result.summary_metrics for model in models))


def _value(model: Model, metric: str) -> float:
    return model.figure(metric).get("value", -math.inf)


def _best(models: Sequence[Model], sets: Sequence[str], mode: str) -> Model:
    name = _usual(models, sets).split("/")[1]
    return max(models, key=lambda model: _value(model, f"ferbench/{name}/{mode}/accuracy"))


# --- who is right ------------------------------------------------------------------------------------------------------


def _keys(models: Sequence[Model], dataset: str) -> list[str]:
    """All questions of a set that any model was asked, each once; their truths must agree."""
    truths: dict[str, tuple[str, str]] = {}
    for model in models:
        for key, place in model.answers.get(dataset, {}).items():
            truth = merged(str(model.result.samples[place]["labels"][0]))
            before, other = truths.setdefault(key, (truth, model.name))
            if before != truth:
                raise InputError(
                    f"/{key}: {other} was asked with the true label {before!r}, {model.name} with {truth!r} "
                    f"({model.result.files[0]}); compare results of the same question files"
                )
    return list(truths)


def _right(models: Sequence[Model], dataset: str, mode: str, keys: Sequence[str], reading: str = "compat") -> Right:
    found = np.full((len(models), len(keys)), -1, dtype=np.int8)
    for row, model in zip(found, models, strict=True):
        for place, key in enumerate(keys):
            sample = model.sample(dataset, key)
            if sample is None:
                continue
            if mode == "strict":
                row[place] = sample["scores"]["ferbench/strict"] == 1.0
            elif (called := sample["ferbench"][reading]) is not None:
                truth = sample["labels"][0]
                row[place] = merged(called) == merged(truth) if reading == "total" else called == truth
    return found


def _shared(right: Right, first: int, second: int) -> tuple[Right, Right]:
    both = (right[first] >= 0) & (right[second] >= 0)
    return right[first][both], right[second][both]


# --- tests -------------------------------------------------------------------------------------------------------------


def _tests(
    models: Sequence[Model],
    best: Model,
    sets: Sequence[str],
    mode: str,
    right: Mapping[tuple[str, str], Right],
    keys: Mapping[str, Sequence[str]],
    resamples: int,
    seed: int,
) -> list[Comparison]:
    at = models.index(best)
    found = []
    for place, model in enumerate(models):
        for name in sets if place != at else ():
            one, two = _shared(right[name, mode], place, at)
            if not len(one):
                continue
            low, high = _interval(right[name, mode], keys, name, place, at, resamples, seed)
            gained, lost = int(np.sum(one > two)), int(np.sum(one < two))
            found.append(
                Comparison(
                    model.name,
                    best.name,
                    name,
                    mode,
                    len(one),
                    gained,
                    lost,
                    (gained - lost) / len(one),
                    low,
                    high,
                    mcnemar(gained, lost),
                )
            )
    return found


def _interval(
    right: Right, keys: Mapping[str, Sequence[str]], name: str, first: int, second: int, resamples: int, seed: int
) -> tuple[float | None, float | None]:
    """95 % interval of a difference of accuracies: questions are drawn in pairs, within each set."""
    widths = [len(asked) for asked in keys.values()] if name == POOLED else [right.shape[1]]
    drawn, total, start = np.zeros((max(resamples, 0), 1)), 0, 0
    for place, width in enumerate(widths):
        one, two = _shared(right[:, start : start + width], first, second)
        start += width
        if len(one) and resamples > 0:
            kinds = [np.sum(one > two), np.sum(one == two), np.sum(one < two)]
            drawn += multinomial_sums([[1.0], [0.0], [-1.0]], kinds, resamples, np.random.default_rng([seed, place]))
        total += len(one)
    if total < 2:
        return None, None
    estimate = from_resamples(np.zeros(1), drawn / total, total, total)
    low, high = float(estimate.low[0]), float(estimate.high[0])
    return (None, None) if math.isnan(low) else (low, high)


def _corrected(tests: Sequence[Comparison]) -> list[Comparison]:
    adjusted = holm([test.p for test in tests])
    return [replace(test, p_holm=value) for test, value in zip(tests, adjusted, strict=True)]


# --- what stands beside ------------------------------------------------------------------------------------------------


def _references(published: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    systems: dict[str, dict[str, Any]] = {}
    for entry in published:
        if str(entry.get("metric", "")).startswith("ferbench/"):
            name = str(entry["system"])
            system = systems.setdefault(name, {"name": name, "figures": {}, "sources": {}})
            system["figures"][entry["metric"]] = figure(entry["value"])
            system["sources"][entry["metric"]] = str(entry.get("source", ""))
    return tuple(systems.values())


def _notes(models: Sequence[Model], keys: Mapping[str, Sequence[str]], right: Mapping[tuple[str, str], Right]) -> list[str]:
    notes = [f"{model.name}: {note}" for model in models for note in model.notes]
    for name, questions in keys.items():
        answered = (right[name, "strict"] >= 0).sum(axis=1)
        for model, count in zip(models, answered, strict=True):
            if 0 < count < len(questions):
                notes.append(
                    f"{model.name}: {SET_LABELS[name]} has results for {count} of the {len(questions)} questions that others answered: its figures "
                    "are over those alone, tests over the shared ones; --questions=<folder with the question files> counts the others as wrong"
                )
    sizes = {mean for model in models if (mean := model.figure(f"ferbench/{MEAN}/strict/accuracy").get("n")) is not None}
    if len(sizes) > 1:
        notes.append(
            "the models did not answer the same number of questions: do not compare their pooled figures, only the tests"
        )
    return notes
