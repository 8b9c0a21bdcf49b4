"""`launch=slurm`: the job as a Slurm batch job, through submitit. It writes a checkpoint before its time is up, and goes on.

The application composes and validates, makes the run directory and submits one job with one task a node. Each task starts the
ranks of its node as `launch=torchrun` does. SIGUSR1, which Slurm sends before the time is up and on preemption, is passed to the
ranks; they write a checkpoint and end, and submitit puts the same job back into the queue.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1.errors import Busy, InputError
from facial_r1.launch.nodes import Node
from facial_r1.launch.ownership import refuse_if_busy

if TYPE_CHECKING:
    from facial_r1.config.schema import Job
    from facial_r1.runs import RunDirectory

#: How often a job may run into its time limit before it is given up.
_STRETCHES = 1000
#: Seconds between two looks at a job that is waited for.
_LOOK = 5.0
_ALIVE = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "SUSPENDED", "RESIZING")


class Task:
    """What each node of the job runs; pickled by submitit, so it holds nothing but the place of the run directory."""

    def __init__(self, run_directory: str) -> None:
        self.run_directory = run_directory

    def __call__(self) -> int:
        """Run the ranks of this node. Returns the job's exit code; after SIGUSR1 the job is put back into the queue."""
        from facial_r1.config.resolved import load_resolved
        from facial_r1.config.validation import validate
        from facial_r1.launch.torchrun import launch_ranks
        from facial_r1.runs import RunDirectory

        run = RunDirectory(Path(self.run_directory))
        try:
            job = validate(load_resolved(run.resolved))
            code = launch_ranks(run, job, node_of(job))
        except InputError as error:
            _say(str(error))
            if not isinstance(error, Busy):
                run.update_status(state="failed", reason=str(error).splitlines()[0], exit_code=2)
            raise SystemExit(2) from None
        if code == 128 + signal.SIGUSR1 and job.launch.requeue:
            os.kill(os.getpid(), signal.SIGUSR1)  # submitit's handler is in place again: it asks for `checkpoint` and requeues
            time.sleep(30)  # of several nodes, the first one ends the job
        if code:
            raise SystemExit(code)  # so that Slurm calls the job failed
        return code

    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """What submitit runs after a requeue: the same, from the checkpoint that the ranks have written."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(Task(self.run_directory))


def submit(run: RunDirectory, job: Job) -> int:
    """Submit the job of a run directory, unless it is in the queue already.

    Returns:
        0 once it is submitted; with `launch.wait` its exit code.

    Raises:
        InputError: submitit is not installed, there is no Slurm here, or it refuses the job.
    """
    submitit = _submitit()
    known = run.status().get("slurm") or {}
    found = _known(submitit, run, known) if known.get("executor") == job.launch.executor else None
    if found is None or _state(found) not in _ALIVE:
        refuse_if_busy(run)
        found = _submitted(_executor(submitit, run, job), Task(str(run.path)))
        known = {"job_id": found.job_id, "executor": job.launch.executor, "logs": str(logs_of(run))}
        run.update_status(
            slurm=known, **({} if run.state() == "created" else {"state": "created", "reason": None, "exit_code": None})
        )
        _say(f"submitted as job {found.job_id}; its logs are in {logs_of(run)}")
    else:
        _say(f"job {found.job_id} is {_state(found).lower()} already; its logs are in {logs_of(run)}")
    # A run that others start from (the cold start of a small model) has to be there before they are submitted.
    if job.launch.wait or run.path.name.startswith("cold_start"):
        return follow(run, found)
    return 0


def follow(run: RunDirectory, job: Any, every: float = _LOOK) -> int:
    """Wait for a submitted job and say when its state changes. Returns the exit code of the run; 130 when the waiting is ended."""
    last = ""
    try:
        while True:
            state = _state(job)
            if state != last:
                _say(f"job {job.job_id}: {state.lower()}")
                last = state
            if state not in _ALIVE:
                break
            time.sleep(every if state != "RUNNING" else min(every, 2.0))
    except KeyboardInterrupt:
        _say(f"job {job.job_id} goes on; the same command waits for it again, scancel {job.job_id} ends it")
        return 128 + signal.SIGINT
    if run.state() == "finished":
        return 0
    if run.state() in ("created", "running"):
        run.update_status(
            state="failed", reason=f"Slurm job {job.job_id} ended as {last.lower()}; see {logs_of(run)}", exit_code=1
        )
    _say(f"job {job.job_id} ended as {last.lower()}: {run.status().get('reason')}; its logs are in {logs_of(run)}")
    return int(run.status().get("exit_code") or 1)


def script(run: RunDirectory, job: Job) -> str:
    """The batch script of a job as it would be submitted (`debug.dry_run=true`)."""
    _submitit()
    if job.launch.executor == "local":
        return "# launch.executor=local: no batch script, the job runs on this machine\n"
    from submitit.slurm import slurm

    settings = {_NAMES.get(name, name.removeprefix("slurm_")): value for name, value in parameters(run, job).items()}
    command = f"{sys.executable} -u -m submitit.core._submit {logs_of(run)}"
    return slurm._make_sbatch_string(command=command, folder=logs_of(run), **settings)


def parameters(run: RunDirectory, job: Job) -> dict[str, Any]:
    """What submitit is asked for, by its own names."""
    launch = job.launch
    gpus = launch.gpus_per_node
    if gpus is None:
        gpus = 0 if launch.device == "cpu" else launch.processes
    extra: dict[str, Any] = {"requeue": True} if launch.requeue else {"no-requeue": True}
    found: dict[str, Any] = {
        "name": run.path.name,
        "timeout_min": launch.time_minutes,
        "nodes": launch.nodes,
        "tasks_per_node": 1,
        "cpus_per_task": launch.cpus_per_task,
        "slurm_gpus_per_node": gpus or None,
        "slurm_partition": launch.partition,
        "slurm_account": launch.account,
        "slurm_qos": launch.qos,
        "slurm_constraint": launch.constraint,
        "slurm_mem": launch.mem,
        "slurm_setup": ["export SUBMITIT_PREEMPT_SIGNAL=USR1", *launch.setup],
        "slurm_signal_delay_s": launch.signal_delay_seconds,
        "slurm_additional_parameters": extra,
    }
    return {name: value for name, value in found.items() if value is not None}


#: submitit's names that mean the same for every executor, and Slurm's.
_NAMES = {"name": "job_name", "timeout_min": "time", "tasks_per_node": "ntasks_per_node"}


def node_of(job: Job) -> Node:
    """This node's place in a Slurm job: its number, and the first host of the job with a port made of the job's number.

    Raises:
        InputError: Slurm cannot name the hosts.
    """
    if job.launch.nodes == 1:
        return Node()
    names = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_JOB_NODELIST", "")
    try:
        told = subprocess.run(["scontrol", "show", "hostnames", names], capture_output=True, text=True, check=True, timeout=60)
        host = told.stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise InputError(
            f"launch=slurm: the hosts of the job ({names or 'SLURM_JOB_NODELIST is not set'}) cannot be listed: {error}"
        ) from None
    number = int(os.environ.get("SLURM_JOB_ID", "0").split("_")[0])
    return Node(int(os.environ.get("SLURM_NODEID", "0")), job.launch.nodes, f"{host}:{20000 + number % 20000}")


def logs_of(run: RunDirectory) -> Path:
    """Where Slurm's and submitit's files of a run lie."""
    return run.logs / "slurm"


def _executor(submitit: Any, run: RunDirectory, job: Job) -> Any:
    wanted = parameters(run, job)
    if job.launch.executor == "local":
        executor = submitit.LocalExecutor(folder=logs_of(run), max_num_timeout=_STRETCHES)
        delay = min(job.launch.signal_delay_seconds, 30 * job.launch.time_minutes)
        executor.update_parameters(
            timeout_min=wanted["timeout_min"], tasks_per_node=1, signal_delay_s=delay, gpus_per_node=wanted.get("slurm_gpus_per_node", 0),
            setup=list(job.launch.setup),
        )  # fmt: skip
        return executor
    try:
        executor = submitit.AutoExecutor(folder=logs_of(run), cluster="slurm", slurm_max_num_timeout=_STRETCHES)
    except RuntimeError:
        raise InputError(
            "launch=slurm: there is no Slurm here (srun is not in the PATH). Start this on a login node; "
            "debug.dry_run=true prints the batch script anywhere, launch.executor=local tries the job on this machine"
        ) from None
    executor.update_parameters(**wanted)
    return executor


def _submitted(executor: Any, task: Task) -> Any:
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        return executor.submit(task)
    except (FailedJobError, FailedSubmissionError) as error:
        said = [line for line in str(error).splitlines() if "sbatch:" in line or "error:" in line] or str(error).splitlines()
        raise InputError(
            f"launch=slurm: Slurm refuses the job: {said[-1].strip()}. The keys are launch.partition, account, qos, constraint, "
            "time_minutes, mem; debug.dry_run=true prints the batch script"
        ) from None


class _Here:
    """A job of the local executor that an earlier command has started: the process that watches over it."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id

    @property
    def state(self) -> str:
        import psutil

        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(self.job_id))
            if process.status() != psutil.STATUS_ZOMBIE and "submitit" in " ".join(process.cmdline()):
                return "RUNNING"
        return "ENDED"


