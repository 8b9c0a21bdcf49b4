"""What a model wrote, taken apart: the one parser that rewards, metrics, synthesis and reports share.

A completion is ``<think>reasoning that names action units</think><answer>label</answer>``. `parse` has two modes.

**strict** (the default)
    * The reasoning is the first ``<think>`` up to the next ``</think>``; the answer is the first complete
      ``<answer>...</answer>`` behind it. Tags are matched in any case. Without a ``<think>`` tag the reasoning is empty and
      the first complete answer is read.
    * Reasoning that never ends makes the completion ``truncated``: it has no answer, no labels and no action units,
      whatever happens to stand in it. An answer that never ends is truncated too: it is not read, the reasoning is.
    * Action units are those named in the reasoning or in the answer and not denied there
      (`facial_r1.prompts.mentions`). Where a unit is both affirmed and denied, the last mention decides.
    * Labels are the parts of the answer between ``, ; / |``, line breaks, ``and``, ``or`` and ``&``, without case, punctuation
      and markup, as canonical nouns where we know the word and as written otherwise. An answer of more than
      `MAX_ANSWER` characters is prose and has no labels.
    * ``valid``: nothing but blanks surrounds exactly one reasoning and one answer, in this order, neither of them blank.

**compat**
    What the released reward code of Facial-R1 read: the last ``<answer>...</answer>`` (or the whole completion when there is
    none), the first ``<think>...</think>`` (tags in any case), every ``AU`` directly followed by digits in its upper-cased text,
    denials included, ``AU012`` and ``AU12`` being different. ``valid`` is its format test.

Both modes take time linear in the length of the completion and never raise on a string.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Literal

from facial_r1.affect.emotions import normalise_label
from facial_r1.prompts.mentions import MAX_MENTIONS, Mention, find_mentions

Mode = Literal["strict", "compat"]

MAX_ANSWER = 1_000
"""Characters of an answer beyond which it is prose, not a list of labels."""

_MAX_CACHED = 8_000
_TAG, _OPEN_THINK, _CLOSE_THINK, _OPEN_ANSWER, _CLOSE_ANSWER = (
    re.compile(tag, re.IGNORECASE | re.ASCII) for tag in ("</?(?:think|answer)>", "<think>", "</think>", "<answer>", "</answer>")
)
_SEPARATOR = re.compile(r"[,;/|\n&\u3001\uff0c\uff1b]|\s+(?:and|or)\s+", re.IGNORECASE)
_MARKUP = re.compile(r"<[^<>]{0,40}>|\\(?:boxed|text)\b")
_EDGES = " \t\r\n\"'`.,;:!?()[]{}*_#-\u2013\u2014\u2018\u2019\u201c\u201d\u3002"
# Unicode case folding, as the released pattern has it: there a dotless i or a Kelvin sign is a letter of the tag.
_COMPAT_OPEN_THINK, _COMPAT_CLOSE_THINK = (re.compile(tag, re.IGNORECASE) for tag in ("<think>", "</think>"))
_COMPAT_UNIT = re.compile(r"AU\d+")
_COMPAT_JOINT = re.compile(r"</think>\s*<answer>")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A completion, taken apart.

    Attributes:
        thinking: The reasoning, without tags.
        answer: The answer, without tags and surrounding blanks.
        action_units: Canonical codes that the text affirms, without duplicates, in order of first mention.
        negated: Canonical codes that the text denies; disjoint from `action_units`.
        labels: The answer's labels, in order, without duplicates.
        valid: The completion has the full structure and nothing else.
        truncated: The reasoning or the answer begins and never ends.
        unknown: Codes that FACS does not have (``"AU99"``), kept out of `action_units`.
        spans: All mentions with character offsets into the completion, denied and unknown ones included.
        thinking_span: Offsets of `thinking` in the completion, or None without one.
        answer_span: Offsets of the text between the answer tags, or None without one.
    """

    thinking: str
    answer: str
    action_units: tuple[str, ...]
    negated: tuple[str, ...]
    labels: tuple[str, ...]
    valid: bool
    truncated: bool
    unknown: tuple[str, ...] = ()
    spans: tuple[Mention, ...] = ()
    thinking_span: tuple[int, int] | None = None
    answer_span: tuple[int, int] | None = None


def parse(completion: str, mode: Mode = "strict") -> Parsed:
    """Take a completion apart; the rules are in the module's docstring.

    Args:
        completion: What the model wrote, special tokens removed.
        mode: ``"strict"``, or ``"compat"`` for the released code's reading.

    Raises:
        ValueError: `mode` is neither.

    Example:
        >>> parse("<think>No AU4, but the lip corners rise (AU12).</think><answer>Happy.</answer>").action_units
        ('AU12',)
    """
    if mode not in ("strict", "compat"):
        raise ValueError(f"mode={mode!r}: give 'strict' or 'compat'")
    if len(completion) > _MAX_CACHED:
        return _parse(completion, mode)
    return _cached(completion, mode)


def _parse(completion: str, mode: Mode) -> Parsed:
    return _parse_strict(completion) if mode == "strict" else _parse_compat(completion)


# Several rewards and metrics read the same completions, all of one before the next; each is taken apart once. A cache smaller than
# a test set would never hit, and the usual ones have up to 4,000 rows, read in both modes.
_cached = lru_cache(maxsize=8192)(_parse)


def clean_label(text: str) -> str:
    """A label as the parser writes it: the canonical noun when the word is known, else lower case without edges.

    Records' labels go through the same function, so that ``"Happy"`` and ``"happiness"`` are one class.
    """
    word = re.sub(r"\s+", " ", _MARKUP.sub(" ", text).strip(_EDGES).lower())
    return normalise_label(word) or word


