"""Open-vocabulary answers: the emotion words of a completion, with reasoning or without, and those that its reasoning names.

Two output modes (AffectGPT-R1, arXiv 2508.01318): ``think`` is ``<think>reasoning</think><answer>happy, relieved</answer>``, ``direct`` is the
list of words alone, with or without answer tags; ``auto`` is ``think`` for a completion that has one of the tags, else ``direct``.
Unlike `facial_r1.prompts.completion.parse`, words are kept as written: *calm* and *neutral*, or *mad* and *angry*, differ on a wheel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

from facial_r1.config.suggest import did_you_mean
from facial_r1.errors import InputError
from facial_r1.prompts.completion import structure
from facial_r1.prompts.mentions import MAX_MENTIONS, Mention, _denied

if TYPE_CHECKING:
    from facial_r1.affect.wheels import Wheels

Output = Literal["auto", "think", "direct"]
Strictness = Literal["presence", "ordered", "exact"]

MAX_ITEM_WORDS = 4
"""Words of one item beyond which a bare answer is prose, not a list of labels (the longest wheel label has three)."""

_PASSED_OVER = """
slight slightly open opened opening opens present presents presented presenting close closed closes closely closing free heavy
heavily low lower lowers lowering use used using important importantly clear clearly certain certainly strong strongly tight
tightly sharp sharply active actively express expressed expresses expressing expression expressions recognize recognized
recognition question questions like likes liked answer answering still quiet quietly true steady stable fixed notice noticed
notices observe observed observing sure challenge challenging meaning lost being been stuck connect connected connection hold
held attention involved involving responding respond responds response show shows emotion emotions emotional emotionally
content contents down move moves moved moving support supports supporting listen listening ask asking asks think thinks
thinking thought thoughts kind try trying tried see sees seen lack lacks know knows knowing bit wrong relate related relates
associate associated include includes including included here help helps force forces forceful forcefully believe believes
believing current currently facial person persons face faces facing left right determine determined direct directed directly
going go goes went information engage engaged engages engaging engagement analyze analyzed analyzing evaluation evaluate
evaluated quick quickly consider considered considering consideration reveal reveals revealing revealed part parts put reason
reasons change changes turn turns point points state states mean means need needs want wants make makes made look looks looking
speak speaks speaking speech talk talking word words voice intense intensity normal natural naturally impression attitude
understanding understand understood accept accepted acceptance receive received
"""
UNEMOTIONAL = frozenset(_PASSED_OVER.split())
"""Words that tables of emotions know, and that descriptions of a clip use for anything but feelings; reasoning is read without them."""

_MAX_CACHED = 8_000
_EXTRACTION = """\
The text below describes a person in a clip. List every emotion that it clearly ascribes to this person, as single words or short phrases.
Leave out emotions that it denies, that it only considers, or that belong to somebody else.
Answer with one list in square brackets, separated by commas, for example [happy, relieved]; with [] when there is none.

Text: {text}"""
_COMPARISON = """\
Two answers name the emotions of the person in this clip. Judge by face, voice and words which one fits the clip better: it names what
can be told from the clip, leaves nothing important out and adds nothing that is not there. Length is no merit.
{spoken}
Answer 1: {first}

Answer 2: {second}

End with one line: "Verdict: 1", "Verdict: 2" or "Verdict: tie"."""
_BRACKETS = re.compile(r"\[[^\[\]]*\]")
_VERDICT = re.compile(r"\bverdict\b[^\w\n]{0,8}(1|2|tie)\b", re.IGNORECASE)
_TAG = re.compile(r"</?(?:think|answer)>", re.IGNORECASE | re.ASCII)
_LIST = re.compile(r"[,;\n\uff0c\u3001\uff1b\"\u201c\u201d]|(?<!\w)'|'(?!\w)|(?<=\s)(?:and|or|&)(?=\s)", re.IGNORECASE)
_COMMA = re.compile(r"[,\uff0c\u3001]")
_EDGES = " \t\r\n'`.:!?()[]{}<>*_#-\u2013\u2014\u3002\u2018\u2019\u3010\u3011\uff08\uff09\uff1a\uff01\uff1f\u3000"
_SENTENCE = re.compile(r"\A[^,;\n]{0,60}\bemotion(?:al state|s)?s? (?:is|are)\b:?", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:[-'\u2019][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a completion says about emotions.

    Attributes:
        thinking: The reasoning, "" without one.
        text: The answer as written, "" without one.
        words: Its emotion words, lower case, in order, repetitions included.
        output: The mode it was read in, ``think`` or ``direct``.
        truncated: Reasoning or answer begins and never ends; what never ends is not read.
    """

    thinking: str
    text: str
    words: tuple[str, ...]
    output: Literal["think", "direct"]
    truncated: bool


