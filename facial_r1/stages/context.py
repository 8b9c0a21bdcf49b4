"""What every stage is handed: its job, its run directory, its trackers, its place among the ranks."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from facial_r1 import runs
from facial_r1.config.schema import Job
from facial_r1.config.validation import to_dict
from facial_r1.interruption import StopRequest
from facial_r1.runs import RunDirectory


@dataclass
class Context:
    """One stage of one job on one rank."""

    run: RunDirectory
    job: Job
    stop: StopRequest
    rank: int = 0
    world: int = 1
    _data: dict[str, Any] = field(default_factory=dict)

    @property
    def main(self) -> bool:
        """True on the one rank that writes shared files and talks."""
        return self.rank == 0

    def source(self) -> tuple[str, Path | None]:
        """Where the weights come from: a folder or hub id, and the parent run if it is one."""
        wanted = self.job.init_from
        if wanted is None:
            return self.job.model.source, None
        run = RunDirectory(Path(wanted))
        if run.status_file.is_file():
            return str(runs.model_of(run)), run.path
        return wanted, None

    def child(self, name: str, job: Job) -> Context:
        """A context for a sub-run inside this run directory (pipelines)."""
        return replace(self, run=RunDirectory(self.run.path / name), job=job)


def open_context(run: RunDirectory, job: Job, stop: StopRequest) -> Context:
    """The context of this process, from the environment that torchrun sets (one rank without it).

    The process group is opened here, before any library does it its own way.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if job.launch.device == "cpu":
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    return Context(run, job, stop, rank, world)


def describe(job: Job) -> dict[str, Any]:
    """The job as a plain tree for trackers."""
    return to_dict(job)
