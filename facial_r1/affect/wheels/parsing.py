"""Strings of emotion labels, taken apart as the released metric does.

Three styles occur in published files: a quoted list (``"['happy', 'relaxed']"``), a bare list in brackets (``"[happy, relaxed]"``)
and a bare list (``"happy,relaxed"``). One rule reads all of them, and has side effects that are kept because published numbers
depend on them: an apostrophe splits a word, while semicolons, slashes, "and" and full-width commas do not; ``"happy."`` keeps
its full stop, and is then in no table.
"""

from __future__ import annotations

import math
from typing import Any

from facial_r1.errors import InputError

Labels = Any
"""What is accepted as labels: a string, a list (tuple, set, array) of strings, None or NaN."""


def parse(labels: Labels) -> list[str]:
    """The labels of one clip, in order, before they are lower-cased.

    None, NaN and blank input hold no labels. The items of a list or an array are taken as they are: neither split nor stripped.
    Of a string, one leading ``[`` and one trailing ``]`` are dropped, the rest is split at ``'``, ``"`` and ``,``, and pieces are
    stripped. The released parser fails on the single character ``[``; here it holds no labels.

    Raises:
        InputError: Something else than labels, for example a number.

    Example:
        >>> parse("['happy', 'at ease']")
        ['happy', 'at ease']
    """
    if isinstance(labels, str):
        return _split(labels)
    if labels is None or (isinstance(labels, float) and math.isnan(labels)):
        return []
    if isinstance(labels, list | tuple | set | frozenset):
        return [item if isinstance(item, str) else str(item) for item in labels]
    if hasattr(labels, "tolist"):  # an array; numpy itself is not needed to read it
        return parse(labels.tolist())
    raise InputError(f"labels: {labels!r} is a {type(labels).__name__}; give a string, a list of strings, None or NaN")


def words(labels: Labels) -> list[str]:
    """The labels as they are looked up: `parse`, lower case, stripped."""
    if isinstance(labels, str):
        return [word.lower() for word in _split(labels)]
    return [item.lower().strip() for item in parse(labels)]


def _split(text: str) -> list[str]:
    text = text[1:] if text.startswith("[") else text
    text = text[:-1] if text.endswith("]") else text
    if "'" in text:
        text = text.replace("'", ",")
    if '"' in text:
        text = text.replace('"', ",")
    return [word for piece in text.split(",") if (word := piece.strip())]
