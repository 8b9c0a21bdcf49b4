"""One scored completion, and the sufficient counts that every figure of an evaluation is computed from.

A sample is plain data (it is written to ``samples.jsonl``), so that figures, intervals and comparisons can be computed again
from stored samples without a model.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facial_r1.metrics import facial_r1_compat, rege
from facial_r1.metrics.action_units import SUMMARY as UNIT_SUMMARY
from facial_r1.metrics.action_units import unit_counts, unit_statistic
from facial_r1.metrics.bootstrap import Array, ratio
from facial_r1.metrics.emotion import SUMMARY as EMOTION_SUMMARY
from facial_r1.metrics.emotion import LabelSpace, emotion_statistic
from facial_r1.metrics.format import format_counts
from facial_r1.metrics.text import rouge_pair, strip_tags
from facial_r1.prompts.completion import Parsed, parse, thinking_span
from facial_r1.rewards.action_units import agreement
from facial_r1.rewards.annotation import Empty, true_labels, true_units

Sample = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """Metrics that share their counts and their rows.

    Attributes:
        key: Of the counts in a sample; rows without it are left out.
        names: Metric names, in the order of the statistic.
        counts: From the samples that have the key to an array (n, k).
        statistic: From summed counts (..., k) to metrics (..., len(names)).
    """

    key: str
    names: tuple[str, ...]
    counts: Callable[[Sequence[Sample]], Array]
    statistic: Callable[[Array], Array]


def families(
    vocabulary: Sequence[str],
    labels: Sequence[str],
    compat: facial_r1_compat.Classes | None = None,
    rege_scoring: rege.Scoring | None = None,
) -> list[Family]:
    """The families of metrics of a protocol; those without a vocabulary or label space, or not asked for, are left out."""
    found = []
    if labels:
        found.append(_emotion_family(labels))
    if vocabulary:
        found.append(_unit_family(vocabulary))
    found.append(means("text", ("text/rouge_1", "text/rouge_2", "text/rouge_l")))
    found.append(means("format", ("format/valid", "format/truncated", "format/parsed")))
    if compat is not None:
        found += _compat_families(compat)
    if rege_scoring is not None:
        found.append(Family("rege", rege.NAMES, _arrays("rege"), lambda totals: rege.statistic(totals, rege_scoring)))
    return found


def means(key: str, names: Sequence[str]) -> Family:
    """The family of means of values that samples list under `key`, one for each name."""
    return Family(key, tuple(names), _listed(key), _means)


def make_sample(
    completion: str,
    record: Mapping[str, Any],
    vocabulary: Sequence[str],
    space: LabelSpace | None,
    finish_reason: str | None = None,
    empty: Empty = "unknown",
    compat: facial_r1_compat.Classes | None = None,
    rege_scoring: rege.Scoring | None = None,
    annotated: Sequence[str] | None = None,
) -> Sample:
    """Parse and score one completion.

    Args:
        completion: What the model wrote.
        record: With the published keys.
        vocabulary: Canonical codes of the protocol.
        space: Its label space; None leaves emotions unscored.
        finish_reason: Why the engine stopped.
        empty: What an empty ``AUs`` means.
        compat: Classes of the released evaluation; None leaves its counts out.
        rege_scoring: What REGE scores; None leaves its counts out.
        annotated: Units that the record's dataset annotates, where those are fewer than the vocabulary.

    Returns:
        ``id, dataset, cluster, parsed, scores, counts``; a score or count that does not apply is None.

    Raises:
        InputError: An annotation that the protocol does not have.
    """
    parsed = parse(completion)
    truth, labels = true_units(record, empty), true_labels(record)
    counts: dict[str, Any] = {"emotion": None, "au": None, "text": None}
    if space and labels:
        counts["emotion"] = list(space.cell(labels, parsed.labels, where=f"record {record.get('id', '?')}"))
    if vocabulary and truth is not None:
        known = frozenset(vocabulary) if annotated is None else frozenset(vocabulary).intersection(annotated)
        counts["au"] = {
            "truth": sorted(truth & known),
            "predicted": [*parsed.action_units, *parsed.unknown],
            "agreement": agreement(parsed, truth, known),
        }
        if annotated is not None:
            counts["au"]["annotated"] = sorted(known)
    if reference := reasoning_of(str(record.get("description") or "")):
        written = reasoning_of(completion)
        scores = rouge_pair(reference, written)
        counts["text"] = [scores.rouge_1, scores.rouge_2, scores.rouge_l]
    right = None if counts["emotion"] is None else counts["emotion"][0] == counts["emotion"][1]
    answered = _answered(parsed, counts["emotion"], space)
    counts["format"] = list(format_counts(parsed, answered, finish_reason))
    if compat is not None:
        counts |= facial_r1_compat.counts(completion, record, compat)
    if rege_scoring is not None:
        counts["rege"] = rege.row_counts(completion, record, rege_scoring)
    return {
        "id": str(record.get("id", "")),
        "dataset": str(record.get("dataset") or ""),
        "cluster": _cluster(record),
        "parsed": _plain(parsed),
        "scores": {
            "emotion/accuracy": None if right is None else float(right),
            "au/set_f1": counts["au"]["agreement"] if counts["au"] else None,
            "text/rouge_l": counts["text"][2] if counts["text"] else None,
            "format/valid": counts["format"][0],
            "format/truncated": counts["format"][1],
            "format/parsed": counts["format"][2],
        },
        "counts": counts,
    }


def cluster_of(sample: Sample) -> Hashable:
    """What the sample is resampled with: its subject within its dataset, else itself."""
    cluster = sample["cluster"]
    return tuple(cluster) if isinstance(cluster, list) else cluster


def _cluster(record: Mapping[str, Any]) -> list[str]:
    subject = record.get("subject")
    kind, name = ("subject", subject) if subject not in (None, "") else ("record", record.get("id", ""))
    return [str(record.get("dataset") or ""), kind, str(name)]


def reasoning_of(text: str) -> str:
    """The reasoning of a completion or description without tags; the whole text when it has no reasoning tag."""
    span = thinking_span(text)
    return strip_tags(text[slice(*span)] if span else text).strip()


def _plain(parsed: Parsed) -> dict[str, Any]:
    """A parsed completion as JSON data; spans are ``[start, end, code, negated]``."""
    plain: dict[str, Any] = {name: getattr(parsed, name) for name in Parsed.__dataclass_fields__ if name != "spans"}
    for name, value in plain.items():
        if isinstance(value, tuple):
            plain[name] = list(value)
    plain["spans"] = [[m.start, m.end, m.code, m.negated] for m in parsed.spans]
    return plain


def _answered(parsed: Parsed, cell: list[int] | None, space: LabelSpace | None) -> bool:
    """Whether the answer could be read: a class for rows that ask for one, else any label or unit."""
    if cell is not None and space is not None:
        return cell[1] < len(space.labels)
    return bool(parsed.labels or parsed.action_units)


def _emotion_family(labels: Sequence[str]) -> Family:
    size = len(labels)

    def counts(samples: Sequence[Sample]) -> Array:
        matrix = np.zeros((len(samples), size * (size + 1)))
        cells = np.array([sample["counts"]["emotion"] for sample in samples], dtype=np.intp).reshape(-1, 2)
        matrix[np.arange(len(samples)), cells[:, 0] * (size + 1) + cells[:, 1]] = 1.0
        return matrix

    def statistic(totals: Array) -> Array:
        figures = emotion_statistic(totals, size)
        shown = len(EMOTION_SUMMARY)
        return np.concatenate([figures[..., :shown], figures[..., shown + 2 * size :]], axis=-1)

    names = [f"emotion/{name}" for name in EMOTION_SUMMARY] + [f"emotion/recall/{label}" for label in labels]
    return Family("emotion", tuple(names), counts, statistic)


def _unit_family(vocabulary: Sequence[str]) -> Family:
    size = len(vocabulary)

    def counts(samples: Sequence[Sample]) -> Array:
        rows = [sample["counts"]["au"] for sample in samples]
        triples = [(set(row["truth"]), set(row["predicted"]), row["agreement"]) for row in rows]
        return unit_counts(triples, vocabulary, [row.get("annotated") for row in rows])

    def statistic(totals: Array) -> Array:
        return unit_statistic(totals, size)[..., : len(UNIT_SUMMARY) + size]

    names = [f"au/{name}" for name in UNIT_SUMMARY] + [f"au/f1/{unit}" for unit in vocabulary]
    return Family("au", tuple(names), counts, statistic)


def _compat_families(classes: facial_r1_compat.Classes) -> list[Family]:
    module = facial_r1_compat
    found = []
    if classes.emotions:
        counts = _rows(module.EMOTION, module.emotion_counts, classes)
        found.append(Family(module.EMOTION, module.emotion_names(classes), counts, module.emotion_statistic))
    if classes.units:
        counts = _rows(module.UNITS, module.unit_counts, classes)
        found.append(Family(module.UNITS, module.unit_names(classes), counts, module.unit_statistic))
    if classes.described:
        found.append(means(module.TEXT, module.TEXT_NAMES))
    return found


def _rows(
    key: str, count: Callable[[Sequence[Any], facial_r1_compat.Classes], Array], classes: facial_r1_compat.Classes
) -> Callable[[Sequence[Sample]], Array]:
    return lambda samples: count([sample["counts"][key] for sample in samples], classes)


def _arrays(key: str) -> Callable[[Sequence[Sample]], Array]:
    return lambda samples: np.array([sample["counts"][key] for sample in samples], dtype=np.float64)


def _listed(key: str) -> Callable[[Sequence[Sample]], Array]:
    def counts(samples: Sequence[Sample]) -> Array:
        values = np.array([sample["counts"][key] for sample in samples], dtype=np.float64).reshape(len(samples), -1)
        return np.concatenate([values, np.ones((len(samples), 1))], axis=1)

    return counts


def _means(totals: Array) -> Array:
    return ratio(totals[..., :-1], totals[..., -1:])
