"""The list of metric names in docs/interoperability.md, which tests hold against the code and against what dashboards record."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "interoperability.md"


def documented_names() -> dict[str, str]:
    """Name in `metrics.jsonl` -> name in a dashboard, in the order of the page."""
    return dict(re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| .+ \|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))


def filled(name: str) -> str:
    """The name with something in the place of each `<...>`."""
    return name.replace("<name>", "x").replace("<AU>", "AU12")
