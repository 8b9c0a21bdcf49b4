"""wandb, made safe for machines without network and for pictures of people.

Everything wandb writes stays inside the run directory. Faces are uploaded only when `tracker.log_faces` is true: the
licences of the usual datasets forbid handing the images on.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1.errors import InputError
from facial_r1.tracking.base import Lineage
from facial_r1.tracking.names import dashboard_name, summary_scalars
from facial_r1.tracking.redaction import redact
from facial_r1.tracking.thumbnails import thumbnail

if TYPE_CHECKING:
    from facial_r1.config.schema import Tracker as TrackerConfig

logger = logging.getLogger(__name__)

FACE_SIDE = 256
_MODES = ("online", "offline", "disabled", "shared")


class WandbTracker:
    """One wandb run per run directory; a resumed job continues the same run id."""

    name = "wandb"

    def __init__(self, config: TrackerConfig, run_dir: Path, resolved: Mapping[str, Any], lineage: Lineage) -> None:
        if config.mode is not None and config.mode not in _MODES:
            raise InputError(f"tracker.mode={config.mode}: choose one of {', '.join(_MODES)}, or null for WANDB_MODE")
        try:
            import wandb
        except ImportError as error:
            raise InputError("tracker=wandb needs wandb: run `pip install wandb`, or use tracker=jsonl") from error
        self._wandb: Any = wandb
        self._faces = config.log_faces
        self._environment = _redirect(run_dir)
        try:
            self._run = _start(wandb, config, run_dir, resolved, lineage)
        except BaseException:
            _restore(self._environment)
            raise
        self._run.define_metric("step", hidden=True)
        # An own axis: wandb's internal step drops rows that go back, which a resumed run does.
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log one step, names grouped by section."""
        self._run.log({"step": step, **{dashboard_name(name): float(value) for name, value in values.items()}})

    def table(self, step: int, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log rows as a table of its own, `samples/<name>_<step>`; without the image column unless faces are allowed."""
        if not rows:
            return
        columns = [column for column in _columns(rows) if column != "image" or self._faces]
        table = self._wandb.Table(columns=columns)
        pictures: dict[str, Any] = {}
        for row in rows:
            table.add_data(*(self._cell(column, row.get(column), pictures) for column in columns))
        self._run.log({"step": step, f"samples/{name}_{step:08d}": table})

    def image(self, step: int, name: str, path: Path, face: bool = False) -> None:
        """Log a figure; a face only when faces are allowed."""
        if face and not self._faces:
            return
        picture = self._face(path) if face else self._wandb.Image(str(path))
        self._run.log({"step": step, dashboard_name(name): picture})

    def alert(self, title: str, text: str) -> None:
        """Send an alert, at most one of a title every ten minutes."""
        self._run.alert(title=title, text=text, level="WARN", wait_duration=600)

    def finish(self, state: str, summary: Mapping[str, Any]) -> None:
        """Write the final figures and close; the exit code shows a failed run as failed."""
        try:
            self._run.summary.update({"state": state, **summary_scalars(summary)})
            self._run.finish(exit_code=0 if state == "finished" else 1)
        finally:
            _restore(self._environment)

    def _cell(self, column: str, value: Any, pictures: dict[str, Any]) -> Any:
        if column == "image":
            key = str(value)
            if key not in pictures:  # the G completions of a group share one upload
                pictures[key] = self._face(Path(key)) if value else None
            return pictures[key]
        if isinstance(value, (str, int, float, bool)) or value is None:
            return value
        return json.dumps(value, ensure_ascii=False, default=str)

    def _face(self, path: Path) -> Any:
        from PIL import Image

        return self._wandb.Image(Image.open(io.BytesIO(thumbnail(path, FACE_SIDE))))


def _start(wandb: Any, config: TrackerConfig, run_dir: Path, resolved: Mapping[str, Any], lineage: Lineage) -> Any:
    """`wandb.init`; when the server cannot be reached or nobody is logged in, the same offline."""
    stage = lineage.get("stage") or "run"
    arguments: dict[str, Any] = {
        "project": config.project,
        "entity": config.entity,
        "name": lineage.get("name") or run_dir.name,
        "id": _run_id(run_dir),
        "resume": "allow",
        "group": config.group or os.environ.get("WANDB_RUN_GROUP") or lineage.get("group"),
        "job_type": stage,
        "tags": _tags(config, resolved, stage),
        "dir": str(run_dir),
        "config": {**redact(resolved), "lineage": redact(dict(lineage))},
    }
    settings = {
        "console": "off",  # our standard output is a contract, and the logs are in the run directory
        "save_code": False,
        "disable_git": True,  # the version is part of the lineage; a diff of somebody's tree is not ours to send
        "silent": True,
        "login_timeout": 30,  # a prompt on a terminal that nobody watches must not stop the job
    }
    mode = config.mode or os.environ.get("WANDB_MODE") or None
    try:
        return wandb.init(**arguments, mode=mode, settings=wandb.Settings(**settings))
    except Exception as error:  # no account, no network, refused by the server: wandb raises many types
        if mode in ("offline", "disabled"):
            raise
        logger.warning(
            "wandb is not reachable (%s: %s); this run is recorded offline, upload it later with `wandb sync %s`",
            type(error).__name__,
            error,
            run_dir / "wandb",
        )
        return wandb.init(**arguments, mode="offline", settings=wandb.Settings(**settings))


def _redirect(run_dir: Path) -> dict[str, str | None]:
    """Point wandb's folders into the run directory; returns the environment as it was."""
    base = run_dir / "wandb"
    folders = {"WANDB_DIR": run_dir, "WANDB_DATA_DIR": base / "data", "WANDB_CACHE_DIR": base / "cache"}
    before = {name: os.environ.get(name) for name in folders}
    for name, folder in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(folder)
    return before


def _restore(environment: Mapping[str, str | None]) -> None:
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _run_id(run_dir: Path) -> str:
    """The run's id, made once and kept in the run directory so that a moved or resumed run keeps it."""
    file = run_dir / "wandb" / "run_id"
    if file.exists() and (known := file.read_text(encoding="utf-8").strip()):
        return known
    forced = os.environ.get("WANDB_RUN_ID")
    identity = forced or hashlib.sha256(f"{run_dir.resolve()}:{run_dir.stat().st_ctime_ns}".encode()).hexdigest()[:12]
    file.write_text(identity + "\n", encoding="utf-8")
    return identity


def _tags(config: TrackerConfig, resolved: Mapping[str, Any], stage: str) -> list[str]:
    """The user's tags and the names of the four choices; wandb takes at most 64 characters a tag."""
    tags = [*config.tags, stage]
    for choice in ("model", "data", "reward"):
        part = resolved.get(choice)
        if isinstance(part, Mapping) and isinstance(part.get("name"), str):
            tags.append(f"{choice}:{part['name']}")
    return list(dict.fromkeys(str(tag)[:64] for tag in tags if str(tag)))


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """All columns in order of first appearance, the image first."""
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    return sorted(names, key=lambda name: name != "image")
