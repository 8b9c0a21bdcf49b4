"""FERBench (UniFER, arXiv 2511.00389): the label of a response, and the figures of a list of results; without scikit-learn.

A *result* is a record of the authors' files: ``image_path, true_label, candidate_labels, model_response`` and, after a crash,
``error``. Two modes, never mixed:

**compat** is what the released scripts compute, per dataset (``eval_<name>``) and pooled (``eval_total``):
    1. the first ``<answer>`` block: tags in any case and no line break inside, except in SFEW's own script (lower case, any text);
       its text in lower case gives the first candidate, in the order of the list, that is a *substring* of it;
    2. else the first candidate that is a substring of the whole response in lower case, reasoning included;
    3. else the first label, in the order of the dataset's table, with a synonym that is a substring of it;
    4. else ``unknown``.
    Results with a true ``error`` are left out. Macro averages run over every label that occurs in the truth or among the
    predictions, ``unknown`` included (scikit-learn's default); the matrix and the table by class have the candidates of the last
    counted result, pooled the true labels. Truth is compared as written.

**strict** counts every result: a crash is wrong. An answer is right when it names the true candidate, and only that, as a whole
word in an answer block (`facial_r1.prompts.candidates`); else it is ``unknown``, which is a column of the matrix, never a class.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from facial_r1.data.ferbench import DATASETS, LABELS, TOTAL, answer_block, dataset_name, dataset_of
from facial_r1.errors import InputError
from facial_r1.prompts.candidates import choose, same_label

Mode = Literal["compat", "strict"]
Script = Literal["dataset", "total"]
Step = Literal["tag", "text", "synonym", "none"]

UNKNOWN = "unknown"


class Stopped(InputError):
    """The released script stops with an exception on these results and writes no figures."""


MERGED: dict[str, str] = {"angry": "anger", "happy": "happiness", "sad": "sadness"}
"""What the pooled script renames, in truth and prediction."""

_NOUNS = {
    "disgust": ("revulsion", "repulsion"),
    "fear": ("terror", "fright"),
    "happiness": ("joy", "happy"),
    "sadness": ("sad",),
    "neutral": ("normal", "calm", "blank"),
    "surprise": ("shock", "astonishment"),
}
_ADJECTIVES = {
    "disgust": _NOUNS["disgust"],
    "fear": _NOUNS["fear"],
    "happy": ("joy", "happiness"),
    "sad": ("sorrow", "unhappy"),
    "neutral": _NOUNS["neutral"],
    "surprise": _NOUNS["surprise"],
}
SYNONYMS: dict[str, dict[str, tuple[str, ...]]] = {
    "rafdb": {"anger": ("angry",), **_NOUNS},
    "affectnet": {"anger": ("angry", "mad"), "contempt": ("scorn", "disdain"), **_NOUNS},
    "ferplus": {"angry": ("anger",), "contempt": ("scorn", "disdain"), **_ADJECTIVES},
    "sfew": {"angry": ("anger", "mad"), **_ADJECTIVES},
}
"""The released scripts' tables; the order decides."""

# Unicode case folding on purpose: the released pattern had it too.
_ANSWER_TAG = re.compile(r"</?answer>", re.IGNORECASE)


