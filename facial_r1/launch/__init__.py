"""Launchers: where the ranks of a job run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from facial_r1.errors import Busy, InputError

if TYPE_CHECKING:
    from facial_r1.config.schema import Job
    from facial_r1.runs import RunDirectory


def launch(run: RunDirectory, job: Job) -> int:
    """Run the job of a run directory with its launcher. Returns the exit code."""
    try:
        if job.launch.name == "torchrun":
            from facial_r1.launch.torchrun import launch_ranks

            return launch_ranks(run, job)
        if job.launch.name == "slurm":
            from facial_r1.launch.slurm import submit

            return submit(run, job)
    except Busy:
        raise
    except InputError as error:  # told here, so that the caller can take an unused run directory away
        print(f"facial_r1: {error}", file=sys.stderr, flush=True)
        return 2
    from facial_r1 import worker
    from facial_r1.launch.environment import drop_inherited

    drop_inherited()  # a RANK that was left in the shell would make this process a rank that leaves the writing to another
    return worker.run(run.path)
