"""`launch=torchrun`: the ranks as children in a process group of their own, with signals passed on."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from facial_r1.config.schema import Job
    from facial_r1.runs import RunDirectory

# What a surrounding launcher may have left in the environment; our ranks must not inherit it.
_INHERITED = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TORCHELASTIC_RUN_ID",
)
_PR_SET_PDEATHSIG = 1
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def command(run: RunDirectory, job: Job) -> list[str]:
    """The command line that starts the ranks of a job."""
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={job.launch.processes}",
        "--module", "facial_r1.worker", str(run.path),
    ]  # fmt: skip


def environment(job: Job, base: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of the ranks: ours without a foreign launcher's variables, threads shared out on a CPU."""
    env = dict(os.environ if base is None else base)
    for name in _INHERITED:
        env.pop(name, None)
    env.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // job.launch.processes)))
    env.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if job.launch.device == "cpu":
        env.setdefault("CUDA_VISIBLE_DEVICES", "")
        env.setdefault("DS_ACCELERATOR", "cpu")
    return env


def launch_ranks(run: RunDirectory, job: Job) -> int:
    """Start the ranks, wait for them, and leave none behind. Returns the job's exit code.

    SIGINT, SIGTERM and SIGUSR1 are passed to every rank; after `launch.grace_seconds` what is left is killed.
    """
    child = subprocess.Popen(command(run, job), env=environment(job), start_new_session=True, preexec_fn=die_with_parent)
    received: list[int] = []
    family: dict[int, psutil.Process] = {}

    def forward(number: int, frame: Any) -> None:
        received.append(number)
        _signal(_ranks(child.pid, family), number)

    previous = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        deadline = None
        while child.poll() is None:
            time.sleep(0.1)
            _ranks(child.pid, family)
            if received and deadline is None:
                deadline = time.monotonic() + job.launch.grace_seconds
            if deadline is not None and time.monotonic() > deadline:
                _kill(child.pid, family)
        code = child.wait()
    finally:
        _kill(child.pid, family)
        for number, handler in previous.items():
            signal.signal(number, handler)
    return _outcome(run, code, received)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies (Linux), so that no rank outlives its launcher."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _ranks(agent: int, family: dict[int, psutil.Process]) -> list[psutil.Process]:
    """The ranks seen so far: the agent's own children. Each leads a session of its own, so they are kept by hand."""
    try:
        for process in psutil.Process(agent).children():
            family.setdefault(process.pid, process)
    except psutil.NoSuchProcess:
        pass
    return list(family.values())


def _signal(ranks: list[psutil.Process], number: int) -> None:
    """Signal the ranks themselves: the agent would answer SIGTERM by ending them without their checkpoint."""
    for process in ranks:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _kill(agent: int, family: dict[int, psutil.Process]) -> None:
    """End what is left: ranks first, with what they started, then the agent's group."""
    for process in _ranks(agent, family):
        try:
            for below in [*process.children(recursive=True), process]:
                below.kill()
        except psutil.NoSuchProcess:
            continue
    try:
        os.killpg(agent, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _outcome(run: RunDirectory, code: int, received: list[int]) -> int:
    """The job's exit code: the ranks' own verdict in status.json where there is one, else the launcher's."""
    status = run.status()
    if status.get("state") == "finished":
        return 0
    if received:
        number = received[0]
        run.update_status(state="interrupted", reason=signal.Signals(number).name)
        return 128 + number
    if status.get("exit_code") and status.get("state") != "interrupted":
        return int(status["exit_code"])
    if status.get("state") in ("created", "running", "interrupted"):  # nobody asked for an interruption: a rank fell over
        run.update_status(state="failed", reason=f"the ranks ended with code {code}; see {run.logs}")
    return 1
