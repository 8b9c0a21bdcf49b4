"""One line of an examination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "note", "missing", "broken"]
"""note: works, but look at it; missing: an optional part is not there; broken: something needed does not work."""


@dataclass(frozen=True)
class Check:
    """What was looked at and what it means.

    Attributes:
        part: Section: "system", "packages", "gpu", "disk", "network", "optional".
        name: What was looked at.
        verdict: See `Verdict`.
        found: What is there.
        meaning: What follows from it, where it is not plainly good.
        fix: What to do about it; "" where nothing needs doing.
    """

    part: str
    name: str
    verdict: Verdict
    found: str
    meaning: str = ""
    fix: str = ""
