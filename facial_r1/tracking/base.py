"""What a tracker is, and the set of trackers a run writes to."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypedDict

from facial_r1.tracking.collapse import CollapseWatch

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]


class Lineage(TypedDict, total=False):
    """Where a run comes from; the same fields as in `status.json`."""

    stage: str
    name: str
    group: str | None
    parent: str | None
    chain: list[dict[str, str]]
    version: dict[str, Any]
    data: dict[str, Any]


class Tracker(Protocol):
    """One destination. Steps are optimizer steps, counted from 1; values are finite or not-finite floats."""

    name: str

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record the metrics of one step, under the names of `facial_r1.tracking.names`."""

    def table(self, step: int, name: str, rows: Sequence[Row]) -> None:
        """Record rows of samples. A column `image` holds a path to a face, everything else text or numbers."""

    def image(self, step: int, name: str, path: Path, face: bool = False) -> None:
        """Record a picture: a figure, or with `face=True` the picture of a person."""

    def alert(self, title: str, text: str) -> None:
        """Tell whoever watches that the run needs a look."""

    def finish(self, state: str, summary: Mapping[str, Any]) -> None:
        """Close. `state` is one of running, finished, failed, interrupted; `summary` is `summary.json`."""


class Trackers:
    """Several trackers behind one face.

    The first one (`required`) is the source of truth and its errors are raised: a run whose `metrics.jsonl` cannot
    be written has no record. The others may fail (network, quota, a full server): the first failure is logged and
    that tracker is left out from then on, training goes on.
    """

    def __init__(self, required: Sequence[Tracker], optional: Sequence[Tracker] = (), watch: bool = True) -> None:
        self.required = list(required)
        self.optional = list(optional)
        self._watch = CollapseWatch() if watch and required else None

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the metrics of one step everywhere, and raise an alert when they show a collapse."""
        self._each("log", lambda tracker: tracker.log(step, values))
        for title, text in self._watch.observe(step, values) if self._watch else ():
            self.alert(title, text)

    def table(self, step: int, name: str, rows: Sequence[Row]) -> None:
        """Send sample rows everywhere."""
        self._each("table", lambda tracker: tracker.table(step, name, rows))

    def image(self, step: int, name: str, path: Path | str, face: bool = False) -> None:
        """Send a picture everywhere; say `face=True` when it shows a person."""
        self._each("image", lambda tracker: tracker.image(step, name, Path(path), face))

    def alert(self, title: str, text: str) -> None:
        """Say it on the console and in the log, and send it to the dashboards that know alerts."""
        # Printed, not logged at a level: the ranks of torchrun have no handler for the console.
        if self.required:
            print(f"facial_r1: alert: {title}: {text}", file=sys.stderr, flush=True)
        logger.info("alert: %s: %s", title, text)
        self._each("alert", lambda tracker: tracker.alert(title, text))

    def finish(self, state: str = "finished", summary: Mapping[str, Any] | None = None) -> None:
        """Close all trackers; calling it twice is harmless."""
        self._each("finish", lambda tracker: tracker.finish(state, summary or {}))
        self.required, self.optional = [], []

    def _each(self, action: str, call: Callable[[Tracker], None]) -> None:
        for tracker in self.required:
            call(tracker)
        for tracker in list(self.optional):
            try:
                call(tracker)
            except Exception as error:  # a dashboard's library may raise anything; the run must survive it
                self.optional.remove(tracker)
                logger.warning(
                    "tracker %s failed at %s and is off for the rest of this run (metrics.jsonl goes on): %s: %s",
                    tracker.name,
                    action,
                    type(error).__name__,
                    error,
                )
