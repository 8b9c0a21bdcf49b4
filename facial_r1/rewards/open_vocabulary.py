"""``ov_format``, ``ov_accuracy``, ``ov_alignment``, ``ov_dual``: AffectGPT-R1's rewards on emotion words (arXiv 2508.01318).

EW is the F of one clip at level 1, averaged over the five wheels, with the guard of the later release: a wheel without overlap counts
0 instead of NaN. All rewards are in [0, 1]; they are None where the record has no labels to compare with, or the answer is not meant
to have a reasoning.

The figure that is published is not the mean of these values: it averages precision and recall first (`Wheels.corpus`). And it can be
raised by naming many words, since near-synonyms lie in one sector: see the length penalties and ``mode: strict``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

from facial_r1.affect.wheels import Wheels, load
from facial_r1.affect.wheels.parsing import words as label_words
from facial_r1.affect.wheels.tables import LANE_BITS, WHEELS, Level, Mode
from facial_r1.errors import InputError
from facial_r1.prompts.open_vocabulary import (
    Answer,
    Output,
    Strictness,
    check_choice,
    is_formatted,
    mentioned_words,
    read_answer,
)
from facial_r1.rewards.length_penalty import P3Variant, Penalty, length_penalty
from facial_r1.rewards.registry import Values, reward

Counted = Literal["unique", "raw", "mapped"]
"""What the length penalties count: distinct words, words with repetitions, or distinct words that the tables know."""
AlignmentForm = Literal["jaccard", "threshold"]


class WordExtractor(Protocol):
    """Emotion words of reasoning texts, for example by a language model; must be deterministic, and is expected to cache."""

    def __call__(self, texts: Sequence[str]) -> Sequence[Sequence[str]]:
        """The emotion words of each text, lower case."""
        ...


_extractor: WordExtractor | None = None


def use_extractor(extractor: WordExtractor | None) -> None:
    """Set what ``extractor: llm`` asks in this process; None unsets it."""
    global _extractor
    _extractor = extractor


def extracted_words(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Emotion words of texts by the language model that `use_extractor` set, lower case, each once; each text is asked about once.

    Raises:
        InputError: No language model is set up.
    """
    if _extractor is None:
        raise InputError(
            "extractor=llm: no language model is set up to extract emotion words; name one (reward.extractor.base_url=... "
            "reward.extractor.model=...), or use extractor=dictionary for rewards and data.protocol.extractor=list for figures"
        )
    once = list(dict.fromkeys(texts))
    found = _extractor(once) if once else []
    return {text: tuple(dict.fromkeys(word.lower().strip() for word in words)) for text, words in zip(once, found, strict=True)}


@reward(
    "ov_format", "1 when reasoning and answer (or the bare answer) have the required format, by strictness; else 0", bound=1.0
)
def ov_format(
    completions: Sequence[str],
    records: Sequence[Mapping[str, Any]],
    output: Output = "think",
    strictness: Strictness = "ordered",
) -> Values:
    """R_fmt, 0 or 1.

    Args:
        completions: What the model wrote.
        records: Not looked at.
        output: ``think``, ``direct`` or ``auto``.
        strictness: ``presence``, ``ordered`` or ``exact``, see `facial_r1.prompts.open_vocabulary.is_formatted`.
    """
    return [float(is_formatted(completion, output, strictness)) for completion in completions]


@reward("ov_accuracy", "EW of the answer's words with the record's labels, 0..1, optionally times a length penalty", bound=1.0)
def ov_accuracy(
    completions: Sequence[str],
    records: Sequence[Mapping[str, Any]],
    wheels: str = "embedded",
    root: str | None = None,
    mode: Mode = "compat",
    level: Level = 1,
    output: Output = "auto",
    penalty: Penalty = "none",
    p3_variant: P3Variant = "paper",
    count: Counted = "unique",
) -> Values:
    """R_acc = P_j(answer, truth) EW(answer, truth), in [0, 1]; None where the record has no label.

    Args:
        completions: What the model wrote.
        records: ``labels`` are the true words.
        wheels: Source of the tables.
        root: Folder of released tables.
        mode: ``compat`` or ``strict``, see `facial_r1.affect.wheels.scorer`.
        level: Of the wheels; 1 in the paper.
        output: How completions are read: ``think``, ``direct`` or ``auto``.
        penalty: ``none``, ``p1``, ``p2`` or ``p3``, see `facial_r1.rewards.length_penalty`.
        p3_variant: Of P3.
        count: What the penalty counts.

    Raises:
        InputError: An option has none of its values, or the tables cannot be read.
    """
    score = _scorer(wheels, root, mode, level, penalty, p3_variant, count)
    values: Values = []
    for completion, record in zip(completions, records, strict=True):
        truth = _listed_words(record)
        values.append(score(truth, read_answer(completion, output).words) if truth else None)
    return values