def _known(submitit: Any, run: RunDirectory, known: dict[str, Any]) -> Any:
    """The job that this run was submitted as; None where this process cannot look it up."""
    if not known.get("job_id"):
        return None
    if known.get("executor") == "local":
        return _Here(str(known["job_id"]))
    with contextlib.suppress(RuntimeError, OSError):
        return submitit.SlurmJob(folder=logs_of(run), job_id=str(known["job_id"]), tasks=[0])
    return None


def _state(job: Any) -> str:
    """The state of a job in one of Slurm's words ("CANCELLED by 1000": the first one), "ENDED" for one that nobody knows any more."""
    if type(job).__name__ != "SlurmJob":
        return str(job.state)
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        queued = subprocess.run(
            ["squeue", "--noheader", "--jobs", job.job_id, "--format=%T"], capture_output=True, text=True, timeout=60
        )
        if queued.returncode == 0 and queued.stdout.strip():
            return queued.stdout.split()[0]
        known = str(job.watcher.get_state(job.job_id, mode="force")).split()  # sacct; empty without accounting
        return known[0].rstrip("+") if known and known[0] != "UNKNOWN" else "ENDED"
    return "ENDED"


def _submitit() -> Any:
    os.environ.setdefault("SUBMITIT_PREEMPT_SIGNAL", "USR1")  # read when submitit is imported, here and in the job
    try:
        import submitit
    except ImportError:
        raise InputError("launch=slurm needs submitit: pip install 'facial-r1[slurm]'") from None
    from submitit.core.job_environment import JobEnvironment

    JobEnvironment.USR_SIG = "USR1"  # where somebody has imported it before
    return submitit


def _say(text: str) -> None:
    print(f"facial_r1: {text}", file=sys.stderr, flush=True)
