"""Answers to an open vocabulary: the wheels' counts of each answer, so that two runs can be resampled in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from facial_r1.affect.wheels import load
from facial_r1.metrics.bootstrap import Array
from facial_r1.metrics.evaluate import Evaluation
from facial_r1.metrics.samples import Family, Sample
from facial_r1.metrics.wheel import NAMES, wheel_counts, wheel_statistic
from facial_r1.prompts.open_vocabulary import Output, is_formatted, read_answer
from facial_r1.rewards.open_vocabulary import true_words

_KEY = "wheel"


def add_words(
    result: Evaluation,
    records: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    tables: tuple[str, str | None],
    output: Output,
) -> None:
    """Add the family of the wheels, and put the asked form of such answers in place of that of answers with action units.

    Args:
        result: Of the rows, scored without labels. Samples keep ``wheel/clip_f`` of each answer under ``scores``.
        records: With the true words under ``labels``.
        rows: With the ``completion``.
        tables: Name and folder of the wheels, see `facial_r1.affect.wheels.load`.
        output: The form of the answers, `prompt.output`.
    """
    wheels = load(*tables)
    statistic = wheel_statistic(wheels)
    place = NAMES.index("wheel/clip_f")
    for sample, record, row in zip(result.samples, records, rows, strict=True):
        truth, said = true_words(record), read_answer(row["completion"], output).words
        counts = wheel_counts(wheels, truth, said) if truth else None
        form = sample["counts"]["format"]
        valid = float(is_formatted(row["completion"], output, "ordered"))
        sample["counts"] |= {_KEY: counts, "format": [valid, form[1], float(bool(said))]}
        sample["scores"]["wheel/clip_f"] = None if counts is None else float(statistic(np.array(counts))[place])
    result.families.append(Family(_KEY, NAMES, _arrays, statistic))


def _arrays(samples: Sequence[Sample]) -> Array:
    return np.array([sample["counts"][_KEY] for sample in samples], dtype=np.float64)
