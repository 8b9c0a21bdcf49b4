"""Quality control of written reasoning: pure checks, each with a name under which rejections are counted.

There are two tests of a text. The **strict** one (`check_answer`) reads it with the parser that rewards and metrics share. The
**published** one (`published_issues`) is the pass test of the released synthesis script of Facial-R1. `stage.quality.mode` says
which one decides; both are counted for every written row, so that their yields stand side by side.

The published test, rule by rule:

* Every ``AU`` directly followed by digits counts, anywhere in the text, in capitals only. Denials count as mentions, ``AU012`` and
  ``AU12`` are different, and no unit is found in ``AU 12`` or ``au12``. The set must equal the row's action units.
* A row without action units (none coded, or an empty list) is not tested for them.
* The parts of the text between ``<answer>`` and ``</answer>``, split at commas, blanks around them removed, must be exactly the
  set of the row's labels, as written. Without a complete answer the set is empty. A row without labels is not tested for them.
* What is wrong with the form (no or empty reasoning, no or empty answer) is told to the writer in a retry and decides nothing: a
  row with action units only passes without an answer, and any row passes without reasoning tags.

Notes on the script do not say which of several answers it reads, nor whether it ignores case: the first is read, and case counts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from facial_r1.config.schema import QualityControl
from facial_r1.data import Record
from facial_r1.prompts import parse

MODES = ("strict", "published")

CHECKS = ("format", "action_units", "label", "leak", "length", "near_duplicate")

# Wordings that show that the writer was told the answer. Matched in the reasoning, whatever the case.
_LEAK = re.compile(
    r"\b(?:as (?:given|provided|stated|specified|instructed|indicated above|required|labell?ed|annotated)"
    r"|ground[- ]truth|(?:the )?(?:given|provided|known|specified|annotated|true|correct|target) (?:emotions?|labels?|answers?|action units?|AUs?)"
    r"|according to (?:the )?(?:labels?|annotations?|instructions?|hints?|prompt)|(?:the )?hints? (?:says?|states?|tells?)|I (?:was|am|have been) told"
    r"|must (?:identify|name|be this))\b",
    re.IGNORECASE,
)


_PUBLISHED_UNIT = re.compile(r"AU\d+")
_PUBLISHED_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_PUBLISHED_THINKING = re.compile(r"<think>(.*?)</think>", re.DOTALL)


@dataclass(frozen=True)
class Issue:
    """One reason against an answer: the check that found it and a sentence for the writer."""

    check: str
    message: str


@dataclass(frozen=True)
class Verdict:
    """What both tests say about one text.

    Attributes:
        mode: the test that decides, "strict" or "published".
        strict: what speaks against the text in the strict test; empty when it passes.
        published: the same of the published test.
        remarks: what is only told to the writer; it decides nothing.
    """

    mode: str
    strict: tuple[Issue, ...]
    published: tuple[Issue, ...]
    remarks: tuple[str, ...] = ()

    @property
    def issues(self) -> tuple[Issue, ...]:
        """What speaks against accepting the text; empty when it is accepted."""
        return self.published if self.mode == "published" else self.strict

    @property
    def told(self) -> list[str]:
        """What a retry tells the writer."""
        return [*(issue.message for issue in self.issues), *self.remarks]

    @property
    def passes(self) -> dict[str, bool]:
        """Whether each test is passed, by its name."""
        return {"strict": not self.strict, "published": not self.published}


@dataclass
class Accepted:
    """What has passed the strict test so far, to recognise near-duplicates. Only texts about the same units and label compare."""

    _groups: dict[tuple[object, ...], list[frozenset[tuple[str, ...]]]] = field(default_factory=lambda: defaultdict(list))

    def count_like(self, text: str, similarity: float, enough: int) -> int:
        """How many accepted texts are at least `similarity` alike; counting stops above `enough`."""
        key, triples = _signature(text)
        count = 0
        for other in self._groups.get(key, ()):
            union = len(triples | other)
            if union == 0 or len(triples & other) / union >= similarity:
                count += 1
                if count > enough:
                    break
        return count

    def add(self, text: str) -> None:
        """Remember an accepted text."""
        key, triples = _signature(text)
        self._groups[key].append(triples)


def judge(text: str, record: Record, settings: QualityControl, accepted: Accepted, truncated: bool = False) -> Verdict:
    """Both tests of `text` as the description of `record`; `settings.mode` decides.

    Args:
        text: what the model wrote, special tokens removed.
        record: the face with what is known about it.
        settings: `stage.quality`.
        accepted: texts that passed the strict test before; not changed.
        truncated: the text ended at the length limit.
    """
    published = settings.mode == "published"
    return Verdict(
        settings.mode,
        tuple(check_answer(text, record, settings, accepted, truncated)),
        tuple(published_issues(text, record)),
        tuple(published_remarks(text)) if published else (),
    )


def published_issues(text: str, record: Record) -> list[Issue]:
    """The published pass test; empty when `text` passes. The rules are in the module's docstring."""
    issues: list[Issue] = []
    if record.AUs:
        issues += _unit_issues(list(dict.fromkeys(_PUBLISHED_UNIT.findall(text))), record.AUs)
    if record.labels:
        found = _PUBLISHED_ANSWER.search(text)
        given = [item.strip() for item in found[1].split(",") if item.strip()] if found else []
        if set(given) != set(record.labels):
            wanted, said = ", ".join(record.labels), ", ".join(given) or "nothing"
            issues.append(Issue("label", f"the emotion is {wanted}, the answer said {said}"))
    return issues


