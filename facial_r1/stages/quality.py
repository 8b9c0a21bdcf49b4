"""Quality control of written reasoning: pure checks, each with a name under which rejections are counted."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

from facial_r1.config.schema import QualityControl
from facial_r1.data import Record
from facial_r1.prompts import parse

CHECKS = ("format", "action_units", "label", "leak", "length", "near_duplicate")

# Wordings that show that the writer was told the answer. Matched in the reasoning, whatever the case.
_LEAK = re.compile(
    r"\b(?:as (?:given|provided|stated|specified|instructed|indicated above|required|labell?ed|annotated)"
    r"|ground[- ]truth|(?:the )?(?:given|provided|known|specified|annotated|true|correct|target) (?:emotions?|labels?|answers?|action units?|AUs?)"
    r"|according to (?:the )?(?:labels?|annotations?|instructions?|hints?|prompt)|(?:the )?hints? (?:says?|states?|tells?)|I (?:was|am|have been) told"
    r"|must (?:identify|name|be this))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Issue:
    """One reason against an answer: the check that found it and a sentence for the writer."""

    check: str
    message: str


@dataclass
class Accepted:
    """What has been accepted so far, to recognise near-duplicates. Only texts about the same units and label compare."""

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


def check_answer(text: str, record: Record, settings: QualityControl, accepted: Accepted, truncated: bool = False) -> list[Issue]:
    """All that speaks against accepting `text` as the description of `record`; empty when it passes.

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
        missing = [code for code in record.AUs if code not in parsed.action_units]
        extra = [code for code in parsed.action_units if code not in record.AUs]
        if missing:
            issues.append(Issue("action_units", f"these action units are present and were not named: {', '.join(missing)}"))
        if extra:
            issues.append(Issue("action_units", f"these action units were named and are not present: {', '.join(extra)}"))
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
