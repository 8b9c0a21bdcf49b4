"""Runs jobs: one after the other in this process, or several at a time as children that get a share of the GPUs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from facial_r1.config.sweep_schema import Sweep
from facial_r1.errors import InputError
from facial_r1.launch.automatic import visible_gpus
from facial_r1.launch.rank import die_with_parent
from facial_r1.sweeps.job import STOPPED, journal_of, log_of, perform
from facial_r1.sweeps.snapshot import Job

_POLL_SECONDS = 0.05
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_BEYOND_GRACE = 5.0
"""Seconds beyond a job's own `launch.grace_seconds`, in which it ends its own ranks."""


@dataclass(frozen=True)
class Task:
    """A job to run, and where."""

    job: Job
    run_dir: Path


Take = Callable[[], Task | None]
Done = Callable[[Task, int], None]


def run(folder: Path, settings: Sweep, take: Take, done: Done, *, grace: float, rehearsal: bool = False) -> int:
    """Run tasks until there is none left, or until a signal asks to stop.

    Args:
        folder: of the sweep.
        settings: `jobs`, `gpus_per_job`.
        take: the next task; None when there is none (now, while others run, or at all).
        done: told the exit code of each task that has ended.
        grace: seconds that a job has to stop when it is asked to.
        rehearsal: a dry run, which needs no process of its own.

    Returns:
        0, or 128 + the number of the signal that stopped the sweep.
    """
    gpus = visible_gpus()
    if rehearsal or (settings.jobs == 1 and not gpus):  # on a CPU one process imports torch once for all jobs
        return _here(folder, take, done)
    return _apart(folder, shares(settings), take, done, grace)


def shares(settings: Sweep) -> list[str | None]:
    """One entry for each job that runs at a time: its CUDA_VISIBLE_DEVICES, None where nothing is shared out.

    Raises:
        InputError: fewer GPUs are visible than one job is to get.
    """
    count = visible_gpus()
    if settings.jobs == 1 or not count:
        return [None] * settings.jobs
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = [part.strip() for part in named.split(",") if part.strip()] if named is not None else [str(n) for n in range(count)]
    size = settings.gpus_per_job
    if size > len(gpus):
        raise InputError(
            f"sweep.gpus_per_job={size}: this machine shows {len(gpus)} GPU(s); give each job fewer, or sweep.jobs=1"
        )
    slices = [",".join(gpus[start : start + size]) for start in range(0, len(gpus) - size + 1, size)]
    return list(slices[: settings.jobs])


def _here(folder: Path, take: Take, done: Done) -> int:
    while (task := take()) is not None:
        journal_of(folder).append("started", task.job.name, run=str(task.run_dir), pid=os.getpid())
        code = perform(folder, task.job, task.run_dir)
        done(task, code)
        if code in STOPPED:  # Ctrl-C ends the sweep, not only this job; the same command continues
            return code
    return 0


@dataclass
class _Child:
    task: Task
    process: subprocess.Popen[bytes]
    share: str | None
    log: IO[bytes] | None
    began: float


def _apart(folder: Path, free: list[str | None], take: Take, done: Done, grace: float) -> int:
    running: list[_Child] = []
    received: list[int] = []
    several = len(free) > 1
    width = len(free)

    def forward(number: int, frame: Any) -> None:
        received.append(number)
        if len(received) == 1:
            os.write(2, b"\nfacial_r1: stopping all jobs, each with a checkpoint; again to stop at once\n")
        for child in running:
            _send(child.process, number)

    previous = {number: signal.signal(number, forward) for number in _FORWARDED}
    deadline = None
    try:
        while True:
            while free and not received and (task := take()) is not None:
                running.append(_start(folder, task, free.pop(0), several, width))
                if received:  # between the two lines above
                    _send(running[-1].process, received[0])
            if not running:
                break
            time.sleep(_POLL_SECONDS)
            if received and deadline is None:
                deadline = time.monotonic() + grace + _BEYOND_GRACE
            if deadline is not None and (time.monotonic() > deadline or len(received) > 1):
                for child in running:
                    kill_family(child.process.pid)
            for child in [one for one in running if one.process.poll() is not None]:
                running.remove(child)
                free.append(child.share)
                done(child.task, _end(folder, child, several))
    finally:
        for child in running:
            kill_family(child.process.pid)
            child.process.wait()
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 128 + received[0] if received else 0


def _start(folder: Path, task: Task, share: str | None, several: bool, width: int) -> _Child:
    """Start a job as a process of its own, that dies with this one."""
    env = {**os.environ}
    if share is not None:
        env["CUDA_VISIBLE_DEVICES"] = share
    if several:
        env.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // width)))
    log: IO[bytes] | None = None
    if several:  # progress lines of several jobs on one console cannot be read
        path = log_of(folder, task.job.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("ab")
        on = f" on GPU {share}" if share else ""
        print(f"facial_r1: {task.job.name}: started{on}, messages in {path}", file=sys.stderr, flush=True)
    journal = journal_of(folder)
    command = [sys.executable, "-m", "facial_r1.sweeps.job", str(folder), task.job.name, str(task.run_dir)]
    journal.append("started", task.job.name, run=str(task.run_dir), gpus=share)
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=log or sys.stderr, stderr=log, start_new_session=True,
        preexec_fn=die_with_parent,
    )  # fmt: skip
    return _Child(task, process, share, log, time.monotonic())


def _end(folder: Path, child: _Child, several: bool) -> int:
    """The exit code of a child that is gone; one that could not say how it ended is entered into the journal here."""
    code = child.process.returncode
    code = 128 - code if code < 0 else code
    if child.log is not None:
        child.log.close()
    name, seconds = child.task.job.name, time.monotonic() - child.began
    journal = journal_of(folder)
    told = journal.last().get(name, {})
    if "code" not in told:
        signalled = child.process.returncode < 0
        reason = signal.Signals(-child.process.returncode).name if signalled else f"the process ended with code {code}"
        if reason == "SIGKILL":
            reason = "SIGKILL: somebody, or the system for want of memory, ended the process"
        journal.append("ended", name, run=str(child.task.run_dir), code=code, reason=reason, seconds=round(seconds, 2))
        told = {"reason": reason}
    kill_family(child.process.pid)  # nothing that it started stays behind
    if several:
        how = {0: "done"}.get(code, "stopped" if code in STOPPED else "failed")
        tail = f": {told['reason'].splitlines()[0]}" if code and told.get("reason") else ""
        print(f"facial_r1: {name}: {how} after {seconds:.0f} s{tail}", file=sys.stderr, flush=True)
    return code


def kill_family(pid: int) -> None:
    """End a process that leads a group, its descendants first."""
    try:
        for process in psutil.Process(pid).children(recursive=True):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        pass
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _send(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        process.send_signal(number)
