"""FERBench scored: existing results in, every figure of both modes with its interval out. No model, no engine, no torch.

`score_predictions` reads files; `score_results` takes results that are at hand, for example generated answers
(`results_of`). Metric names, for each ``<set>`` of affectnet, rafdb, ferplus, sfew, and for ``pooled``:

* ``ferbench/<set>/<compat|strict>/{accuracy, macro_f1, macro_precision, macro_recall, uar, weighted_f1}``. Compat's accuracy and
  macro averages are what the released scripts print; ``uar`` and ``weighted_f1`` are over the true classes of the same
  predictions. ``n`` is the denominator: compat leaves crashes out, strict never leaves anything out;
* ``ferbench/<set>/format_rate``: responses that are exactly one reasoning and one answer, of all questions;
* ``ferbench/<set>/fallback_rate``: compat labels that were found outside an answer block, of the counted results. A large rate, or
  a gap between the modes, says that extraction luck is part of the figure;
* ``ferbench/mean/<mode>/{accuracy, uar, macro_f1}``: the mean over the four datasets.

Intervals: pictures are resampled within each dataset, whose sizes are fixed. Results that are alike (same truth, labels and flags)
are drawn together from a multinomial, which is exact.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from facial_r1.data.ferbench import DATASETS, LABELS, Question, dataset_name, picture_stem
from facial_r1.errors import InputError
from facial_r1.metrics import baselines
from facial_r1.metrics.ferbench import UNKNOWN, Result, counted, located, needed, unlisted_truths
from facial_r1.metrics.ferbench_figures import (
    MEAN,
    MODES,
    OTHER,
    POOLED,
    RATES,
    Figures,
    Outcome,
    Table,
    estimated,
    named,
    strict_only,
)
from facial_r1.metrics.ferbench_files import Paths, read_results
from facial_r1.prompts.candidates import MAX_RESPONSE, choose, same_label
from facial_r1.prompts.completion import structure


@dataclass(frozen=True)
class FerbenchResult:
    """What a FERBench evaluation found.

    Attributes:
        summary_metrics: Name to ``{"value", "low", "high", "n", "clusters"}``; names are in the module's docstring.
        failures: Counts over all sets: ``errors`` (crashes), ``missing`` (questions without result), ``unknown_compat``,
            ``unknown_strict`` (crashes and missing ones included), ``invalid_format``, ``overlong`` (responses beyond
            `MAX_RESPONSE` characters, never right in strict), ``truth_outside_candidates`` (never right in either mode).
        baselines: ``{"majority": figures}``: what calling every picture of a set its most frequent class would score, strictly.
        per_set: One row for each set, then pooled and mean: ``{"set", "n", "majority", failures..., "compat": {...},
            "strict": {...}, "format_rate", "fallback_rate"}`` with the figures of `summary_metrics`.
        confusion: ``{set: {mode: {"labels", "columns", "matrix"}}}``, sets and "pooled".
        samples: One per question: ``id, dataset, image, prompt, completion, labels, candidate_labels, parsed, scores, ferbench``.
        results: The results themselves, by dataset, in the authors' format.
        notes: What the user should know, each one line.
        files: The files read.
    """

    summary_metrics: Figures
    failures: dict[str, int]
    baselines: dict[str, Figures]
    per_set: list[dict[str, Any]]
    confusion: dict[str, dict[str, dict[str, Any]]]
    samples: list[dict[str, Any]]
    results: dict[str, list[Result]]
    notes: list[str]
    files: list[str]


def score_predictions(
    path: str | os.PathLike[str],
    questions: Paths | None = None,
    resamples: int = 2000,
    seed: int = 0,
    tag_required: bool = True,
) -> FerbenchResult:
    """Score existing results of any model.

    Args:
        path: A file of results, or a folder with one file a dataset; see `facial_r1.metrics.ferbench_files.read_results`.
        questions: Question files to compare with; questions without a result are then counted.
        resamples: Behind each interval; 0 gives none.
        seed: Of the resamples.
        tag_required: Strict mode: whether an answer without ``<answer>`` block is wrong.

    Raises:
        InputError: Nothing can be read, or the files break the format; nothing is scored then.
    """
    read = read_results(path, questions)
    found = score_results(read.rows, read.missing, resamples, seed, tag_required)
    return replace(found, notes=read.notes + found.notes, files=read.files)


def score_results(
    results: Mapping[str, Sequence[Result]],
    missing: Mapping[str, Sequence[Question]] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    tag_required: bool = True,
) -> FerbenchResult:
    """Score results by dataset (any spelling of the names).

    Args:
        results: In the authors' format; what `read_results` checks is taken for granted.
        missing: Questions that have no result: wrong in strict mode.
        resamples, seed, tag_required: See `score_predictions`.

    Raises:
        InputError: There is no result, or one lacks a key.
    """
    given = {dataset_name(name): list(rows) for name, rows in results.items()}
    rows = {name: given[name] for name in DATASETS if given.get(name)}
    lost = {dataset_name(name): [question.to_json() for question in asked] for name, asked in (missing or {}).items()}
    if not rows:
        raise InputError("there is no FERBench result to score")
    judged = {name: [_judge(row, name, tag_required) for row in part] for name, part in rows.items()}
    for name in rows:
        judged[name] += [_judge({**asked, "error": True}, name, tag_required) for asked in lost.get(name, ())]
    tables = {name: Table.of(name, outcomes) for name, outcomes in judged.items()}
    whole = set(rows) == set(DATASETS)
    estimates, confusion = estimated(tables, whole, resamples, seed)
    majority = {name: Table.of(name, _majority(name, outcomes)) for name, outcomes in judged.items()}
    failures = {name: _failures(rows[name], lost.get(name, []), judged[name]) for name in rows}
    metrics = named(estimates)
    return FerbenchResult(
        summary_metrics=metrics,
        failures={key: sum(part[key] for part in failures.values()) for key in next(iter(failures.values()))},
        baselines={"majority": strict_only(named(estimated(majority, whole, resamples, seed)[0]))},
        per_set=_rows(metrics, failures, judged),
        confusion=confusion,
        samples=[
            _sample(row, outcome, name)
            for name, part in rows.items()
            for row, outcome in zip([*part, *lost.get(name, ())], judged[name], strict=True)
        ],
        results=rows,
        notes=_notes(rows, failures, judged),
        files=[],
    )


def results_of(records: Sequence[Mapping[str, Any]], completions: Sequence[str]) -> dict[str, list[Result]]:
    """Generated answers in the authors' format, by dataset.

    Args:
        records: Rows of ``data=ferbench``, in the published form (``Record.to_json()``).
        completions: What the model wrote about each.

    Raises:
        InputError: A record does not come from a question file.
    """
    found: dict[str, list[Result]] = {}
    for record, completion in zip(records, completions, strict=True):
        asked = (record.get("meta_info") or {}).get("ferbench")
        if not isinstance(asked, Mapping):
            raise InputError(f"record {record.get('id', '?')}: no question of FERBench (meta_info.ferbench); use data=ferbench")
        found.setdefault(dataset_name(str(record.get("dataset"))), []).append({**asked, "model_response": completion})
    return {name: found[name] for name in DATASETS if name in found}


# --- judging -----------------------------------------------------------------------------------------------------------


def _judge(row: Result, dataset: str, tag_required: bool) -> Outcome:
    truth = str(row.get("true_label") or "")
    own = same_label(truth, LABELS[dataset]) or OTHER
    if not counted(row):
        return Outcome(truth, own, None, None, "none", UNKNOWN, False)
    truth, candidates, response = needed(row)
    compat, step = located(response, candidates, dataset)
    total = located(response, candidates, dataset, "total")[0] if dataset == "sfew" else compat
    chosen = choose(response, candidates, tag_required)
    strict = UNKNOWN if chosen is None else same_label(chosen, LABELS[dataset]) or UNKNOWN
    return Outcome(truth, own, compat, total, step, strict, _is_valid(response))


def _is_valid(response: str) -> bool:
    if len(response) > MAX_RESPONSE:
        return False
    thinking, answer, _, ordered = structure(response)
    return ordered and bool(thinking and answer and response[slice(*thinking)].strip() and response[slice(*answer)].strip())


def _majority(dataset: str, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes of calling everything the most frequent class."""
    known = [outcome.strict_truth for outcome in outcomes if outcome.strict_truth != OTHER]
    called = baselines.majority_class(known) if known else UNKNOWN
    return [Outcome(one.truth, one.strict_truth, called, called, "tag", called, True) for one in outcomes]