def extract(
    response: str,
    candidates: Sequence[str],
    dataset: str = "rafdb",
    mode: Mode = "compat",
    *,
    script: Script = "dataset",
    tag_required: bool = True,
) -> str:
    """The label that a response gives, or "unknown".

    Args:
        response: What the model wrote.
        candidates: Labels to choose from, in the order of the question.
        dataset: Any spelling of one of `DATASETS`; decides the synonyms, and how SFEW's tags are read.
        mode: ``"compat"`` or ``"strict"``, see the module.
        script: Compat only: as the dataset's own script reads it, or as the pooled one (``"total"``) does.
        tag_required: Strict only: whether an answer without ``<answer>`` block is unknown.

    Raises:
        InputError: Unknown dataset.
        ValueError: Unknown mode or script.

    Example:
        >>> extract("<think>x</think><answer>not happy but sad</answer>", ["happy", "sad"], "sfew")
        'happy'
        >>> extract("<think>x</think><answer>not happy but sad</answer>", ["happy", "sad"], "sfew", "strict")
        'sad'
    """
    name = dataset_name(dataset)
    if mode == "strict":
        return choose(response, candidates, tag_required) or UNKNOWN
    if mode != "compat" or script not in ("dataset", "total"):
        raise ValueError(f"mode={mode!r}, script={script!r}: give compat or strict, and dataset or total")
    if name == TOTAL:
        raise InputError(
            "extract needs the dataset of the response; for the pooled script's reading give script='total' beside it"
        )
    return located(response, candidates, name, script)[0]


def located(response: str, candidates: Sequence[str], dataset: str, script: Script = "dataset") -> tuple[str, Step]:
    """The compat label of a response, and the step that found it: its answer block, the whole text, a synonym, or none.

    Time is linear in the length of the response.

    Args:
        response: What the model wrote.
        candidates: In the order of the question, in lower case.
        dataset: One of `DATASETS`.
        script: Whose reading.
    """
    answer = answer_block(response) if dataset == "sfew" and script == "dataset" else _one_line_block(response)
    if answer is not None:
        lowered = answer.strip().lower()
        for label in candidates:
            if label in lowered:
                return label, "tag"
    lowered = response.lower()
    for label in candidates:
        if label in lowered:
            return label, "text"
    for label, words in SYNONYMS[dataset].items():
        for word in words:
            if word in lowered:
                return label, "synonym"
    return UNKNOWN, "none"


def _one_line_block(text: str) -> str | None:
    r"""What ``<answer>\s*(.*?)\s*</answer>`` finds, tags in any case, in linear time.

    Between an opening and the next closing tag the pattern matches when no line break is left after stripping. The leftmost
    opening tag for which that holds decides, so that per closing tag the last line break of the stripped text is enough to know.
    """
    opened: list[int] = []
    begin = 0
    for tag in _ANSWER_TAG.finditer(text):
        if tag.end() - tag.start() == len("<answer>"):
            opened.append(tag.end())
            continue
        if opened:
            last_break = text.rfind("\n", begin, begin + len(text[begin : tag.start()].rstrip()))
            place = next((i for i, end in enumerate(opened) if end > last_break), len(opened))
            # The tag before the break also matches when only blanks stand between the two.
            if place and not text[opened[place - 1] : last_break].strip():
                place -= 1
            if place < len(opened):
                return text[opened[place] : tag.start()]
        opened.clear()
        begin = tag.end()
    return None


