"""Where a run's numbers go: `metrics.jsonl` always, wandb, TensorBoard or trackio beside it when asked for.

    trackers = open_trackers(job.tracker, run_dir, resolved, lineage, active=rank == 0, resume_step=step)
    trackers.log(step, {"loss": 0.4, "reward/mean": 0.7})
    trackers.finish("finished", summary)

`facial_r1.tracking.names` lists every metric name, what it means and where a dashboard shows it. Importing this
package imports none of the dashboards' libraries.
"""

from __future__ import annotations

from facial_r1.tracking.base import Lineage, Row, Tracker, Trackers
from facial_r1.tracking.jsonl import JsonlTracker, read_metrics
from facial_r1.tracking.opening import REGISTRY, open_trackers
from facial_r1.tracking.redaction import redact

__all__ = [
    "REGISTRY",
    "JsonlTracker",
    "Lineage",
    "Row",
    "Tracker",
    "Trackers",
    "open_trackers",
    "read_metrics",
    "redact",
]
