"""What every stage is handed: its job, its run directory, its trackers, its place among the ranks."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from facial_r1 import runs, tracking
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
    shared: dict[str, Any] = field(default_factory=dict)
    trackers: Any = None

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
            return runs.model_of(run), run.path
        return wanted, None

    def child(self, name: str, job: Job) -> Context:
        """A context for a sub-run inside this run directory (pipelines)."""
        return replace(self, run=RunDirectory(self.run.path / name), job=job, trackers=None)

    def track(self, resume_step: int | None = None) -> Any:
        """The trackers of this run, opened on first use.

        Args:
            resume_step: the step of the checkpoint that training goes on from; later rows of metrics.jsonl are dropped.
        """
        if self.trackers is None:
            status = self.run.status()
            lineage: Any = {key: status.get(key) for key in ("stage", "name", "parent", "chain", "version", "data")}
            self.trackers = tracking.open_trackers(
                self.job.tracker, self.run.path, to_dict(self.job), lineage, active=self.main, resume_step=resume_step
            )
        return self.trackers

    def untrack(self, state: str, summary: dict[str, Any] | None = None) -> None:
        """Close the trackers, if any were opened."""
        if self.trackers is not None:
            self.trackers.finish(state, summary or {})
            self.trackers = None


def open_context(run: RunDirectory, job: Job, stop: StopRequest) -> Context:
    """The context of this process, from the environment that torchrun sets (one rank without it)."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if job.debug.dry_run:
        world = job.launch.world  # one process plans for all ranks
    if job.launch.device == "cpu":
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    return Context(run, job, stop, rank, world)