def read_answer(completion: str, output: Output = "auto") -> Answer:
    """The answer of a completion.

    Args:
        completion: What the model wrote.
        output: ``think``: the first complete answer behind the reasoning, nothing without tags. ``direct``: the same, and the whole
            text where there are no tags. ``auto``: see the module's docstring.

    Raises:
        InputError: No such output mode.

    Example:
        >>> read_answer("<think>She smiles.</think><answer>Happy, relieved.</answer>").words
        ('happy', 'relieved')
    """
    check_choice("output", output, get_args(Output))
    return _read(completion, output) if len(completion) > _MAX_CACHED else _cached(completion, output)


def _read(completion: str, output: Output) -> Answer:
    tagged = _TAG.search(completion) is not None
    thinking, answer, unfinished, _ = structure(completion)
    mode: Literal["think", "direct"] = "think" if output == "think" or (output == "auto" and tagged) else "direct"
    if answer is not None:
        text = completion[slice(*answer)].strip()
    else:
        text = completion.strip() if mode == "direct" and not tagged else ""
    reasoning = completion[slice(*thinking)] if thinking and unfinished != "thinking" else ""
    return Answer(reasoning, text, split_words(text), mode, unfinished != "")


# Several rewards read the same completions; each is taken apart once.
_cached = lru_cache(maxsize=4096)(_read)


def split_words(text: str) -> tuple[str, ...]:
    """The words of a list of labels, lower case, in order, repetitions included.

    Lists may be separated by commas (also full-width ones), semicolons, line breaks, quotes, *and*, *or*; brackets and punctuation
    around an item are dropped, and so is a beginning such as "The character's emotional state is".
    """
    listed = _SENTENCE.sub("", text, count=1)
    words = (" ".join(part.strip(_EDGES).lower().replace("'", "\u2019").split()) for part in _LIST.split(listed))
    return tuple(word for word in words if word)


def is_formatted(completion: str, output: Output = "think", strictness: Strictness = "ordered") -> bool:
    """Whether a completion has the required format.

    ``think``: ``presence``: a reasoning and an answer, neither blank, in any order. ``ordered``: and the reasoning ends before the
    answer begins. ``exact``: and there is nothing else, no second tag, and no empty item between commas.
    ``direct``: ``presence``: there are words. ``ordered``: and no reasoning, and no tag that is not closed. ``exact``: and there is nothing
    around the answer, no empty item, and no item of more than `MAX_ITEM_WORDS` words. ``auto`` is ``think`` or ``direct`` by the tags.

    Raises:
        InputError: No such output mode or strictness.
    """
    check_choice("output", output, get_args(Output))
    check_choice("strictness", strictness, get_args(Strictness))
    tags = [tag.lower() for tag in _TAG.findall(completion)]
    if output == "direct" or (output == "auto" and not tags):
        return _is_direct(completion, tags, strictness)
    if not (_has_block(completion, "think") and _has_block(completion, "answer")):
        return False
    if strictness == "presence":
        return True
    thinking, answer, unfinished, only = structure(completion)
    if thinking is None or answer is None or unfinished:
        return False
    if not completion[slice(*thinking)].strip() or not completion[slice(*answer)].strip():
        return False
    return strictness == "ordered" or (only and _items_filled(completion[slice(*answer)]))


def mentioned_words(text: str, wheels: Wheels) -> tuple[str, ...]:
    """The emotion words that a text names and does not deny, in order, each once: the longest ones that the tables know.

    Words are matched on their boundaries, in any case, without overlaps. `UNEMOTIONAL` words are passed over, and so are denied ones
    ("not angry", "no sign of fear").

    Example:
        >>> from facial_r1.affect.wheels import load
        >>> mentioned_words("She is not angry but deeply worried.", load())
        ('worried',)
    """
    lengths = _phrase_lengths(wheels)
    tokens = [(match.group().lower(), match.start(), match.end()) for match in _WORD.finditer(text)]
    found: list[Mention] = []
    place = 0
    while place < len(tokens) and len(found) < MAX_MENTIONS:
        size = next((n for n in lengths.get(tokens[place][0], ()) if _phrase(text, tokens, place, n) in wheels.source.forms), 0)
        if size and (word := _phrase(text, tokens, place, size)) not in UNEMOTIONAL:
            found.append(Mention(tokens[place][1], tokens[place + size - 1][2], word))
        place += max(size, 1)
    denied = _denied(text, 0, len(text), found)
    return tuple(dict.fromkeys(mention.code for mention, no in zip(found, denied, strict=True) if not no))


