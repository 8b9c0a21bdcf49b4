"""Which of the listed candidates an answer chooses: whole words, no preference among them, and no guess.

The texts of question-answer benchmarks name their candidate labels. Reading an answer by looking for substrings in the order of
the list ("unhappy" is happy, "not happiness but sadness" is happiness) rewards the order. Here an answer chooses a candidate
when it names exactly one emotion as a whole word and does not deny it; the usual spellings of an emotion count as its name
("happy" for the candidate "happiness"). An answer that names none, several, or an emotion outside of the list chooses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from facial_r1.affect.emotions import ALIASES, normalise_label
from facial_r1.prompts.completion import MAX_ANSWER, structure

MAX_RESPONSE = 1_000_000
"""Characters beyond which a completion is not an answer but a runaway; it chooses nothing."""

_OPEN, _CLOSE = (re.compile(tag, re.IGNORECASE | re.ASCII) for tag in ("<answer>", "</answer>"))
_TAG = re.compile(r"</?(?:think|answer)>", re.IGNORECASE | re.ASCII)
_DENIED = re.compile(r"(?:\b(?:not|no|never|without|neither|nor|rather than|instead of)|n['\u2019]t)\s+(?:(?!but\b)\w+\s+){0,2}$")
_BEFORE = 48


def choose(completion: str, candidates: Sequence[str], tag_required: bool = True) -> str | None:
    """The candidate that a completion answers with, as the list writes it; None when it does not choose one.

    Args:
        completion: What the model wrote.
        candidates: The labels to choose from.
        tag_required: Read ``<answer>`` blocks only (all of them: blocks that differ choose nothing). Otherwise a completion
            without such a block is read as a whole, without its reasoning.

    Example:
        >>> choose("<think>Not fear.</think><answer>Not happy, but surprised.</answer>", ["surprise", "happiness"])
        'surprise'
    """
    if len(completion) > MAX_RESPONSE:
        return None
    reasoning, answer, unfinished, ordered = structure(completion)
    if unfinished == "thinking":
        return None
    if answer is not None:
        text = completion[slice(*answer)] if ordered else _answers(completion, answer[0])
        return named(text, candidates) if len(text) <= MAX_ANSWER else None
    if tag_required:
        return None
    return named(_TAG.sub(" ", completion[reasoning[1] if reasoning else 0 :]), candidates)


def named(text: str, candidates: Sequence[str]) -> str | None:
    """The one candidate that `text` names as a whole word and does not deny; None for none, several, or another emotion."""
    pattern, meanings = _words(tuple(candidates))
    lowered = text.lower()
    found = set()
    for match in pattern.finditer(lowered):
        if not _DENIED.search(lowered[max(0, match.start() - _BEFORE) : match.start()]):
            found.add(meanings[match.group()])
            if len(found) > 1:
                return None
    return found.pop() if found else None


def same_label(label: str, candidates: Sequence[str]) -> str | None:
    """The candidate that a written label means ("Happy" for "happiness"), or None."""
    return _keys(tuple(candidates)).get(_key(label))


def _answers(completion: str, start: int) -> str:
    """The text of all complete answer blocks from `start` on, which lies behind the first opening tag."""
    parts = []
    while (closing := _CLOSE.search(completion, start)) is not None:
        parts.append(completion[start : closing.start()])
        opening = _OPEN.search(completion, closing.end())
        if opening is None:
            break
        start = opening.end()
    return "\n".join(parts)


@lru_cache(maxsize=256)
def _words(candidates: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str | None]]:
    """A pattern of all emotion words, and the candidate that each means (None for emotions outside of the list)."""
    keys = _keys(candidates)
    meanings = {word: keys.get(noun) for word, noun in ALIASES.items()} | {label.strip().lower(): label for label in candidates}
    listed = "|".join(re.escape(word) for word in sorted(meanings, key=len, reverse=True) if word)
    return re.compile(rf"(?<!\w)(?:{listed})(?!\w)"), meanings


@lru_cache(maxsize=256)
def _keys(candidates: tuple[str, ...]) -> dict[str, str]:
    keys: dict[str, str] = {}
    for label in candidates:
        keys.setdefault(_key(label), label)
    return keys


@lru_cache(maxsize=4096)
def _key(label: str) -> str:
    return normalise_label(label) or " ".join(label.lower().split())
