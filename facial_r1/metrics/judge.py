"""Grading of written reasoning by a language model: the rubric, its prompt, reading verdicts, and what becomes of failures.

Nothing here calls a model; `facial_r1.generation.judging` does. A row without a verdict is left out of the mean and counted.
The published evaluation counted such rows as 0 on a scale that begins at 1, which moves the mean with the reliability of the
server; that figure is given beside ours, as `compat/text/judge`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from facial_r1.config.suggest import did_you_mean
from facial_r1.errors import InputError
from facial_r1.metrics.bootstrap import Array, as_dicts, bootstrap, interval_of_mean, ratio

RUBRICS = Path(__file__).resolve().parent / "rubrics"
MOST_LEVELS = 21
"""Levels of a scale, at most: agreement is counted in a table of levels by levels."""

_FIELDS = ("scale", "system", "instruction", "reminder")
_PLACEHOLDER = re.compile(r"\{(reference|reasoning|low|high)\}")
_MARK = re.compile(r"</?\s*(?:reference|reasoning)\b[^<>]*>", re.IGNORECASE)
_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)
_AGREEMENT = ("text/judge_agreement", "text/judge_kappa", "text/judge_pearson", "text/judge_spearman")


@dataclass(frozen=True)
class Rubric:
    """How a judge is asked.

    Attributes:
        name: of the shipped file, or the path of another.
        low, high: ends of the scale, both included; scores are whole numbers.
        system: the system turn; "" for none.
        instruction: the user turn, with {reference} and {reasoning}, and {low} and {high} if wanted.
        reminder: added when a verdict could not be read.
    """

    name: str
    low: int
    high: int
    system: str
    instruction: str
    reminder: str

    @property
    def digest(self) -> str:
        """12 hex digits that change with the scale and any wording."""
        text = json.dumps([self.low, self.high, self.system, self.instruction, self.reminder])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def messages(self, reasoning: str, reference: str, *, again: bool = False) -> list[dict[str, Any]]:
        """The chat messages that ask for a verdict; marks that would end the quoted material are taken out of it."""
        values = {"reasoning": _MARK.sub("", reasoning), "reference": _MARK.sub("", reference)}
        values |= {"low": str(self.low), "high": str(self.high)}
        text = _PLACEHOLDER.sub(lambda match: values[match[1]], self.instruction)
        if again and self.reminder:
            text = f"{text}\n\n{self.reminder}"
        user = {"role": "user", "content": [{"type": "text", "text": text}]}
        return [{"role": "system", "content": [{"type": "text", "text": self.system}]}, user] if self.system else [user]


def load_rubric(name: str) -> Rubric:
    """A shipped rubric by name, or one of your own by the path of its YAML file.

    Raises:
        InputError: there is none, or its scale or text cannot be used.
    """
    path = RUBRICS / f"{name}.yaml"
    if not path.is_file():
        path = Path(name).expanduser()
        if not path.is_file():
            known = [file.stem for file in RUBRICS.glob("*.yaml")]
            raise InputError(f"judge.rubric={name}: no such rubric and no such file; {did_you_mean(name, known)}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds no keys; a rubric has {', '.join(_FIELDS)}")
    for field in values:
        if field not in _FIELDS:
            raise InputError(f"{path}: {field}: no such key; {did_you_mean(str(field), _FIELDS)}")
    low, high = _scale(path, values.get("scale", [1, 10]))
    texts = {field: values.get(field) or "" for field in _FIELDS[1:]}
    for field, text in texts.items():
        if not isinstance(text, str):
            raise InputError(f"{path}: {field}: give a text")
    for part in ("reference", "reasoning"):
        if f"{{{part}}}" not in texts["instruction"]:
            raise InputError(f"{path}: instruction: {{{part}}} does not occur, so the judge would not see it")
    return Rubric(name, low, high, **texts)


def _scale(path: Path, scale: Any) -> tuple[int, int]:
    if not (isinstance(scale, list) and len(scale) == 2 and all(type(end) is int for end in scale) and scale[0] < scale[1]):
        raise InputError(f"{path}: scale={scale}: give the lowest and the highest whole number, for example [1, 10]")
    if scale[1] - scale[0] >= MOST_LEVELS:
        raise InputError(f"{path}: scale={scale}: at most {MOST_LEVELS} levels, for example [1, 10]")
    return scale[0], scale[1]


@dataclass(frozen=True)
class Verdict:
    """What a judge's answer says: a score with its reason, or None with what is wrong with the answer."""

    score: float | None
    reason: str


