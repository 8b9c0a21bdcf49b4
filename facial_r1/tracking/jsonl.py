"""`metrics.jsonl`: one JSON object a step, the source of truth that the report reads."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facial_r1 import atomic
from facial_r1.disk import writing

logger = logging.getLogger(__name__)

FILE = "metrics.jsonl"


class JsonlTracker:
    """Appends to `metrics.jsonl` in the run directory.

    Each row is one `write` call of whole bytes, so a killed process loses at most the row it was writing; opening
    again removes such a torn tail. A value that is not finite is written as null and named under "not_finite",
    which keeps the file valid JSON.
    """

    name = "jsonl"

    def __init__(self, run_dir: Path, resume_step: int | None = None) -> None:
        """Open for appending.

        Args:
            run_dir: the run directory.
            resume_step: the step of the checkpoint that the run continues from; later rows are dropped, as those
                steps will be taken again. 0 starts the file afresh, None keeps every whole row.
        """
        self.path = run_dir / FILE
        _repair(self.path, resume_step)
        self._file: int | None = None  # opened at the first row: a job refused before it leaves no file
        self._closed = False

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Append one row."""
        if self._closed:
            raise ValueError(f"{self.path} is closed")
        if self._file is None:
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        row: dict[str, Any] = {"step": int(step), "time": round(time.time(), 3)}
        lost = []
        for name, value in values.items():
            number = float(value)
            if math.isfinite(number):
                row[name] = int(value) if isinstance(value, int) else number
            else:
                row[name] = None
                lost.append(name)
        if lost:
            row["not_finite"] = lost
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        with writing(FILE, self.path.parent):
            if os.write(self._file, line) < len(line):  # the disk took a part; the torn row is removed when the file is opened
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def table(self, step: int, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Samples are kept by the stages themselves (`rollouts/`, `samples.jsonl`)."""

    def image(self, step: int, name: str, path: Path, face: bool = False) -> None:
        """Figures already lie in the run directory."""

    def alert(self, title: str, text: str) -> None:
        """Append to `alerts.jsonl`, which the report shows."""
        with open(self.path.with_name("alerts.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps({"time": round(time.time(), 3), "title": title, "text": text}) + "\n")

    def finish(self, state: str, summary: Mapping[str, Any]) -> None:
        """Flush to the disk and close."""
        self._closed = True
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a `metrics.jsonl`, in order of steps, each step once.

    Rows of the same step are merged, the later one wins. A torn last line, as a killed run leaves it, is left out.
    An absent file is an empty list.

    Raises:
        ValueError: a line other than the last is not a JSON object with a step; names the line.
    """
    merged: dict[int, dict[str, Any]] = {}
    for row in _rows(path):
        merged.setdefault(row["step"], {}).update(row)
    return [merged[step] for step in sorted(merged)]


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or not isinstance(row.get("step"), int):
                raise ValueError("no step")
        except ValueError as error:
            if number == len(lines):  # nothing after it: the write was cut off
                break
            raise ValueError(f"{path}:{number} is not a row of metrics ({error}); the file was edited or mixed up") from error
        rows.append(row)
    return rows


def _repair(path: Path, resume_step: int | None) -> None:
    """Remove a torn last line and the rows after `resume_step`, in one atomic replacement if any are."""
    if not path.exists():
        return
    content = path.read_bytes()
    rows = _rows(path)
    kept = rows if resume_step is None else [row for row in rows if row["step"] <= resume_step]
    if len(kept) == len(rows) and (content.endswith(b"\n") or not content):
        return
    if len(kept) < len(rows):
        logger.info("%s: %d rows after step %s dropped, they will be taken again", path, len(rows) - len(kept), resume_step)
    atomic.write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