# --- reporting ---------------------------------------------------------------------------------------------------------


def _failures(rows: Sequence[Result], lost: Sequence[Result], judged: Sequence[Outcome]) -> dict[str, int]:
    return {
        "errors": sum(not counted(row) for row in rows),
        "missing": len(lost),
        "unknown_compat": sum(one.compat == UNKNOWN for one in judged),
        "unknown_strict": sum(one.strict == UNKNOWN for one in judged),
        "invalid_format": sum(not one.valid for one in judged),
        "overlong": sum(counted(row) and len(row["model_response"]) > MAX_RESPONSE for row in rows),
        "truth_outside_candidates": sum(same_label(row["true_label"], row["candidate_labels"]) is None for row in rows),
    }


def _notes(
    rows: Mapping[str, Sequence[Result]],
    failures: Mapping[str, Mapping[str, int]],
    judged: Mapping[str, Sequence[Outcome]],
) -> list[str]:
    notes = []
    for name, counts in failures.items():
        if counts["truth_outside_candidates"]:
            what = "have a true label outside of their candidate_labels: wrong in both modes"
            notes.append(f"{name}: {counts['truth_outside_candidates']} results {what}")
        if all(one.compat is None for one in judged[name]):
            notes.append(f"{name}: all results carry an error: no compat figures; every question is wrong in strict ones")
        elif unlisted_truths(rows[name]):
            notes.append(
                f"{name}: no true label is written as its candidates are: the released script stops there, no metrics file"
            )
    return notes


