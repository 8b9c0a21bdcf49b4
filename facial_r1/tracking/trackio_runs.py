"""trackio: wandb's calls over a file on this machine, with a dashboard that needs no account (`trackio show`).

All runs of an `output_root` share one folder, `<output_root>/trackio`, so that a dashboard shows them side by side; `TRACKIO_DIR`
chooses another. Faces are recorded only when `tracker.log_faces` is true, as thumbnails.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1.errors import InputError
from facial_r1.tracking.base import Lineage
from facial_r1.tracking.names import dashboard_name, summary_scalars
from facial_r1.tracking.redaction import redact
from facial_r1.tracking.thumbnails import thumbnail

if TYPE_CHECKING:
    from facial_r1.config.schema import Tracker as TrackerConfig

FOLDER_VARIABLE = "TRACKIO_DIR"
FACE_SIDE = 256


class TrackioTracker:
    """One trackio run per run directory; a resumed job continues the run of the same name."""

    name = "trackio"

    def __init__(self, config: TrackerConfig, run_dir: Path, resolved: Mapping[str, Any], lineage: Lineage) -> None:
        with _quiet():
            self._trackio: Any = _import(Path(str(resolved.get("output_root") or run_dir.parent)))
        self._faces = config.log_faces
        self._step = 0
        with _quiet():
            self._run = self._trackio.init(
                project=config.project,
                name=_run_name(run_dir, str(lineage.get("name") or run_dir.name)),
                group=config.group or lineage.get("group") or lineage.get("stage"),
                config={**redact(dict(resolved)), "lineage": redact(dict(lineage)), "tags": list(config.tags)},
                resume="allow",
                embed=False,
                auto_log_gpu=False,  # what a run records is the documented list of names, the same on every machine
                auto_log_cpu=False,
            )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log one step, names grouped by section."""
        self._send(step, {dashboard_name(name): float(value) for name, value in values.items()})

    def table(self, step: int, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log rows as a table `samples/<name>` of this step; without the image column unless faces are allowed."""
        if not rows:
            return
        columns = [column for column in dict.fromkeys(str(key) for row in rows for key in row) if column != "image"]
        columns = ["image", *columns] if self._faces and any("image" in row for row in rows) else columns
        data = [[self._cell(column, row.get(column)) for column in columns] for row in rows]
        self._send(step, {f"samples/{name}": self._trackio.Table(columns=columns, data=data)})

    def image(self, step: int, name: str, path: Path, face: bool = False) -> None:
        """Log a figure; a face (as a thumbnail) only when faces are allowed."""
        if face and not self._faces:
            return
        picture = self._face(path) if face else self._trackio.Image(str(path))
        self._send(step, {dashboard_name(name): picture})

    def alert(self, title: str, text: str) -> None:
        """Store an alert with the run, shown in the dashboard, and sent to TRACKIO_WEBHOOK_URL where that is set."""
        with _quiet(silent=True):  # the console has it from us
            self._run.alert(title=title, text=text, level=self._trackio.AlertLevel.WARN, step=self._step)

    def finish(self, state: str, summary: Mapping[str, Any]) -> None:
        """Log the final figures at the last step and close."""
        self._send(self._step, {**summary_scalars(summary), "state": state})
        with _quiet():
            self._trackio.finish()

    def _send(self, step: int, values: Mapping[str, Any]) -> None:
        self._step = max(self._step, step)
        with _quiet():
            self._run.log(dict(values), step=step)

    def _cell(self, column: str, value: Any) -> Any:
        if column == "image":
            return self._face(Path(str(value))) if value else None
        if isinstance(value, (str, int, float, bool)) or value is None:
            return value
        return json.dumps(value, ensure_ascii=False, default=str)

    def _face(self, path: Path) -> Any:
        from PIL import Image

        return self._trackio.Image(Image.open(io.BytesIO(thumbnail(path, FACE_SIDE))))


def _import(output_root: Path) -> Any:
    """The library, with its folder chosen first: it reads the variable once, when it is imported."""
    if not os.environ.get(FOLDER_VARIABLE) and "trackio" not in sys.modules:
        os.environ[FOLDER_VARIABLE] = str(output_root.expanduser().absolute() / "trackio")
    try:
        import trackio
    except ImportError as error:
        raise InputError("tracker=trackio needs trackio: run `pip install trackio`, or use tracker=jsonl") from error
    return trackio


def _run_name(run_dir: Path, shown: str) -> str:
    """The run's name in the project, made once and kept: steps of two pipelines are called the same, and must not become one run."""
    file = run_dir / "trackio_run"
    if file.exists() and (known := file.read_text(encoding="utf-8").strip()):
        return known
    identity = hashlib.sha256(f"{run_dir.resolve()}:{run_dir.stat().st_ctime_ns}".encode()).hexdigest()[:6]
    name = f"{shown}-{identity}"
    file.write_text(name + "\n", encoding="utf-8")
    return name


@contextlib.contextmanager
def _quiet(silent: bool = False) -> Iterator[None]:
    """Keep what the library prints off standard output, whose last line is a contract."""
    with contextlib.redirect_stdout(io.StringIO() if silent else sys.stderr):
        yield
