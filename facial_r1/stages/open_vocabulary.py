"""Answers to an open vocabulary: emotion words, scored on wheels, beside the figures that every evaluation has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facial_r1.affect.wheels import Wheels, load
from facial_r1.config.schema import Job
from facial_r1.data import Record
from facial_r1.data.protocol import Protocol
from facial_r1.metrics.evaluate import Evaluation, mean_figures
from facial_r1.metrics.samples import Family, Sample, cluster_of
from facial_r1.metrics.wheel import NAMES, wheel_counts, wheel_metrics, wheel_statistic
from facial_r1.prompts.open_vocabulary import is_formatted, read_answer
from facial_r1.rewards.open_vocabulary import extracted_words, true_words

_KEY = "wheel"


def wheels_of(protocol: Protocol) -> Wheels:
    """The tables that a protocol is scored by. Raises InputError when released ones cannot be read."""
    return load(protocol.wheels, protocol.wheel_root)


def predicted_words(texts: Sequence[str], job: Job, protocol: Protocol) -> list[tuple[str, ...]]:
    """The emotion words of each answer, by `prompt.output` and `data.protocol.extractor`.

    "llm" sends what is inside the answer tags (or the whole bare answer) to the language model of `reward.extractor`; an answer without
    any text has no words, and nobody is asked.

    Raises:
        InputError: `extractor: llm`, and no language model is set up.
    """
    answers = [read_answer(text, job.prompt.output) for text in texts]
    if protocol.extractor == "list":
        return [answer.words for answer in answers]
    found = extracted_words([answer.text for answer in answers if answer.text])
    return [found[answer.text] if answer.text else () for answer in answers]


def add_wheels(
    result: Evaluation,
    records: Sequence[Record],
    texts: Sequence[str],
    words: Sequence[Sequence[str]],
    job: Job,
    protocol: Protocol,
    resamples: int,
) -> None:
    """Add the figures, failures and blind baselines of the wheels to an evaluation, and what the format means here.

    Rows without a label are left out of the wheels and counted (`without_labels`). ``format/valid`` is the asked form of the answer
    (`facial_r1.prompts.open_vocabulary.is_formatted`, ``ordered``) in place of the one with action units, ``format/parsed`` the share with
    at least one word. Samples keep what the wheels counted, so that figures by group have them too.
    """
    wheels = wheels_of(protocol)
    clusters = [cluster_of(sample) for sample in result.samples]
    truths = [true_words({"id": record.id, "labels": list(record.labels)}) for record in records]
    valid = [float(is_formatted(text, job.prompt.output, "ordered")) for text in texts]
    parsed = [float(bool(said)) for said in words]
    for sample, truth, said, form, some in zip(result.samples, truths, words, valid, parsed, strict=True):
        _note(sample, wheel_counts(wheels, truth, said) if truth else None, form, some)
    result.metrics |= mean_figures({"format/valid": valid, "format/parsed": parsed}, clusters, resamples, job.seed)
    result.failures |= {
        "without_labels": sum(not truth for truth in truths),
        "unparsed": sum(bool(truth) and not said for truth, said in zip(truths, words, strict=True)),
        "invalid_format": sum(form == 0.0 for form in valid),
    }
    chosen = [place for place, truth in enumerate(truths) if truth]
    if not chosen:
        return
    metrics, baselines, failures = wheel_metrics(
        [truths[place] for place in chosen],
        [list(words[place]) for place in chosen],
        wheels,
        [clusters[place] for place in chosen],
        resamples,
        job.seed,
    )
    result.metrics |= metrics
    result.baselines |= baselines
    result.failures |= {name: count for name, count in failures.items() if name != "wheel_no_truth"}
    result.families.append(Family(_KEY, NAMES, _arrays, wheel_statistic(wheels)))


def without_labels(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose labels are left to the wheels: free words are no classes of a confusion matrix."""
    return [{**row, "labels": []} for row in rows]


def _note(sample: Sample, counts: list[float] | None, valid: float, parsed: float) -> None:
    form = sample["counts"]["format"]
    sample["counts"] |= {_KEY: counts, "format": [valid, form[1], parsed]}
    sample["scores"] |= {"format/valid": valid, "format/parsed": parsed}


def _arrays(samples: Sequence[Sample]) -> Any:
    return np.array([sample["counts"][_KEY] for sample in samples], dtype=np.float64)
