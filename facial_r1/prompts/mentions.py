"""Where a text names action units, and whether it says that they are there or that they are not.

Accepted spellings (any case): ``AU12``, ``AU 12``, ``AU-12``, ``AU_12``, ``AU:12``, ``AU012``, ``(AU12)``, ``AUs 6 and 12``,
``AU6+12``, ``AU6+AU12``, ``AU6/12``, ``AU6, 12 and 25``, ``AU6 and 12``, ``action unit 12``, ``Action Units (AUs) 6, 12``, a FACS
intensity letter (``AU12C``) and a side (``AUL12``). A bare number continues a list only when it is joined to a
code by ``, and or & + / plus``, is the number of a known unit and is not a quantity (``AU6 and 12 %``, ``AU4, 2 of them``).
Names without a number (``lip corner puller``) are not mentions.

Negation is decided per mention, inside its clause. A cue before the mention (``no AU4``, ``without AU4``, ``neither AU1 nor
AU2``, ``rather than AU4``) covers the mention and those listed with it (``no AU4, AU7 or AU9``); a cue after it covers the
list that it closes (``AU4 and AU7 are absent``). Clauses end at punctuation, at contrast (``not AU4 but AU1``) and where ``and``
starts a statement of its own (``no AU4 and AU12 is strong``). ``not only AU4`` and ``AU12 is not strong`` deny nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Literal

from facial_r1.affect.action_units import ACTION_UNITS

MAX_MENTIONS = 10_000
"""Mentions read from one text. A face has 44 units; a text that goes on beyond this is a loop, not reasoning."""


@dataclass(frozen=True, slots=True)
class Mention:
    """One action unit named in a text.

    Attributes:
        start: Offset of its first character.
        end: Offset behind its last character.
        code: Canonical code, for example ``"AU12"``; ``"AU99"`` for a number that FACS does not have.
        negated: The text says that it is not there.
        known: FACS has a unit of this number.
    """

    start: int
    end: int
    code: str
    negated: bool = False
    known: bool = True


_HEAD = re.compile(
    r"(?<![A-Za-z])(?:AUs?|action[\s_-]units?)(?:\s?\(AUs?\)|\))?[\s:_#(\u2010-\u2013-]{0,3}[LRTB]?([0-9]+)(?:[A-E](?![A-Za-z0-9]))?",
    re.ASCII | re.IGNORECASE,
)
_QUANTITY = (
    r"(?!\s{0,2}(?:%|percent|per cent|more|other|others|further|additional|of|out|years?|times?|points?|px|pixels?|mm|degrees?|"
    r"seconds?|frames?|people|persons?|faces?|muscles?|units?|signs?)(?![A-Za-z]))"
)
_TAIL = re.compile(
    r"(?:\s{0,2}(?P<symbol>[+/&])\s{0,2}|\s{0,2}(?:,\s{0,2}(?:(?:and|or|&)\s{1,2})?|\s(?:and|or|plus)\s{1,2}))"
    r"(?P<number>0{0,3}[0-9]{1,2})(?:[A-E](?![A-Za-z0-9]))?(?![0-9A-Za-z%\u00b0]|[.:,\u2010-\u2013-][0-9])" + _QUANTITY,
    re.ASCII | re.IGNORECASE,
)

# --- negation: words ---------------------------------------------------------------------------------------------

_EMOTIONAL = (
    r"neutral|happy|happiness|joy|joyful|sad|sadness|anger|angry|fear|fearful|afraid|disgust|disgusted|surprise|surprised|"
    r"contempt|contemptuous|genuine|ambiguous|uncommon|unusual|surprising"
)
# Read as if they were not there: they look like a denial and are none.
_HARMLESS = re.compile(
    r"\b(?:not\s(?:only|just|merely|simply|solely)|no\s(?:doubt|question|wonder)|without\s(?:a\s|any\s)?doubt|"
    rf"not\s(?:(?:a|an|the|truly|really|clearly|necessarily|quite|at\sall)\s)?(?:{_EMOTIONAL})|e\.g\.|i\.e\.)",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"\b(?:no|not|without|neither|nor|never|none\sof|nothing|cannot|lacks?|lacking|absence\sof|absent|missing|free\sof|"
    r"rather\sthan|instead\sof|excluding|rul(?:es?|ed|ing)\sout|(?:is|are|was|were|do|does|did|has|have|ca|could|would|wo)n['\u2019]?t)\b",
    re.IGNORECASE,
)
_BREAK = re.compile(
    r"[.!?;:,\n\u2014\u3002\uff0c\uff1b]|\s-\s|--|\b(?:but|however|while|whereas|although|though|yet|instead(?!\sof)|"
    r"rather(?!\sthan)|because|since|so|thus|therefore|hence|given|due\sto|presence\sof)\b",
    re.IGNORECASE,
)
_VERBS = (
    r"is|was|has|appears|seems|shows|indicates|suggests|signals|pulls|raises|lifts|lowers|tightens|widens|dominates|remains|fires|"
    r"confirms|supports|points|reveals|marks|occurs|exists|accompanies|combines|creates|produces|gives|stands"
)
_SINGULAR_VERB = re.compile(
    rf"\s?(?:\([^()]{{0,60}}\))?\s?(?:(?:also|clearly|then|strongly|slightly|only)\s)?(?:{_VERBS})\b", re.IGNORECASE
)
_PREDICATE = re.compile(rf"\s?(?:\([^()]{{0,60}}\))?\s?(?:{_VERBS}|are|were|have|appear|seem|show)\b", re.IGNORECASE)
_ONE = re.compile(r"\s?(?:\([^()]{0,60}\))?\s?(?:is|was|has|does|appears|seems|remains)\b", re.IGNORECASE)
_ANY_CUE = re.compile(
    r"\b(?:no|not|none|without|neither|nor|never|nothing|cannot|lack\w*|absen\w*|missing|inactive|unseen|undetected|free\sof|"
    r"rather\sthan|instead\sof|excluding|rul\w+\sout|\w+n['\u2019]?t)\b",
    re.IGNORECASE,
)
_ANY_VERB = re.compile(rf"\b(?:{_VERBS}|are|were|have|appear|seem|show|pull|raise|indicate|suggest)\b", re.IGNORECASE)
_OWN_STATEMENT = re.compile(
    rf"\band\b(?=\s*$|.*?\b(?:{_VERBS}|are|were|have|appear|seem|show|pull|raise)\b)", re.IGNORECASE | re.DOTALL
)
_AUXILIARY = (
    r"(?:(?:is|are|was|were|be|been|does|do|did|has|have|seems?|appears?|remains?|stays?|looks?|can|could|also|clearly|currently|"
    r"completely|largely|entirely|both|all|which|that|here|to)\s{1,2}){0,4}"
)
_AFTER = re.compile(
    r"\s?(?:\([^()]{0,60}\))?(?:[\s):=\u2013\u2014-]{0,4}|,\s(?=which\b))"
    + _AUXILIARY
    + r"(?:absent\b|missing\b|inactive\b|lacking\b|unseen\b|undetected\b|ruled\sout\b|neither\s(?:present|visible|active)\b|"
    r"(?:cannot|can['\u2019]?t|couldn['\u2019]?t|never)\b|"
    r"(?:shows?\s|has\s|have\s)?no\s(?:activation|activity|movement|sign|signs|evidence|trace|contraction|presence)\b|"
    r"(?:none|no)\b(?=\s*(?:$|[.;)\n]))|"
    r"(?:not\b|(?:is|are|was|were|do|does|did|has|have)n['\u2019]?t\b)"
    r"(?!\s(?:only|just|merely|simply|solely|strong|strongly|intense|very|fully|maximal|extreme|complete|full|too|as|isolated|alone)\b))",
    re.IGNORECASE,
)
_LIST_GLUE = re.compile(r"[\s)(\"'*]*(?:,|,?\s*\b(?:or|nor|and)\b|[&+/])?[\s)(\"'*]*", re.IGNORECASE)
_NAMED = re.compile(r"\s?\([^()]{0,60}\)")
_OR = re.compile(r"\b(?:or|nor)\b", re.IGNORECASE)
_AND = re.compile(r"\band\b|[&+/]", re.IGNORECASE)
_NOTHING_BETWEEN = re.compile(r"\s{0,2}(?:(?:any|the|an?)\s)?\(?", re.IGNORECASE)
_OWN_CUE_IN_LIST = re.compile(
    r"[\s)]*(?:\([^()]{0,60}\))?\s?,\s?(?:and\s)?(?:no|not|without)\s(?:any\s|the\s|an?\s)?\(?", re.IGNORECASE
)

_Scope = Literal["", "item", "list", "parenthesis"]
_REACH = 160
"""Characters in front of a mention that a cue is looked for in; longer clauses are not reasoning about this mention."""


def find_mentions(text: str, start: int = 0, end: int | None = None) -> list[Mention]:
    """The action units named in ``text[start:end]``, in order, with negation decided.

    Time is linear in the length of the text: each gap between mentions is looked at through windows of fixed size.
    """
    stop = len(text) if end is None else end
    bare = list(islice(_scan(text, start, stop), MAX_MENTIONS))
    denied = _denied(text, start, stop, bare)
    return [Mention(m.start, m.end, m.code, no, m.known) for m, no in zip(bare, denied, strict=True)]


def _scan(text: str, start: int, stop: int) -> Iterator[Mention]:
    position = start
    while (head := _HEAD.search(text, position, stop)) is not None:
        yield _mention(head.start(), head.end(), head.group(1))
        position = head.end()
        while (tail := _TAIL.match(text, position, stop)) is not None:
            found = _mention(tail.start("number"), tail.end(), tail.group("number"))
            if not found.known and not tail.group("symbol"):
                break
            yield found
            position = tail.end()


def _mention(start: int, end: int, digits: str) -> Mention:
    number = digits.lstrip("0")[:6] or "0"
    code = f"AU{number}"
    return Mention(start, end, code, known=code in ACTION_UNITS)


def _denied(text: str, start: int, stop: int, mentions: list[Mention]) -> list[bool]:
    if not mentions or _ANY_CUE.search(text, start, stop) is None:
        return [False] * len(mentions)
    gaps = [text[a.end : b.start] if b.start - a.end <= _REACH else None for a, b in pairwise(mentions)]
    ends_in_or = _lists_ending_in_or(gaps)
    scopes: list[_Scope] = []
    for index, mention in enumerate(mentions):
        floor = max(start if index == 0 else mentions[index - 1].end, mention.start - _REACH)
        after = text[mention.end : min(stop, mention.end + 80)]
        gap = gaps[index - 1] if index else None
        scope = _cue_before(text[floor : mention.start], after)
        if scope == "list" and gap is not None and _OWN_CUE_IN_LIST.fullmatch(gap):
            scope = "item"  # "AU1, no AU4, AU6": the list itself is not denied
        elif scope == "" and gap is not None and scopes[-1]:
            scope = scopes[-1] if _carries_on(gap, after, scopes[-1], ends_in_or[index - 1]) else ""
        scopes.append(scope)
    behind = _denied_from_behind(text, mentions, gaps, stop)
    return [bool(scope) or cue for scope, cue in zip(scopes, behind, strict=True)]


def _denied_from_behind(text: str, mentions: list[Mention], gaps: list[str | None], stop: int) -> list[bool]:
    """Cues behind a mention, and behind the list that it belongs to ("AU4 and AU7 are absent")."""
    denied = [False] * len(mentions)
    singular = False  # the predicate speaks of one unit: "AU12 and AU4 is absent"
    for index in range(len(mentions) - 1, -1, -1):
        mention = mentions[index]
        following = mentions[index + 1] if index + 1 < len(mentions) else None
        if _cue_after(text, mention, following, stop):
            denied[index] = True
            singular = _ONE.match(text, mention.end, min(stop, mention.end + 80)) is not None
        elif following is not None and denied[index + 1]:
            gap = gaps[index]
            if gap is not None and _is_list_glue(gap):
                denied[index] = not singular or _OR.search(gap) is not None
    return denied


def _is_list_glue(gap: str) -> bool:
    glue = _NAMED.sub("", gap)
    return bool(glue.strip(" \"'*()")) and _LIST_GLUE.fullmatch(glue) is not None


def _cue_before(gap: str, after: str) -> _Scope:
    """What a cue denies that stands in the gap, in the mention's own clause; "" without such a cue."""
    clause = _HARMLESS.sub(lambda m: " " * len(m.group()), gap)
    clause = _BREAK.split(clause)[-1]
    closed = clause.rfind(")")
    if closed >= 0 and clause.count(")") > clause.count("("):
        clause = clause[closed + 1 :]  # what was denied inside a parenthesis stays there
    cue = _BEFORE.search(clause)
    if cue is None:
        return ""
    rest = clause[cue.end() :]
    joined = _OWN_STATEMENT.search(rest)
    if joined is not None:
        if rest[joined.end() :].strip():
            if _BEFORE.search(rest, joined.end()) is None:
                return ""
        elif _SINGULAR_VERB.match(after) is not None:
            return ""
    return "parenthesis" if gap.rfind("(") > gap.rfind(")") and _BEFORE.search(gap, gap.rfind("(")) else "list"