@reward("ov_dual", "EW of the words that the reasoning names with the record's labels, 0..1, optionally penalised", bound=1.0)
def ov_dual(
    completions: Sequence[str],
    records: Sequence[Mapping[str, Any]],
    wheels: str = "embedded",
    root: str | None = None,
    mode: Mode = "compat",
    level: Level = 1,
    output: Output = "auto",
    extractor: str = "dictionary",
    penalty: Penalty = "none",
    p3_variant: P3Variant = "paper",
    count: Counted = "unique",
) -> Values:
    """R_dual = P_j(reasoning, truth) EW(reasoning, truth), in [0, 1].

    None where the record has no label, or the completion is read as a bare answer (``direct``).

    Args:
        extractor: ``dictionary`` (words of the tables, negation aware), or ``llm`` (set with `use_extractor`).

    The other arguments are those of `ov_accuracy`.
    """
    score = _scorer(wheels, root, mode, level, penalty, p3_variant, count)
    named = _reasoning_words([read_answer(completion, output) for completion in completions], load(wheels, root), extractor)
    truths = [_listed_words(record) for record in records]
    return [score(truth, found) if truth and found is not None else None for truth, found in zip(truths, named, strict=True)]


@reward(
    "ov_alignment", "how well the words of reasoning and answer agree, 0..1: mean Jaccard over wheels, or EW >= 0.5", bound=1.0
)
def ov_alignment(
    completions: Sequence[str],
    records: Sequence[Mapping[str, Any]],
    wheels: str = "embedded",
    root: str | None = None,
    mode: Mode = "compat",
    level: Level = 1,
    output: Output = "auto",
    extractor: str = "dictionary",
    form: AlignmentForm = "jaccard",
    threshold: float = 0.5,
) -> Values:
    """R_align, in [0, 1]; None where the completion is read as a bare answer (``direct``).

    ``jaccard``: shared over all sectors of reasoning and answer, averaged over the five wheels; a wheel on which neither has a sector
    counts 0 (in ``strict`` it is left out).
    ``threshold``: 1 when EW(reasoning, answer) reaches the threshold, else 0.

    The other arguments are those of `ov_dual`; the records are not looked at.
    """
    check_choice("reward.options.ov_alignment.form", form, get_args(AlignmentForm))
    tables = load(wheels, root)
    answers = [read_answer(completion, output) for completion in completions]
    values: Values = []
    for answer, named in zip(answers, _reasoning_words(answers, tables, extractor), strict=True):
        if named is None:
            values.append(None)
        elif form == "jaccard":
            values.append(jaccard(tables, named, answer.words, level, mode))
        else:
            values.append(float(tables.f(list(named), list(answer.words), level, mode) >= threshold))
    return values


def jaccard(wheels: Wheels, first: Sequence[str], second: Sequence[str], level: Level = 1, mode: Mode = "compat") -> float:
    """Shared over all sectors of two lists of words, averaged over the five wheels; in [0, 1].

    A wheel on which neither has a sector counts 0; in ``strict`` it is left out of the mean.
    """
    table = wheels.table(level, mode)
    one, two = wheels.packed(first, table), wheels.packed(second, table)
    width = LANE_BITS[level]
    lane = (1 << width) - 1
    unions = [((one | two) >> at & lane).bit_count() for at in range(0, WHEELS * width, width)]
    shared = [((one & two) >> at & lane).bit_count() for at in range(0, WHEELS * width, width)]
    total = sum(part / whole for part, whole in zip(shared, unions, strict=True) if whole)
    return total / (WHEELS if mode == "compat" else max(1, sum(whole > 0 for whole in unions)))


def true_words(record: Mapping[str, Any]) -> list[str]:
    """The record's labels as they are looked up, in order, each once; empty when it has none."""
    return list(dict.fromkeys(_listed_words(record)))


def _listed_words(record: Mapping[str, Any]) -> list[str]:
    """The record's labels as they are looked up, repetitions included (``count: raw`` counts them on both sides)."""
    try:
        return [word for word in label_words(record.get("labels")) if word]
    except InputError as error:
        raise InputError(f"record {record.get('id', '?')}: field labels: {error}") from None


def _scorer(
    wheels: str, root: str | None, mode: Mode, level: Level, penalty: Penalty, p3_variant: P3Variant, count: Counted
) -> Callable[[Sequence[str], Sequence[str]], float]:
    """Penalised EW of predicted with true words; checks the options once for all completions."""
    check_choice("penalty", penalty, get_args(Penalty))
    check_choice("p3_variant", p3_variant, get_args(P3Variant))
    check_choice("count", count, get_args(Counted))
    tables = load(wheels, root)
    tables.table(level, mode)

    def counted(words: Sequence[str]) -> int:
        if count == "raw":
            return len(words)
        return len({word for word in words if count == "unique" or tables.knows(word)})

    def score(truth: Sequence[str], predicted: Sequence[str]) -> float:
        value = tables.f(list(truth), list(predicted), level, mode)
        return value * length_penalty(counted(predicted), counted(truth), penalty, p3_variant) if value else 0.0

    return score


def _reasoning_words(answers: Sequence[Answer], wheels: Wheels, extractor: str) -> list[Sequence[str] | None]:
    """Emotion words of each reasoning; None for bare answers, which have none."""
    check_choice("extractor", extractor, ("dictionary", "llm"))
    if extractor == "dictionary":
        return [mentioned_words(answer.thinking, wheels) if answer.output == "think" else None for answer in answers]
    lowered = extracted_words([answer.thinking for answer in answers if answer.output == "think" and answer.thinking.strip()])
    return [lowered.get(answer.thinking, ()) if answer.output == "think" else None for answer in answers]
