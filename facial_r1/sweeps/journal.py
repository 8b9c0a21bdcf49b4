"""What happened in a sweep: `jobs.jsonl`, one event a line, only ever added to.

A line that was cut off by a crash is passed over when reading and ended before the next one is written, so that no earlier event
is ever lost. What a job produced is said by its own run directory; the journal says which one that is and how each try ended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facial_r1 import runs
from facial_r1.errors import Busy
from facial_r1.launch.ownership import refuse_if_busy


@dataclass(frozen=True)
class Journal:
    """The journal of a sweep folder."""

    path: Path

    def append(self, event: str, job: str, **values: Any) -> None:
        """Add an event ("started", "ended") of a job; one write, so that processes may share the file."""
        line = json.dumps({"event": event, "job": job, "time": runs.now(), **values}, ensure_ascii=False) + "\n"
        handle = os.open(self.path, os.O_APPEND | os.O_RDWR | os.O_CREAT, 0o644)
        try:
            size = os.fstat(handle).st_size
            cut = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            os.write(handle, ("\n" if cut else "").encode() + line.encode())
            os.fsync(handle)
        finally:
            os.close(handle)

    def events(self) -> list[dict[str, Any]]:
        """All events, oldest first; lines that are no event are passed over."""
        found = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines() if self.path.is_file() else ():
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(event, dict) and {"event", "job"} <= set(event):
                found.append(event)
        return found

    def last(self) -> dict[str, dict[str, Any]]:
        """Job -> what is known of its last try: `run`, and, where it has ended, `code`, `reason` and `seconds`."""
        known: dict[str, dict[str, Any]] = {}
        for event in self.events():
            if event["event"] == "started":
                known[event["job"]] = {"run": event.get("run")}
            elif event["event"] == "ended":
                known.setdefault(event["job"], {}).update(
                    {key: event[key] for key in ("run", "code", "reason", "seconds") if key in event}
                )
        return known


@dataclass(frozen=True)
class Outlook:
    """Where a job stands.

    Attributes:
        state: finished, failed, refused, interrupted, running, planned (a dry run), submitted (to Slurm), "not run".
        run: its run directory, there or not.
        reason: of the last try, when it failed.
        code: exit code of the last try; None when none has ended.
        seconds: of the last try; None when none has ended.
    """

    state: str
    run: runs.RunDirectory
    reason: str = ""
    code: int | None = None
    seconds: float | None = None


def outlook(folder: Path, job: str, known: Mapping[str, Mapping[str, Any]]) -> Outlook:
    """Where `job` of the sweep in `folder` stands, from its run directory and the journal's last word on it."""
    last = known.get(job, {})
    run = runs.RunDirectory(Path(last.get("run") or folder / job))
    status = run.status()
    state = str(status.get("state") or "")
    code = last.get("code")
    queued = bool(status.get("slurm"))  # its launcher knows whether it still is, and does not submit it twice
    if state == "running" and not queued and not _at_work(run):
        state = "interrupted"
    elif state == "created":
        state = "submitted" if queued else "interrupted" if last else "not run"
    elif not state:
        state = {None: "not run", 0: "planned", 2: "refused", 130: "interrupted", 138: "interrupted", 143: "interrupted"}.get(
            code, "failed"
        )
    reason = "" if state in ("finished", "not run") else str(status.get("reason") or last.get("reason") or "")
    if code is None:
        code = status.get("exit_code")
    return Outlook(state, run, reason, code, last.get("seconds"))


def to_run(look: Outlook, retry: bool) -> bool:
    """Whether the same command runs this job (again).

    What was cut off goes on, what was refused for its input is looked at again, what failed is run again on request only.
    """
    if look.state == "failed":
        return retry or look.code == 2
    return look.state != "finished"


def _at_work(run: runs.RunDirectory) -> bool:
    """Whether another live process of this machine works in the run directory."""
    try:
        refuse_if_busy(run)
    except Busy:
        return True
    return False