def _carries_on(gap: str, after: str, scope: _Scope, ends_in_or: bool) -> bool:
    """Whether a denial reaches the next mention over this gap, as it does in a list."""
    glue = _NAMED.sub("", gap)
    if _BREAK.search(glue.replace(",", " ")) or (scope == "parenthesis" and ")" in glue):
        return False
    if _OR.search(glue) or (ends_in_or and "," in glue):
        return _ANY_VERB.search(glue) is None
    if scope == "item" or not _is_list_glue(gap):
        return False
    return _SINGULAR_VERB.match(after) is None if _AND.search(glue) else _PREDICATE.match(after) is None


def _lists_ending_in_or(gaps: list[str | None]) -> list[bool]:
    """For each gap: it belongs to a comma list whose last joint is "or" or "nor"."""
    flags = [False] * len(gaps)
    for index in range(len(gaps) - 1, -1, -1):
        gap = gaps[index]
        if gap is None:
            continue
        if _OR.search(gap):
            flags[index] = True
        elif "," in gap and index + 1 < len(gaps) and _BREAK.search(gap.replace(",", " ")) is None:
            flags[index] = flags[index + 1]
    return flags


def _cue_after(text: str, mention: Mention, following: Mention | None, stop: int) -> bool:
    found = _AFTER.match(text, mention.end, min(stop, mention.end + _REACH))
    if found is None or (following is not None and found.end() > following.start):
        return False
    # "AU1 not AU4": the cue belongs to what comes behind it.
    return following is None or _NOTHING_BETWEEN.fullmatch(text, found.end(), following.start) is None
