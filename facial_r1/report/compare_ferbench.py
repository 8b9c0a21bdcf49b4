"""The figures of FERBench as families of counts of single questions, so that two runs can be resampled in pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from facial_r1.data.ferbench import DATASETS, LABELS, TOTAL
from facial_r1.metrics.bootstrap import Array
from facial_r1.metrics.ferbench import UNKNOWN, merged
from facial_r1.metrics.ferbench_figures import MATRIX_FIGURES, MODES, OTHER, POOLED, matrix_figures
from facial_r1.metrics.samples import Family, Sample
from facial_r1.prompts.candidates import same_label


def ferbench_families(samples: Sequence[Sample], records: Sequence[Mapping[str, Any]]) -> list[Family]:
    """Families ``ferbench/<set>/<reading>/<figure>`` of every set that occurs, and of all of them pooled where there are several.

    Unlike the leaderboard, which resamples within each set, the pooled figures are resampled over all questions; the leaderboard's mean
    over the sets is not given.

    Args:
        samples: With the row of samples.jsonl under ``row``; their counts get a pair [truth, answer] for each family.
        records: The same questions with ``dataset`` and ``labels``.
    """
    present = [name for name in DATASETS if any(record["dataset"] == name for record in records)]
    families = []
    for group in (*present, *([POOLED] if len(present) > 1 else [])):
        for mode in MODES:
            pairs = [
                _pair(sample["row"], record, mode, group == POOLED) if group in (POOLED, record["dataset"]) else None
                for sample, record in zip(samples, records, strict=True)
            ]
            key = f"ferbench/{group}/{mode}"
            for sample, pair in zip(samples, pairs, strict=True):
                sample["counts"][key] = pair
            space = _space(group, mode, pairs)
            names = tuple(f"{key}/{figure}" for figure in MATRIX_FIGURES)
            families.append(Family(key, names, _counts(key, space), _statistic(space, mode)))
    return families


def in_set_order(names: Iterable[str]) -> list[str]:
    """Metric names: accuracies, macro-F1, ...; within each the pooled figure, then the sets, strict before compat; others last."""

    def key(name: str) -> tuple[int, int, int, str]:
        parts = name.split("/")
        if parts[0] != "ferbench" or len(parts) != 4:
            return len(MATRIX_FIGURES), 0, 0, name
        return MATRIX_FIGURES.index(parts[3]), (POOLED, *DATASETS).index(parts[1]), int(parts[2] == "compat"), name

    return sorted(names, key=key)


def _pair(row: Mapping[str, Any], record: Mapping[str, Any], mode: str, pooled: bool) -> list[str] | None:
    """Truth and answer of a question; None where the released script leaves it out."""
    truth, judged = str(record["labels"][0]), row["ferbench"]
    if mode == "strict":
        own = same_label(truth, LABELS[record["dataset"]]) or OTHER
        called = str(judged["strict"])
    else:
        found = judged["total"] if pooled else judged["compat"]
        if found is None:
            return None
        own, called = truth, str(found)
    return [merged(own), merged(called)] if pooled else [own, called]


def _space(group: str, mode: str, pairs: Sequence[list[str] | None]) -> tuple[str, ...]:
    """Classes of the matrix. Compat: every label that occurs, unknown ones among them, as scikit-learn takes them."""
    known = LABELS[TOTAL if group == POOLED else group]
    if mode == "strict":
        return known
    every = {merged(label) for label in sum(LABELS.values(), ())} if group == POOLED else set(known)
    return tuple(sorted({*every, UNKNOWN, *(label for pair in pairs if pair for label in pair)}))


def _counts(key: str, space: Sequence[str]) -> Callable[[Sequence[Sample]], Array]:
    index = {label: place for place, label in enumerate(space)}
    size = len(space) + 1

    def counts(samples: Sequence[Sample]) -> Array:
        matrix = np.zeros((len(samples), size * size))
        cells = [[index.get(label, size - 1) for label in sample["counts"][key]] for sample in samples]
        places = np.array(cells, dtype=np.intp).reshape(-1, 2)
        matrix[np.arange(len(samples)), places[:, 0] * size + places[:, 1]] = 1.0
        return matrix

    return counts


def _statistic(space: Sequence[str], mode: str) -> Callable[[Array], Array]:
    size = len(space) + 1

    def statistic(totals: Array) -> Array:
        matrix = totals.reshape(*totals.shape[:-1], size, size)
        classes = size if mode == "compat" else size - 1
        return np.stack(matrix_figures(matrix, classes, 0.0), axis=-1)

    return statistic
