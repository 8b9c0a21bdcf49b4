"""A trackio that records what it is told, with the calls and the printing of the real one (0.43)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest


@dataclass
class Said:
    """Everything the fake was told."""

    inits: list[dict[str, Any]] = field(default_factory=list)
    rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    finished: int = 0


def fake_trackio(monkeypatch: pytest.MonkeyPatch) -> Said:
    """Put the fake in the place of the package for the duration of a test."""
    said = Said()

    def init(**arguments: Any) -> SimpleNamespace:
        said.inits.append(arguments)
        print("* Trackio project initialized")
        return SimpleNamespace(log=lambda values, step: said.rows.append((step, values)), alert=alert)

    def alert(**arguments: Any) -> None:
        print(f"[TRACKIO WARN] {arguments['title']}")
        said.alerts.append(arguments)

    def finish() -> None:
        print("* Run finished.")
        said.finished += 1

    module = SimpleNamespace(
        init=init,
        finish=finish,
        AlertLevel=SimpleNamespace(WARN="warn"),
        Table=lambda columns, data: {"columns": columns, "data": data},
        Image=lambda value: {"image": value},
    )
    monkeypatch.setitem(sys.modules, "trackio", module)
    return said
