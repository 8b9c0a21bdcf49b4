"""The tables that are shipped with this package: the published label trees, with synonyms and inflections written for this project."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from facial_r1.affect.wheels.inflections import adjective, by_ending, verb
from facial_r1.affect.wheels.tables import Source, invert, sectors_of
from facial_r1.affect.wheels.trees import TREES

_FOLDER = Path(__file__).parent / "words"
_KINDS = {"@adjectives": adjective, "@verbs": verb}


@cache
def read_embedded() -> Source:
    """The shipped tables."""
    texts = [(_FOLDER / name).read_text(encoding="utf-8") for name in ("synonyms.txt", "inflections.txt")]
    synonyms, inflections = (_entries(text) for text in texts)
    sectors = [[sectors_of(tree, 1), sectors_of(tree, 2)] for tree in TREES]
    listed = {label: [label, *synonyms.get(label, ())] for wheel in sectors for label in wheel[0]}
    labels = {base: sorted(names) for base, names in invert(listed).items()}
    forms = _inflected(labels, inflections)
    sha256 = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    return Source("embedded", forms, labels, TREES, sectors, sha256=sha256)


def _entries(text: str) -> dict[str, list[str]]:
    """``head: item, item`` a line; blank lines and lines with # are skipped, a head may come again."""
    entries: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            head, _, items = line.partition(": ")
            entries.setdefault(head, []).extend(items.split(", "))
    return entries


def _inflected(bases: Iterable[str], written: dict[str, list[str]]) -> dict[str, list[str]]:
    """Surface form to base words: the base itself, what is written down for it, and what the rules give."""
    kinds = {word: rule for kind, rule in _KINDS.items() for word in written.get(kind, ())}
    irregular, infinitives = frozenset(written.get("@irregular", ())), frozenset(written.get("@infinitives", ()))
    listed = {}
    for base in bases:
        regular = [] if base in irregular else kinds[base](base) if base in kinds else by_ending(base, infinitives)
        listed[base] = [base, *written.get(base, ()), *regular]
    return invert(listed)
