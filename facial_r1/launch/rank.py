"""What a rank does besides its work: it ends with its launcher, writes to its own log, and says who failed first."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

_PR_SET_PDEATHSIG = 1
#: In `logs/`: rank, host and reason of the rank that failed first. The launcher takes it away before it starts the ranks.
FIRST_FAILURE = "first_failure.json"


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies (Linux), so that no rank outlives its launcher."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def die_with(variable: str) -> None:
    """As `die_with_parent`, and end at once when the parent, whose process id an environment variable holds, is gone already."""
    die_with_parent()
    parent = os.environ.get(variable, "")
    if parent.isdigit() and os.getppid() != int(parent):
        os._exit(1)  # killed between starting this process and now: the kernel's signal was sent before it was asked for


def console_of(log: Path, rank: int) -> TextIO:
    """Where a rank talks to the person watching. Ranks other than 0 print everything else, crashes included, into their log."""
    console = os.fdopen(os.dup(2), "w", encoding="utf-8", buffering=1)
    log.parent.mkdir(parents=True, exist_ok=True)
    if rank:
        handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.close(handle)
    faulthandler.enable(file=open(log, "a"))  # noqa: SIM115 - stays open as long as the process
    return console


def failed_first(logs: Path, rank: int, reason: str) -> bool:
    """Note that this rank failed; True for the first one that did, over all nodes. The others fail because of it."""
    entry = {"rank": rank, "host": os.uname().nodename, "time": time.time(), "reason": reason}
    try:
        handle = os.open(logs / FIRST_FAILURE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    except OSError:
        return True
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(json.dumps(entry))
    return True


def first_failure(logs: Path) -> dict[str, Any] | None:
    """What `failed_first` noted, None when nobody failed (or a full disk took no note)."""
    try:
        found = json.loads((logs / FIRST_FAILURE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
