"""Who is working in a run directory."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from facial_r1.errors import Busy
from facial_r1.launch.environment import LAUNCHER

if TYPE_CHECKING:
    from facial_r1.runs import RunDirectory


#: Seconds by which the time at which a process began may seem to move: the kernel counts from a start that clocks correct.
_CLOCK = 2.0


def refuse_if_busy(run: RunDirectory) -> None:
    """Raise `Busy` when another live process of this machine works in the run directory; a rank's launcher is no other."""
    status = run.status()
    owner: Mapping[str, Any] = status.get("process") or {}
    if status.get("state") != "running" or owner.get("host") != socket.gethostname() or owner.get("pid") is None:
        return
    if str(owner["pid"]) in (str(os.getpid()), os.environ.get(LAUNCHER)):
        return
    import psutil

    try:
        process = psutil.Process(owner["pid"])
        same = abs(process.create_time() - float(owner.get("began") or 0.0)) < _CLOCK
        alive = same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return
    if alive:
        raise Busy(f"{run.path}: process {owner['pid']} is working on this run; wait for it or stop it")


def claim(run: RunDirectory, **changes: Any) -> None:
    """Mark the run as this process's."""
    import psutil

    me = psutil.Process()
    process = {"pid": me.pid, "began": me.create_time(), "host": socket.gethostname()}
    run.update_status(state="running", reason=None, exit_code=None, process=process, **changes)