def published_remarks(text: str) -> list[str]:
    """What the published test tells the writer about the form of `text`, without deciding by it."""
    parts = (("think", "reasoning", _PUBLISHED_THINKING), ("answer", "answer", _PUBLISHED_ANSWER))
    remarks = []
    for tag, name, pattern in parts:
        found = pattern.search(text)
        if found is None:
            remarks.append(f"there is no {name} between <{tag}> and </{tag}>")
        elif not found[1].strip():
            remarks.append(f"the {name} between <{tag}> and </{tag}> is empty")
    return remarks


def _unit_issues(named: Sequence[str], present: Sequence[str]) -> list[Issue]:
    missing = [code for code in present if code not in named]
    extra = [code for code in named if code not in present]
    issues = []
    if missing:
        issues.append(Issue("action_units", f"these action units are present and were not named: {', '.join(missing)}"))
    if extra:
        issues.append(Issue("action_units", f"these action units were named and are not present: {', '.join(extra)}"))
    return issues


def check_answer(text: str, record: Record, settings: QualityControl, accepted: Accepted, truncated: bool = False) -> list[Issue]:
    """The strict test: all that speaks against `text` as the description of `record`; empty when it passes.

    Negated mentions of a unit count as absent. A record without annotated units (or labels) is not checked for them.
    """
    parsed = parse(text)
    issues: list[Issue] = []
    if settings.format and (truncated or not parsed.valid):
        issues.append(
            Issue(
                "format",
                "the answer was cut off"
                if truncated or parsed.truncated
                else "the answer is not one <think> part followed by one <answer> part",
            )
        )
    if settings.action_units and record.AUs is not None:
        issues += _unit_issues(parsed.action_units, record.AUs)
    if settings.labels and record.labels and not set(parsed.labels) & set(record.labels):
        issues.append(
            Issue("label", f"the emotion is {record.labels[0]}, the answer said {', '.join(parsed.labels) or 'nothing'}")
        )
    found = _LEAK.search(parsed.thinking) if settings.leaks else None
    if found:
        issues.append(Issue("leak", f'the reasoning refers to known labels ("{found[0]}"): argue from the face alone'))
    words = len(parsed.thinking.split())
    if not settings.min_words <= words <= settings.max_words:
        issues.append(Issue("length", f"the reasoning has {words} words; it takes {settings.min_words} to {settings.max_words}"))
    if (
        not issues
        and accepted.count_like(text, settings.near_duplicate, settings.near_duplicates_allowed)
        > settings.near_duplicates_allowed
    ):
        issues.append(Issue("near_duplicate", "the same words were used for many faces: say it differently"))
    return issues


def _signature(text: str) -> tuple[tuple[object, ...], frozenset[tuple[str, ...]]]:
    parsed = parse(text)
    words = re.findall(r"[a-z0-9]+", parsed.thinking.lower())
    triples = frozenset(tuple(words[index : index + 3]) for index in range(max(1, len(words) - 2)))
    return (frozenset(parsed.action_units), parsed.labels), triples
