"""`launch=torchrun`: the ranks of this node as children in a process group of their own, with signals passed on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil

from facial_r1.launch import nodes
from facial_r1.launch.agent import NOT_MET
from facial_r1.launch.environment import environment
from facial_r1.launch.nodes import Node
from facial_r1.launch.ownership import claim, refuse_if_busy
from facial_r1.launch.rank import FIRST_FAILURE, die_with_parent, first_failure

if TYPE_CHECKING:
    from facial_r1.config.schema import Job
    from facial_r1.runs import RunDirectory

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
#: Seconds that a network file system may take to show one node what another has written.
_SEEN = 60.0


def command(run: RunDirectory, job: Job, node: Node | None = None) -> list[str]:
    """The command line that starts the ranks of a job on this node."""
    return [
        sys.executable, "-m", "facial_r1.launch.agent", str(run.path), *(node or Node()).options(run, job),
        f"--nproc-per-node={job.launch.processes}",
    ]  # fmt: skip


def launch_ranks(run: RunDirectory, job: Job, node: Node | None = None) -> int:
    """Start the ranks of this node, wait for them, and leave none behind. Returns the job's exit code.

    SIGINT, SIGTERM and SIGUSR1 are passed to every rank; after `launch.grace_seconds` what is left is killed.

    Raises:
        InputError: another process works in the run directory, or the other nodes cannot be found.
    """
    node = node or nodes.this_node(job)
    with _relay() as relay:
        if node.first:
            refuse_if_busy(run)
            run.logs.mkdir(parents=True, exist_ok=True)
            (run.logs / FIRST_FAILURE).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # a full disk; the ranks say so
                claim(run)  # now, not when the ranks have started: the same command a second later is refused
            if node.count > 1:
                nodes.announce(run, job)
        else:
            nodes.await_announcement(run, node, job.launch.join_seconds, lambda: bool(relay.received))
        if relay.received:
            return _interrupted(run, relay.received, node)
        relay.start(command(run, job, node), environment(job))
        try:
            code = relay.wait(job.launch.grace_seconds)
        finally:
            if node.first and node.count > 1:
                nodes.withdraw(run)
    return _outcome(run, code, relay.received, node)


class Relay:
    """A child with its ranks, and the signals that it was passed."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._child: subprocess.Popen[bytes] | None = None
        self._family: dict[int, psutil.Process] = {}
        self._told: set[tuple[int, int]] = set()

    def start(self, line: list[str], env: dict[str, str]) -> None:
        """Start the agent; it dies with this process."""
        self._child = subprocess.Popen(line, env=env, start_new_session=True, preexec_fn=die_with_parent)

    def handle(self, number: int, frame: Any) -> None:
        """Note a signal and pass it on. A second SIGINT reaches the ranks as well, which end at once."""
        self.received.append(number)
        self._told = {entry for entry in self._told if entry[1] != number}
        self._pass_on()

    def wait(self, grace: float) -> int:
        """Wait for the agent. What is left `grace` seconds after the first signal is killed; at the end nothing is left."""
        child = self._child
        assert child is not None
        try:
            deadline = None
            while child.poll() is None:
                time.sleep(0.1)
                self._pass_on()  # ranks that were not there yet when the signal came
                if self.received and deadline is None:
                    deadline = time.monotonic() + grace
                if deadline is not None and (time.monotonic() > deadline or not self._ranks()):
                    self.kill()  # the time is up, or nothing has begun yet
            return child.wait()
        finally:
            self.kill()

    def kill(self) -> None:
        """End what is left: ranks first, with what they started, then the agent's group."""
        if self._child is None:
            return
        for process in self._ranks():
            try:
                for below in [*process.children(recursive=True), process]:
                    below.kill()
            except psutil.NoSuchProcess:
                continue
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)

    def _ranks(self) -> list[psutil.Process]:
        """The ranks seen so far: the agent's own children. Each leads a session of its own, so they are kept by hand."""
        assert self._child is not None
        try:
            for process in psutil.Process(self._child.pid).children():
                self._family.setdefault(process.pid, process)
        except psutil.NoSuchProcess:
            pass
        return list(self._family.values())

    def _pass_on(self) -> None:
        """Signal the ranks themselves, each once: the agent would answer SIGTERM by ending them without their checkpoint."""
        if self._child is None:
            return
        for process in self._ranks():
            for number in self.received:
                if (process.pid, number) in self._told:
                    continue
                self._told.add((process.pid, number))
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)


@contextmanager
def _relay() -> Iterator[Relay]:
    """A relay that receives this process's signals while the block runs, from before its child exists."""
    relay = Relay()
    previous = {number: signal.signal(number, relay.handle) for number in _FORWARDED}
    try:
        yield relay
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _outcome(run: RunDirectory, code: int, received: list[int], node: Node) -> int:
    """The job's exit code: the ranks' own verdict in status.json where there is one, else the launcher's."""
    status = run.status()
    end = time.monotonic() + (0.0 if node.first or code or received else _SEEN)
    while status.get("state") in ("created", "running") and time.monotonic() < end:
        time.sleep(0.5)
        status = run.status()
    if status.get("state") == "finished":
        return 0
    if status.get("state") in ("failed", "refused") and status.get("exit_code"):
        return int(status["exit_code"])  # said by a rank of this start: `claim` has cleared what an earlier one said
    if received:
        return _interrupted(run, received, node)
    if code == NOT_MET and not first_failure(run.logs):
        print(
            f"facial_r1: the {node.count} nodes did not meet at {node.endpoint} within launch.join_seconds: "
            "start the same command on every node, and let the port be reachable from all of them",
            file=sys.stderr,
        )
        return 2
    if code == 0 and status.get("state") == "interrupted" and status.get("exit_code"):
        return int(status["exit_code"])  # the ranks themselves were signalled, as a batch system does
    if node.first and status.get("state") in ("created", "running", "interrupted"):  # a rank fell over without a word
        said = first_failure(run.logs) or {}
        reason = said.get("reason") or f"the ranks ended with code {code}"
        with contextlib.suppress(OSError):
            run.update_status(state="failed", reason=f"{reason}; see {run.logs}", exit_code=1)
    return 1


def _interrupted(run: RunDirectory, received: list[int], node: Node) -> int:
    """Write down which signal it was. Slurm's warning counts most: on preemption it comes together with SIGTERM."""
    number = signal.SIGUSR1 if signal.SIGUSR1 in received else received[0]
    if node.first:
        with contextlib.suppress(OSError):
            run.update_status(state="interrupted", reason=signal.Signals(number).name, exit_code=128 + number)
    return 128 + number
