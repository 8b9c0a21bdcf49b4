"""REGE, the score of FABA-Instruct: how well a description names what it should (Re), plus how it is worded (Ge).

Li et al., *Facial Affective Behavior Analysis with Instruction Tuning*, ECCV 2024, computed as its released code does. All three are
in points: Re and Ge from 0 to 100, REGE = Re + Ge from 0 to 200.

* **Re**, task ``emotion``: accuracy of the emotion that the released scorer reads in the text
  (`facial_r1.affect.emola_released`), over FABA-Instruct's seven emotions.
* **Re**, task ``action_units``: mean F1 over the scored units of the dataset (12 of FABA-Instruct and BP4D, 8 of DISFA, 10 of GFT); every
  ``AU<digits>`` in the text counts. A unit without a true positive has F1 0; a unit that all rows or no row show, and that the texts
  agree on, has no F1 there and is left out of the mean.
* **Ge**: mean ROUGE-L F of the ``rouge`` package against the reference text. That is another ROUGE-L than elsewhere: words are parted at
  blanks and compared as written, sentences end at full stops, and each distinct word counts once, when it is in the longest common
  subsequence of some sentence of the text and some of the reference. Texts without a word are left out of the mean.

Think and answer tags are taken out of text and reference first: the systems that the score was made for write none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from facial_r1.affect import emola_released as released
from facial_r1.affect.emola import EMOTION_IDS
from facial_r1.errors import InputError
from facial_r1.metrics.bootstrap import Array, finite, nanmean, ratio
from facial_r1.metrics.text import strip_tags
from facial_r1.rewards.annotation import Empty, true_labels, true_units

Task = Literal["emotion", "action_units"]
NAMES = ("text/rege", "text/rege_re", "text/rege_ge")


@dataclass(frozen=True, slots=True)
class Rege:
    """REGE and its parts, in points; None without a row that has the annotation (or, for Ge, a reference)."""

    rege: float | None
    re: float | None
    ge: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Scoring:
    """What Re scores.

    Attributes:
        task: What the texts should name.
        units: For ``action_units``, what the mean runs over (see `scored_units`).
        empty: What an empty ``AUs`` means: not coded, and so left out, or coded with none active.
    """

    task: Task
    units: tuple[str, ...] = ()
    empty: Empty = "unknown"


def rege(completions: Sequence[str], records: Sequence[Mapping[str, Any]], scoring: Scoring) -> Rege:
    """REGE over completions.

    Args:
        completions: What the model wrote.
        records: ``labels`` or ``AUs``, and ``description``; rows without the annotation of the task are left out.
        scoring: What the texts should name.

    Raises:
        InputError: A label that is none of the seven.
        ValueError: There are not as many records as completions.
    """
    rows = [row_counts(text, record, scoring) for text, record in zip(completions, records, strict=True)]
    kept = [row for row in rows if row is not None]
    if not kept:
        return Rege(None, None, None, 0)
    figures = statistic(np.array(kept).sum(axis=0), scoring)
    total, re, ge = (finite(value) for value in figures)
    return Rege(total, re, ge, len(kept))


def scored_units(datasets: Iterable[str], vocabulary: Sequence[str]) -> tuple[str, ...]:
    """The units that Re runs over: the released code's of the dataset that all rows are from, else the vocabulary.

    >>> len(scored_units(["DISFA", "disfa_fold1"], []))
    8
    """
    names = {next((name for name in released.SCORED_UNITS if name in dataset.lower()), None) for dataset in datasets}
    known = names.pop() if len(names) == 1 else None
    return tuple(vocabulary) if known is None else released.SCORED_UNITS[known]


# --- sufficient counts -----------------------------------------------------------------------------------------------


def row_counts(completion: str, record: Mapping[str, Any], scoring: Scoring) -> list[float] | None:
    """Counts of one row for `statistic`: ROUGE-L, whether it has one, then right and 1, or TP, FP and FN of each unit and 1.

    None for a row without the annotation of the task.
    """
    text, reference = (strip_tags(part).strip() for part in (completion, str(record.get("description") or "")))
    named = _emotion_counts(text, record) if scoring.task == "emotion" else _unit_counts(text, record, scoring)
    if named is None:
        return None
    worded = rouge_l_by_sentence(reference, text) if reference else None
    return [worded or 0.0, float(worded is not None), *named]


def statistic(totals: Array, scoring: Scoring) -> Array:
    """Summed `row_counts`, shape (..., k), to REGE, Re and Ge in points, shape (..., 3); NaN where undefined."""
    ge = 100 * ratio(totals[..., 0], totals[..., 1])
    if scoring.task == "emotion":
        re = 100 * ratio(totals[..., 2], totals[..., 3])
    else:
        size = len(scoring.units)
        tp, fp, fn = (totals[..., 2 + part * size : 2 + (part + 1) * size] for part in range(3))
        constant = (tp == totals[..., -1:]) | (tp + fp + fn == 0)
        re = 100 * nanmean(np.where(constant, np.nan, ratio(2 * tp, 2 * tp + fp + fn)))
    return np.stack([re + ge, re, ge], axis=-1)


def _emotion_counts(text: str, record: Mapping[str, Any]) -> list[float] | None:
    labels = true_labels(record)
    if not labels:
        return None
    if labels[0] not in EMOTION_IDS:
        raise InputError(
            f"record {record.get('id', '?')}: field labels: REGE knows {', '.join(EMOTION_IDS)}, not {labels[0]!r}; "
            "set stage.rege=none for this data"
        )
    return [float(released.emotion_of_text(text) == labels[0]), 1.0]


def _unit_counts(text: str, record: Mapping[str, Any], scoring: Scoring) -> list[float] | None:
    truth = true_units(record, scoring.empty)
    if truth is None:
        return None
    named = released.units_of_text(text)
    cells = [(unit in truth, unit in named) for unit in scoring.units]
    parts = ((True, True), (False, True), (True, False))
    return [*(float(cell == part) for part in parts for cell in cells), 1.0]


# --- ROUGE-L of the rouge package --------------------------------------------------------------------------------------------


def rouge_l_by_sentence(reference: str, prediction: str) -> float | None:
    """ROUGE-L F as the ``rouge`` package (1.0.1) computes it, in [0, 1]; None where either text has no sentence.

    Time grows with the product of the lengths, at worst.
    """
    sentences = [[" ".join(part.split()).split(" ") for part in text.split(".") if part] for text in (reference, prediction)]
    if not all(sentences):
        return None
    truth, written = ({word for sentence in text for word in sentence} for text in sentences)
    shared: set[str] = set()
    for one in sentences[0]:
        for two in sentences[1]:
            if not shared.issuperset(set(one).intersection(two)):
                shared.update(_common(one, two))
    precision, recall = len(shared) / len(written), len(shared) / len(truth)
    return 2 * precision * recall / (precision + recall + 1e-8)


def _common(one: list[str], two: list[str]) -> set[str]:
    """Words of the longest common subsequence that a walk back through the table meets, going left where both ways are as long."""
    known = set(one)
    two = [word for word in two if word in known]  # the walk goes left at all others, so that they change nothing
    if not two:
        return set()
    rows = [[0] * (len(two) + 1)]
    for word in one:
        above, row, left = rows[-1], [0], 0
        for column, other in enumerate(two):
            if word == other:
                left = above[column] + 1
            elif above[column + 1] > left:
                left = above[column + 1]
            row.append(left)
        rows.append(row)
    found = set()
    i, j = len(one), len(two)
    while i and j:
        if one[i - 1] == two[j - 1]:
            found.add(one[i - 1])
            i, j = i - 1, j - 1
        elif rows[i - 1][j] > rows[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found