def parse_verdict(text: str, low: int, high: int) -> Verdict:
    """Read a verdict: a JSON object with a "score", alone, in a code fence or within other text.

    Numbers elsewhere in the text are not looked at, for an answer may quote what it grades. A score is a whole number within
    the scale (7, 7.0 or "7"); anything else, and several objects that disagree, is no verdict. Thinking is skipped.
    """
    found = [value for value in _objects(_THINKING.sub("", text)) if "score" in value]
    if not found:
        return Verdict(None, "no JSON object with a score")
    scores = {_whole(value["score"]) for value in found}
    if len(scores) > 1:
        return Verdict(None, f"{len(found)} verdicts that disagree")
    score = scores.pop()
    if score is None:
        return Verdict(None, f"score {str(found[0]['score'])[:40]!r} is no whole number")
    if not low <= score <= high:
        return Verdict(None, f"score {score} is outside {low} to {high}")
    return Verdict(float(score), " ".join(str(found[-1].get("reason") or "").split()))


def _objects(text: str) -> list[dict[str, Any]]:
    """The outermost JSON objects in a text, in order."""
    decoder, found, place = json.JSONDecoder(strict=False), [], text.find("{")
    while place >= 0:
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            found.append(value)
        place = text.find("{", end)
    return found


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,6}(\.0+)?\s*", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if abs(value) < 1e6 and float(value).is_integer() else None


@dataclass(frozen=True)
class JudgeResult:
    """Verdicts on rows, in their order.

    Attributes:
        scores: on the rubric's scale; None where there is no verdict.
        reasons: the judge's, or why there is no score.
        failed: rows that were asked about and got no verdict. Rows without a reference or an answer were not asked about.
        rubric: that was used.
        model: of the judge.
        calls: what happened on the way, for people: calls, retries, cache hits, ...
        second: the same rows, graded by a second judge.
    """

    scores: list[float | None]
    reasons: list[str]
    failed: list[bool]
    rubric: Rubric
    model: str
    calls: Mapping[str, int]
    second: JudgeResult | None = None

    @property
    def failures(self) -> int:
        """Rows without the verdict they should have."""
        return sum(self.failed)

    @property
    def asked(self) -> int:
        """Rows that should have a verdict."""
        return self.failures + sum(score is not None for score in self.scores)

    @property
    def failure_rate(self) -> float:
        """Share of the rows asked about that have none, 0..1; 0 when none was asked about."""
        return self.failures / self.asked if self.asked else 0.0

    def card(self) -> dict[str, Any]:
        """What must be known to repeat the grading, for summary.json."""
        card = {
            "model": self.model,
            "rubric": self.rubric.name,
            "rubric_digest": self.rubric.digest,
            "scale": [self.rubric.low, self.rubric.high],
            "asked": self.asked,
            "failures": self.failures,
            "failure_rate": self.failure_rate,
            "calls": dict(self.calls),
        }
        return card | ({"second": self.second.card()} if self.second else {})


def failures(result: JudgeResult) -> dict[str, int]:
    """Counts for the `failures` of a summary: `judge`, and `judge_second` when there are two."""
    return {"judge": result.failures} | ({"judge_second": result.second.failures} if result.second else {})