def _rows(
    metrics: Figures, failures: Mapping[str, Mapping[str, int]], judged: Mapping[str, Sequence[Outcome]]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in (*DATASETS, POOLED, MEAN):
        if f"ferbench/{name}/strict/accuracy" not in metrics:
            continue
        row: dict[str, Any] = {"set": name, "n": metrics[f"ferbench/{name}/strict/accuracy"]["n"]}
        if name in judged:
            truths = [one.strict_truth for one in judged[name]]
            row |= {"majority": baselines.majority_class(truths), **failures[name]}
        for mode in MODES:
            prefix = f"ferbench/{name}/{mode}/"
            row[mode] = {key.removeprefix(prefix): figure for key, figure in metrics.items() if key.startswith(prefix)}
        row |= {rate: metrics[key] for rate in RATES if (key := f"ferbench/{name}/{rate}") in metrics}
        rows.append(row)
    return rows


def _sample(row: Result, outcome: Outcome, dataset: str) -> dict[str, Any]:
    """A question as a row of ``samples.jsonl``."""
    response = _writable(str(row.get("model_response") or ""))
    path = _writable(str(row.get("image_path") or ""))
    right = outcome.compat is not None and outcome.compat == outcome.truth
    return {
        "id": f"{dataset}/{picture_stem(path)}",
        "dataset": dataset,
        "image": path,
        "prompt": _writable(str(row.get("prompt") or "")),
        "completion": response,
        "finish_reason": None,
        "AUs": None,
        "labels": [outcome.truth],
        "candidate_labels": list(row.get("candidate_labels") or ()),
        "description": "",
        "parsed": {
            "action_units": [],
            "labels": [] if outcome.strict == UNKNOWN else [outcome.strict],
            "thinking": _thinking(response),
            "valid": outcome.valid,
        },
        "scores": {
            "ferbench/compat": None if outcome.compat is None else float(right),
            "ferbench/strict": float(outcome.strict != UNKNOWN and outcome.strict == outcome.strict_truth),
            "format/valid": float(outcome.valid),
        },
        "ferbench": {"compat": outcome.compat, "total": outcome.compat_total, "step": outcome.step, "strict": outcome.strict},
        "meta_info": {},
        "subject": None,
        "spans": [],
    }


def _writable(text: str) -> str:
    """Text that UTF-8 can hold: half of a surrogate pair, which JSON may escape and so bring in, is spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _thinking(response: str) -> str:
    reasoning = structure(response)[0] if len(response) <= MAX_RESPONSE else None
    return response[slice(*reasoning)] if reasoning else ""
