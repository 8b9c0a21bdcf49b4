"""'Did you mean': the nearest known name for an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The closest of `known` to `name` by edit similarity, or None when nothing is near (ratio below 0.6)."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence part: "; did you mean 'x'?" or the list of what there is."""
    known = sorted(known)
    close = nearest(name, known)
    if close:
        return f"did you mean '{close}'?"
    return "there is: " + ", ".join(known) if known else "nothing is known here"
