"""docs/metrics.md names every figure that an evaluation gives."""

from __future__ import annotations

import re
from pathlib import Path

from facial_r1.metrics.evaluate import evaluate

TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
PATTERNS = [re.sub(r"<\w+>", "[^/]+", re.escape(name)) for name in re.findall(r"`([a-z0-9_/<>]+)`", TEXT)]


def test_every_metric_and_failure_is_documented() -> None:
    row = {"id": "1", "AUs": ["AU4"], "labels": ["anger"], "description": "<think>AU4.</think><answer>anger</answer>"}
    found = evaluate([row["description"]], [row], ["AU4"], ["anger"], resamples=0, compat=True, rege_task="emotion")
    bare = [name for name in (*found.metrics, *found.failures) if not any(re.fullmatch(known, name) for known in PATTERNS)]
    assert not bare, bare
