"""Markdown with YAML front matter: tables, numbers, and the paths of this machine taken out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_PATH = re.compile(r"(?<![\w.:/<~])(?:~|[A-Za-z]:)?/(?:[^\s/:;,()'\"`|]+/)+([^\s/:;,()'\"`|]*)")
_MARK = re.compile(r"\n<!-- facial-r1 card ([0-9a-f]{12}) -->\n?$")


def page(front: Mapping[str, Any], body: str) -> str:
    """Front matter and body as one page, marked so that a hand-edited card is known as such (`is_ours`)."""
    import yaml

    head = yaml.safe_dump(_without_nothing(front), sort_keys=False, allow_unicode=True, width=120)
    text = f"---\n{head}---\n\n{body.strip()}\n"
    return f"{text}\n<!-- facial-r1 card {_digest(text)} -->\n"


def is_ours(text: str) -> bool:
    """Whether a page is exactly as `page` wrote it, so that writing it again loses nothing."""
    mark = _MARK.search(text)
    return mark is not None and _digest(text[: mark.start()]) == mark[1]


def front_matter(text: str) -> dict[str, Any] | None:
    """The front matter of a card; None when it has none, or one that is no YAML mapping."""
    import yaml

    match = re.match(r"---\n(.*?)\n---\n", text, flags=re.DOTALL)
    try:
        found = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        return None
    return found if isinstance(found, dict) else None


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; "" without rows."""
    lines = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns), *lines]) if lines else ""


def hide_paths(text: str) -> str:
    """The text with absolute paths cut to their last part: a card leaves the machine, its folders do not.

    >>> hide_paths("pictures lie in /data/people/faces")
    'pictures lie in .../faces'
    """
    return _PATH.sub(r".../\1", text)


def number(value: float | None, digits: int = 3) -> str:
    """A figure with three digits, "not defined" for None."""
    return "not defined" if value is None else f"{value:.{digits}f}"


def interval(figure: Mapping[str, Any]) -> str:
    """The ends of an interval, or that there is none."""
    low, high = figure.get("low"), figure.get("high")
    return "none" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _cell(value: Any) -> str:
    return str("" if value is None else value).replace("|", "\\|").replace("\n", " ")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _without_nothing(front: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in front.items() if value not in (None, [], {}, "")}
