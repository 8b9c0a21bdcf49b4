"""One job of a sweep: in this process, or as one of its own (`python -m facial_r1.sweeps.job <folder> <job> <run directory>`)."""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path

from facial_r1 import atomic
from facial_r1.errors import InputError
from facial_r1.sweeps import snapshot
from facial_r1.sweeps.journal import Journal

FAILED, REFUSED, INTERRUPTED = 1, 2, 130
STOPPED = (130, 138, 143)
"""Exit codes of a job that was asked to stop (SIGINT, SIGUSR1, SIGTERM): they end the sweep, not only the job."""


def log_of(folder: Path, name: str) -> Path:
    """Where a job's messages go when it has a process of its own, and the traceback when it falls outside of its run."""
    return folder / "logs" / f"{name}.log"


def journal_of(folder: Path) -> Journal:
    """The journal of a sweep folder."""
    return Journal(folder / "jobs.jsonl")


def perform(folder: Path, job: snapshot.Job, run_dir: Path) -> int:
    """Run a job, and write how it ended into the journal. Never raises, so that the others run. Returns its exit code."""
    from facial_r1.app import execute

    began = time.monotonic()
    reason, refused = "", list[str]()
    try:
        run, code = execute(job.config(run_dir), refused)
        reason = "".join(refused)
        run_dir = run_dir if job.tree["debug"]["dry_run"] else run.path
    except InputError as error:
        code, reason = REFUSED, str(error)
        print(f"facial_r1: {' '.join(job.point)}: {error}", file=sys.stderr, flush=True)
    except SystemExit as stop:
        code, reason = stop.code if isinstance(stop.code, int) else FAILED, "the SFT run it starts from did not finish"
    except KeyboardInterrupt:
        code, reason = INTERRUPTED, "SIGINT"
    except Exception as error:  # the boundary of a job: log it whole, show one line, go on with the next
        code, reason = FAILED, f"{type(error).__name__}: {error}".splitlines()[0]
        log = log_of(folder, job.name)
        atomic.write_text(log.with_suffix(".error.txt"), traceback.format_exc())
        print(
            f"facial_r1: {job.name}: failed: {reason} (traceback in {log.with_suffix('.error.txt')})", file=sys.stderr, flush=True
        )
    journal_of(folder).append(
        "ended", job.name, run=str(run_dir), code=code, reason=reason, seconds=round(time.monotonic() - began, 2)
    )
    return code


def main(folder: str, name: str, run_dir: str) -> int:
    """Run the job `name` of a sweep folder from the tree that is kept there."""
    return perform(Path(folder), snapshot.load(Path(folder))[name], Path(run_dir))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