# --- figures -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """What the authors write to their metrics files, and the counts that they print.

    Also a mapping of the three published keys (``figures["overall"]``, ``dict(figures)``), and iterable over their values:
    ``overall, per_class, confusion_matrix = evaluate(...)``.

    Attributes:
        overall: ``accuracy, precision, recall, f1`` (macro); strict adds ``uar`` and ``weighted_f1``.
        per_class: ``emotion, precision, recall, f1, support`` by class.
        confusion_matrix: Rows true, columns predicted; strict has a last column ``unknown``.
        labels: Of the rows.
        total: Results given.
        errors: Results with a true ``error``.
        unknown: Counted results without a label.
        counted: Results behind the figures.
    """

    overall: dict[str, float]
    per_class: list[dict[str, Any]]
    confusion_matrix: list[list[int]]
    labels: tuple[str, ...] = field(repr=False)
    total: int = 0
    errors: int = 0
    unknown: int = 0
    counted: int = 0

    def keys(self) -> tuple[str, str, str]:
        """The published keys."""
        return ("overall", "per_class", "confusion_matrix")

    def __getitem__(self, key: str) -> Any:
        if key not in self.keys():
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.overall, self.per_class, self.confusion_matrix))


Result = Mapping[str, Any]


def evaluate(
    records: Sequence[Result] | Mapping[str, Sequence[Result]],
    dataset: str,
    mode: Mode = "compat",
    *,
    tag_required: bool = True,
) -> Figures:
    """Figures of results, as the dataset's own script or the pooled one computes them, or strictly.

    Args:
        records: Results. Pooled: by dataset, or all in one list (each then tells its dataset, see `facial_r1.data.ferbench.dataset_of`).
        dataset: One of `DATASETS` in any spelling, or "total" (also "pooled").
        mode: See the module.
        tag_required: Strict only.

    Raises:
        Stopped: Compat: no result is left to count, or none of a dataset has a truth among the candidates of the last counted one.
        InputError: A result has no truth, candidates or response; strict: there is no result.
    """
    name = dataset_name(dataset)
    if mode not in ("compat", "strict"):
        raise ValueError(f"mode={mode!r}: give compat or strict")
    if isinstance(records, Mapping):
        parts = {dataset_name(key): list(rows) for key, rows in records.items()}
        rows = [(part, row) for part in DATASETS for row in parts.get(part, ())]
    else:
        rows = [(name if name != TOTAL else dataset_of(row, f"record {i}"), row) for i, row in enumerate(records)]
    if mode == "strict":
        return _strict_figures(rows, name, tag_required)
    return _compat_figures(rows, name)


def counted(record: Result) -> bool:
    """Whether the released scripts count a result: those whose ``error`` is true are left out."""
    return not record.get("error")


def unlisted_truths(rows: Sequence[Result]) -> list[str]:
    """The true labels of a dataset's counted results, sorted, when none of them is a row of the released matrix; else empty.

    Its rows are the candidates of the last counted result, compared as written, and scikit-learn refuses a matrix that no truth is in.
    """
    kept = [needed(row) for row in rows if counted(row)]
    truths = {truth for truth, _, _ in kept}
    return sorted(truths) if kept and truths.isdisjoint(kept[-1][1]) else []


def merged(label: str) -> str:
    """The label's name in the pooled figures."""
    return MERGED.get(label, label)


def _compat_figures(rows: Sequence[tuple[str, Result]], name: str) -> Figures:
    pooled = name == TOTAL
    kept = [(part, row) for part, row in rows if counted(row)]
    if not kept:
        raise Stopped(
            f"{name}: none of the {len(rows)} results can be counted "
            + ("(all carry an error); run the inference again" if rows else "(the list is empty)")
        )
    if not pooled and (unlisted := unlisted_truths([row for _, row in kept])):
        raise Stopped(
            f"{name}: none of the {len(kept)} true labels ({', '.join(unlisted[:4])}) is among the candidates of the last counted result; "
            "the released script stops here: write the truth as the candidates do"
        )
    truths, predictions = [], []
    for part, row in kept:
        truth, candidates, response = needed(row)
        label = located(response, candidates, part, "total" if pooled else "dataset")[0]
        truths.append(merged(truth) if pooled else truth)
        predictions.append(merged(label) if pooled else label)
    shown = tuple(sorted(set(truths))) if pooled else tuple(needed(kept[-1][1])[1])
    union = tuple(sorted({*truths, *predictions}))
    cells = Counter(zip(truths, predictions, strict=True))
    scores = {label: class_scores(cells, label) for label in {*union, *shown}}
    # One contiguous mean each: the order of summation, and with it the last digit, is then that of scikit-learn.
    macro = [float(np.mean([scores[label][part] for label in union])) for part in range(3)]
    right = sum(count for (truth, called), count in cells.items() if truth == called)
    overall = dict(zip(("precision", "recall", "f1"), macro, strict=True))
    return Figures(
        overall={"accuracy": right / len(kept), **overall},
        per_class=_table(scores, shown),
        confusion_matrix=[[cells[truth, called] for called in shown] for truth in shown],
        labels=shown,
        total=len(rows),
        errors=len(rows) - len(kept),
        unknown=predictions.count(UNKNOWN),
        counted=len(kept),
    )


