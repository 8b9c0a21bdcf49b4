"""Launchers: where the ranks of a job run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facial_r1.config.schema import Job
    from facial_r1.runs import RunDirectory


def launch(run: RunDirectory, job: Job) -> int:
    """Run the job of a run directory with its launcher. Returns the exit code."""
    if job.launch.name == "torchrun":
        from facial_r1.launch.torchrun import launch_ranks

        return launch_ranks(run, job)
    from facial_r1 import worker

    return worker.run(run.path)