def figures(result: JudgeResult, clusters: Sequence[Hashable], resamples: int = 2000, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Metrics with intervals, resampled over clusters.

    Returns:
        `text/judge`: mean score of the rows with a verdict. `compat/text/judge`: failures as 0, as published.
        `text/judge_failed`: share of failures. With a second judge also `text/judge_second` and, over the rows that both
        graded, `text/judge_agreement` (same score), `text/judge_kappa` (quadratic weights), `text/judge_pearson` and
        `text/judge_spearman`. Metrics without a row are missing.
    """
    compat = [0.0 if failed else score for score, failed in zip(result.scores, result.failed, strict=True)]
    shares = [None if score is None else float(failed) for score, failed in zip(compat, result.failed, strict=True)]
    columns: dict[str, Sequence[float | None]] = {
        "text/judge": result.scores,
        "compat/text/judge": compat,
        "text/judge_failed": shares,
    }
    if result.second is not None:
        columns["text/judge_second"] = result.second.scores
    found = {
        name: interval_of_mean(values, clusters, resamples, seed)
        for name, values in columns.items()
        if any(value is not None for value in values)
    }
    if result.second is not None:
        levels = (result.rubric.low, result.rubric.high)
        found |= agreement(result.scores, result.second.scores, levels, clusters, resamples, seed)
    return found


def agreement(
    first: Sequence[float | None],
    second: Sequence[float | None],
    levels: tuple[int, int],
    clusters: Sequence[Hashable],
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """How far two judges agree on the rows that both graded; empty when there is none. See `agreement_statistic`."""
    low, size = levels[0], levels[1] - levels[0] + 1
    pairs = [
        (int(one) - low, int(two) - low, cluster)
        for one, two, cluster in zip(first, second, clusters, strict=True)
        if one is not None and two is not None
    ]
    if not pairs:
        return {}
    table = np.zeros((len(pairs), size * size))
    table[np.arange(len(pairs)), [one * size + two for one, two, _ in pairs]] = 1.0
    estimate = bootstrap(table, [cluster for _, _, cluster in pairs], lambda t: agreement_statistic(t, size), resamples, seed)
    return as_dicts(estimate, _AGREEMENT)


def agreement_statistic(totals: Array, size: int) -> Array:
    """Agreement from counts of pairs of scores.

    Args:
        totals: shape (..., size * size); row-major, first judge by second.
        size: levels of the scale.

    Returns:
        Shape (..., 4): share of equal scores, Cohen's kappa with quadratic weights (Cohen 1968), Pearson's r, Spearman's rho
        (mid-ranks). NaN where undefined, as for a judge that always gives the same score.
    """
    table = totals.reshape(*totals.shape[:-1], size, size)
    n = table.sum((-1, -2))
    rows, columns = table.sum(-1), table.sum(-2)
    level = np.arange(size, dtype=np.float64)
    weights = (level[:, None] - level[None, :]) ** 2
    expected = rows[..., :, None] * columns[..., None, :]
    disagreement = ratio((weights * table).sum((-1, -2)) * n, (weights * expected).sum((-1, -2)))
    equal = ratio(np.trace(table, axis1=-2, axis2=-1), n)
    everywhere = np.broadcast_to(level, rows.shape)
    pearson = _correlation(table, everywhere, everywhere)
    spearman = _correlation(table, _midranks(rows), _midranks(columns))
    return np.stack([equal, 1.0 - disagreement, pearson, spearman], axis=-1)


def _midranks(counts: Array) -> Array:
    return np.cumsum(counts, axis=-1) - counts + (counts + 1.0) / 2.0


def _correlation(table: Array, first: Array, second: Array) -> Array:
    """Pearson's r of values given to the rows and columns of tables of counts."""
    n = table.sum((-1, -2))[..., None]
    rows, columns = table.sum(-1), table.sum(-2)
    first = first - ratio((rows * first).sum(-1, keepdims=True), n)
    second = second - ratio((columns * second).sum(-1, keepdims=True), n)
    product = (table * first[..., :, None] * second[..., None, :]).sum((-1, -2))
    return ratio(product, np.sqrt((rows * first**2).sum(-1) * (columns * second**2).sum(-1)))
