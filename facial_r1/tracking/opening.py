"""Opens the trackers of a run from its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1.errors import InputError
from facial_r1.tracking.base import Lineage, Tracker, Trackers
from facial_r1.tracking.jsonl import JsonlTracker

if TYPE_CHECKING:
    from facial_r1.config.schema import Tracker as TrackerConfig

# The dashboards' modules are imported when they are asked for: a run without them does not pay for them.


def _wandb(config: TrackerConfig, run_dir: Path, resolved: Mapping[str, Any], lineage: Lineage) -> Tracker:
    from facial_r1.tracking.weights_and_biases import WandbTracker

    return WandbTracker(config, run_dir, resolved, lineage)


def _tensorboard(config: TrackerConfig, run_dir: Path, resolved: Mapping[str, Any], lineage: Lineage) -> Tracker:
    from facial_r1.tracking.event_files import TensorBoardTracker

    return TensorBoardTracker(config, run_dir, resolved, lineage)


def _trackio(config: TrackerConfig, run_dir: Path, resolved: Mapping[str, Any], lineage: Lineage) -> Tracker:
    from facial_r1.tracking.trackio_runs import TrackioTracker

    return TrackioTracker(config, run_dir, resolved, lineage)


Opener = Callable[["TrackerConfig", Path, Mapping[str, Any], Lineage], Tracker]

REGISTRY: dict[str, Opener | None] = {
    "jsonl": None,
    "none": None,
    "wandb": _wandb,
    "tensorboard": _tensorboard,
    "trackio": _trackio,
}
"""What is opened beside `metrics.jsonl` for each `tracker.name`; None: nothing."""


def open_trackers(
    tracker_config: TrackerConfig,
    run_dir: Path | str,
    resolved: Mapping[str, Any],
    lineage: Lineage,
    *,
    active: bool = True,
    resume_step: int | None = None,
) -> Trackers:
    """Open the trackers of a run.

    Args:
        tracker_config: the `tracker` part of the job.
        run_dir: an existing run directory.
        resolved: the job's configuration as plain mappings; secrets in it are hidden before it leaves the process.
        lineage: stage, parent, chain, code version and data fingerprint, as in `status.json`.
        active: false on every rank but the first; gives trackers that do nothing.
        resume_step: step of the checkpoint the run continues from; later rows of `metrics.jsonl` are dropped.

    Raises:
        InputError: an unknown tracker, or one whose library is not installed.
    """
    if tracker_config.name not in REGISTRY:
        raise InputError(f"tracker={tracker_config.name} is unknown: choose one of {', '.join(REGISTRY)}")
    if not active:
        return Trackers([])
    folder = Path(run_dir)
    opener = REGISTRY[tracker_config.name]
    # The dashboard first: when its library is missing, nothing has been written yet.
    optional = [opener(tracker_config, folder, resolved, lineage)] if opener else []
    return Trackers([JsonlTracker(folder, resume_step)], optional)