def check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """Raise InputError when an option has none of the values it may have."""
    if value not in choices:
        raise InputError(f"{option}={value!r}: {did_you_mean(str(value), choices)}")


# --- asking a language model -------------------------------------------------------------------------------------


def extraction_request(text: str) -> str:
    """The user text that asks a language model for the emotion words of a reasoning; answer it with temperature 0 and cache it."""
    return _EXTRACTION.format(text=text.strip())


def read_extraction(reply: str) -> tuple[str, ...] | None:
    """The words of a reply to `extraction_request`, each once; None when the reply has no list to read.

    Example:
        >>> read_extraction("Output: [happy, at ease]")
        ('happy', 'at ease')
    """
    listed = _BRACKETS.findall(reply)
    if not listed:
        return None
    return tuple(dict.fromkeys(word for word in split_words(listed[-1]) if word not in ("none", "empty", "n/a")))


def comparison_request(first: str, second: str, transcript: str = "") -> str:
    """The user text, beside the clip, that asks a multimodal model which of two answers fits the clip better."""
    spoken = f"\nWhat is said: {transcript.strip()}\n" if transcript.strip() else ""
    return _COMPARISON.format(spoken=spoken, first=first.strip(), second=second.strip())


def read_verdict(reply: str) -> Literal["first", "second", "tie", "failed"]:
    """The verdict of a reply to `comparison_request`; the last one given counts, and ``failed`` is a reply without one.

    Example:
        >>> read_verdict("The first misses the smile.\\nVerdict: 2")
        'second'
    """
    found = _VERDICT.findall(reply)
    verdicts: dict[str, Literal["first", "second", "tie"]] = {"1": "first", "2": "second", "tie": "tie"}
    return verdicts[found[-1].lower()] if found else "failed"


# --- format ------------------------------------------------------------------------------------------------------


def _has_block(text: str, tag: str) -> bool:
    """Whether some block of this tag is closed and not blank; in linear time, unlike a lazy regular expression."""
    lower, position = text.lower(), 0
    opening, closing = f"<{tag}>", f"</{tag}>"
    while (start := lower.find(opening, position)) >= 0:
        end = lower.find(closing, start)
        if end < 0:
            return False
        if lower[start + len(opening) : end].replace(opening, "").strip():
            return True
        position = end
    return False


def _is_direct(text: str, tags: Sequence[str], strictness: Strictness) -> bool:
    if not read_answer(text, "direct").words:
        return False
    if strictness == "presence":
        return True
    if tags not in ([], ["<answer>", "</answer>"]):
        return False
    if strictness == "ordered":
        return True
    bare = text.strip()
    if tags:
        if not (bare.lower().startswith("<answer>") and bare.lower().endswith("</answer>")):
            return False
        bare = bare[len("<answer>") : -len("</answer>")]
    return _items_filled(bare) and all(len(item.split()) <= MAX_ITEM_WORDS for item in _COMMA.split(bare))


def _items_filled(answer: str) -> bool:
    return all(item.strip(_EDGES) for item in _COMMA.split(answer))


# --- dictionary --------------------------------------------------------------------------------------------------


def _phrase(text: str, tokens: Sequence[tuple[str, int, int]], place: int, size: int) -> str:
    """`size` tokens as they would stand in the tables, or "" when something else than blanks is between them."""
    if place + size > len(tokens):
        return ""
    if size == 1:
        return tokens[place][0]
    part = tokens[place : place + size]
    if any(not text[one[2] : two[1]].isspace() for one, two in pairwise(part)):
        return ""
    return " ".join(token for token, _, _ in part)


_PHRASES: dict[int, tuple[Mapping[str, Sequence[str]], dict[str, tuple[int, ...]]]] = {}


def _phrase_lengths(wheels: Wheels) -> dict[str, tuple[int, ...]]:
    """First word of each form to the numbers of words that forms with it have, longest first; made once for a table."""
    forms = wheels.source.forms
    kept = _PHRASES.get(id(forms))
    if kept is None or kept[0] is not forms:
        lengths: dict[str, set[int]] = {}
        for form in forms:
            parts = form.split()
            if parts:
                lengths.setdefault(parts[0], set()).add(len(parts))
        kept = _PHRASES[id(forms)] = (forms, {word: tuple(sorted(sizes, reverse=True)) for word, sizes in lengths.items()})
    return kept[1]