def labels_in(answer: str) -> tuple[str, ...]:
    """The labels of an answer text, in order, without duplicates; action unit codes are not labels."""
    if len(answer) > MAX_ANSWER:
        return ()
    if (whole := normalise_label(answer)) is not None:
        return (whole,)
    for mention in reversed(find_mentions(answer)):
        answer = f"{answer[: mention.start]} {answer[mention.end :]}"
    parts = _SEPARATOR.split(_MARKUP.sub(" ", answer))
    return tuple(dict.fromkeys(label for part in parts if (label := clean_label(part))))


# --- strict ------------------------------------------------------------------------------------------------------


def _parse_strict(completion: str) -> Parsed:
    reasoning, answer_span, unfinished, ordered = structure(completion)
    thinking = completion[slice(*reasoning)] if reasoning else ""
    answer = completion[slice(*answer_span)].strip() if answer_span else ""
    mentions = find_mentions(completion, *reasoning) if reasoning else []
    if answer_span and len(answer) <= MAX_ANSWER:
        mentions += find_mentions(completion, *answer_span)
    counted = [] if unfinished == "thinking" else mentions
    graded = {m.code: m.negated for m in counted if m.known}
    return Parsed(
        thinking=thinking,
        answer=answer,
        action_units=tuple(code for code, negated in graded.items() if not negated),
        negated=tuple(code for code, negated in graded.items() if negated),
        labels=labels_in(answer),
        valid=ordered and bool(thinking.strip()) and bool(answer),
        truncated=unfinished != "",
        unknown=tuple(dict.fromkeys(m.code for m in counted if not m.known)),
        spans=tuple(mentions),
        thinking_span=reasoning,
        answer_span=answer_span,
    )


def thinking_span(completion: str) -> tuple[int, int] | None:
    """Offsets of the reasoning, as `parse` finds it, without the cost of the rest; reasoning that never ends included."""
    opening = _OPEN_THINK.search(completion)
    if opening is None:
        return None
    ending = _CLOSE_THINK.search(completion, opening.end())
    return opening.end(), ending.start() if ending else len(completion)


def structure(text: str) -> tuple[tuple[int, int] | None, tuple[int, int] | None, str, bool]:
    """What `parse` finds in strict mode, without the cost of looking for action units.

    Returns:
        Offsets of the reasoning and of the answer (None without one), what never ends (``"thinking"``, ``"answer"`` or ``""``),
        and whether the text is exactly one of each, in this order, and nothing else.
    """
    opening = _OPEN_THINK.search(text)
    ending = _CLOSE_THINK.search(text, opening.end()) if opening else None
    if opening and not ending:
        return (opening.end(), len(text)), None, "thinking", False
    thinking = (opening.end(), ending.start()) if opening and ending else None
    before = ending.end() if ending else 0
    start = _OPEN_ANSWER.search(text, before)
    if start is None:
        return thinking, None, "", False
    end = _CLOSE_ANSWER.search(text, start.end())
    if end is None:
        return thinking, None, "answer", False
    answer = (start.end(), end.start())
    ordered = (
        opening is not None
        and thinking is not None
        and not text[: opening.start()].strip()
        and not text[before : start.start()].strip()
        and not text[end.end() :].strip()
        and _TAG.search(text, *thinking) is None
        and _TAG.search(text, *answer) is None
    )
    return thinking, answer, "", ordered


# --- compat ------------------------------------------------------------------------------------------------------


def _parse_compat(completion: str) -> Parsed:
    reasoning = _first_thinking(completion)
    thinking = completion[slice(*reasoning)] if reasoning else ""
    answer_span = _last_answer(completion)
    answer = (completion[slice(*answer_span)] if answer_span else completion).strip()
    offset = reasoning[0] if reasoning else 0
    upper = thinking.upper()
    # Upper-casing may lengthen a text (one letter becomes two); offsets are then not the completion's.
    same = _COMPAT_UNIT.finditer(upper if len(upper) == len(thinking) else "")
    spans = tuple(Mention(offset + m.start(), offset + m.end(), m.group()) for m in islice(same, MAX_MENTIONS))
    return Parsed(
        thinking=thinking,
        answer=answer,
        action_units=tuple(dict.fromkeys(m.group() for m in _COMPAT_UNIT.finditer(upper))),
        negated=(),
        labels=(answer,) if answer else (),
        valid=is_compat_format(completion),
        truncated=False,
        spans=spans,
        thinking_span=reasoning,
        answer_span=answer_span,
    )


def is_compat_format(completion: str) -> bool:
    r"""The released format test, in linear time.

    Equal to a full match of ``<think>.*?</think>\s*<answer>.*?</answer>`` with the dot matching line breaks: the lazy groups
    stretch, so only the two ends and one joint in between count.
    """
    opening, closing = len("<think>"), len(completion) - len("</answer>")
    return (
        completion.startswith("<think>")
        and completion.endswith("</answer>")
        and _COMPAT_JOINT.search(completion, opening, max(closing, 0)) is not None
    )


def _first_thinking(text: str) -> tuple[int, int] | None:
    opening = _COMPAT_OPEN_THINK.search(text)
    ending = _COMPAT_CLOSE_THINK.search(text, opening.end()) if opening else None
    return (opening.end(), ending.start()) if opening and ending else None


def _last_answer(text: str) -> tuple[int, int] | None:
    """The last of the non-overlapping answers, tags in lower case only, as the released code found them."""
    span, position = None, 0
    while (opened := text.find("<answer>", position)) >= 0:
        opened += len("<answer>")
        closed = text.find("</answer>", opened)
        if closed < 0:
            break
        span, position = (opened, closed), closed + len("</answer>")
    return span