def _strict_figures(rows: Sequence[tuple[str, Result]], name: str, tag_required: bool) -> Figures:
    pooled = name == TOTAL
    if not rows:
        raise InputError(f"{name}: there are no results")
    cells: Counter[tuple[str, str]] = Counter()
    for part, row in rows:
        truth, called = strict_pair(row, part, tag_required)
        cells[(merged(truth), merged(called)) if pooled else (truth, called)] += 1
    shown = LABELS[name]
    scores = {label: class_scores(cells, label) for label in shown}
    occurring = [label for label in shown if scores[label][3] or any(called == label for _, called in cells)]
    supported = [label for label in shown if scores[label][3]]
    size = len(rows)
    means = [float(np.mean([scores[label][part] for label in occurring])) if occurring else 0.0 for part in range(3)]
    overall = {
        "accuracy": sum(count for (truth, called), count in cells.items() if truth == called) / size,
        **dict(zip(("precision", "recall", "f1"), means, strict=True)),
        "uar": float(np.mean([scores[label][1] for label in supported])) if supported else 0.0,
        "weighted_f1": sum(scores[label][2] * scores[label][3] for label in shown) / size,
    }
    return Figures(
        overall=overall,
        per_class=_table(scores, shown),
        confusion_matrix=[[cells[truth, called] for called in (*shown, UNKNOWN)] for truth in shown],
        labels=shown,
        total=size,
        errors=sum(not counted(row) for _, row in rows),
        unknown=sum(count for (_, called), count in cells.items() if called == UNKNOWN),
        counted=size,
    )


def strict_pair(row: Result, dataset: str, tag_required: bool = True) -> tuple[str, str]:
    """Truth and prediction of one result, in the dataset's own words.

    A truth outside of the label space stays as written and cannot be met; crashes and unreadable answers are "unknown".
    """
    space = LABELS[dataset]
    if counted(row):
        truth, candidates, response = needed(row)
        chosen = choose(response, candidates, tag_required)
    else:
        truth, chosen = str(row.get("true_label") or ""), None
    found = None if chosen is None else same_label(chosen, space)
    return same_label(truth, space) or truth, found or UNKNOWN


def needed(row: Result) -> tuple[str, Sequence[str], str]:
    """Truth, candidates and response of a result. Raises InputError naming the key that is missing or has the wrong type."""
    truth, candidates, response = row.get("true_label"), row.get("candidate_labels"), row.get("model_response")
    if isinstance(truth, str) and isinstance(response, str) and isinstance(candidates, (list, tuple)):
        return truth, candidates, response
    key = (
        "true_label" if not isinstance(truth, str) else "model_response" if not isinstance(response, str) else "candidate_labels"
    )
    what = f"is {type(row[key]).__name__}" if key in row else "is missing"
    raise InputError(
        f"{row.get('image_path', 'a result')}: {key} {what}; give {'a list' if key == 'candidate_labels' else 'text'}"
    )


def class_scores(cells: Mapping[tuple[str, str], int], label: str) -> tuple[float, float, float, int]:
    """Precision, recall and F1 of a class from counts by (truth, prediction), 0 where 0 is divided by 0; and its support."""
    right = cells.get((label, label), 0)
    true = sum(count for (truth, _), count in cells.items() if truth == label)
    called = sum(count for (_, predicted), count in cells.items() if predicted == label)
    precision, recall = right / called if called else 0.0, right / true if true else 0.0
    return precision, recall, 2 * right / (true + called) if true + called else 0.0, true


def _table(scores: Mapping[str, tuple[float, float, float, int]], shown: Sequence[str]) -> list[dict[str, Any]]:
    names = ("precision", "recall", "f1", "support")
    return [{"emotion": label, **{key: float(v) for key, v in zip(names, scores[label], strict=True)}} for label in shown]
