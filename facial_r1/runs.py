"""Run directories: their files, their state, their lineage.

A run directory holds `resolved.yaml`, `status.json`, `metrics.jsonl`, `summary.json`, `checkpoints/`, `model/`,
`rollouts/`, `report.html` and `logs/`. `status.json` is the only thing that says a run is finished.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import facial_r1
from facial_r1 import atomic
from facial_r1.errors import InputError

_log = logging.getLogger("facial_r1")

# What `init_from=latest` looks for: groups of stages, the first that has a finished run; within a group the newest.
STAGE_BEFORE: dict[str, tuple[tuple[str, ...], ...]] = {
    "sft": (("synthesis",), ("grpo",)),
    "grpo": (("sft",),),
    "synthesis": (("grpo",), ("sft",)),
    "eval": (("pipeline", "grpo", "sft"),),
    "pipeline": (("pipeline", "grpo", "sft"),),
}

# Settings that say where or how to run and do not change what comes out.
_NOT_IDENTITY = ("run_dir", "run_name", "output_root", "resume", "tracker")

# Stages whose result does not depend on the number of ranks.
_ANY_RANKS = ("eval", "synthesis", "prepare")


@dataclass(frozen=True)
class RunDirectory:
    """One run directory. Cheap to make; nothing is read or written until asked."""

    path: Path

    @property
    def resolved(self) -> Path:
        return self.path / "resolved.yaml"

    @property
    def status_file(self) -> Path:
        return self.path / "status.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def rollouts(self) -> Path:
        return self.path / "rollouts"

    @property
    def samples(self) -> Path:
        return self.path / "samples.jsonl"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def status(self) -> dict[str, Any]:
        """The contents of status.json; empty when there is none."""
        try:
            return atomic.read_json(self.status_file)
        except FileNotFoundError:
            return {}
        except json.JSONDecodeError as error:
            raise InputError(
                f"{self.status_file}: not JSON (line {error.lineno}): remove the folder or restore the file"
            ) from None

    def state(self) -> str:
        """running, finished, failed, interrupted, or "" for a folder that is no run."""
        return str(self.status().get("state", ""))

    def update_status(self, **changes: Any) -> None:
        """Merge `changes` into status.json, atomically."""
        atomic.write_json(self.status_file, {**self.status(), **changes})

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json, atomically."""
        atomic.write_json(self.summary, summary)

    def read_summary(self) -> dict[str, Any]:
        """The contents of summary.json; empty when there is none."""
        return atomic.read_json(self.summary) if self.summary.is_file() else {}


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def identity(tree: Mapping[str, Any]) -> str:
    """Eight hex digits that two configurations share exactly when they ask for the same result."""
    text = json.dumps(asked(tree), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def asked(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration asks for: without what says where or how to run."""
    kept = {key: value for key, value in tree.items() if key not in _NOT_IDENTITY}
    launch = dict(kept.get("launch") or {})
    ranks = {"processes": launch.get("processes"), "distributed": launch.get("distributed")}
    if (launch.get("nodes") or 1) > 1:
        ranks["processes"] = launch["nodes"] * launch["processes"]
    if (kept.get("stage") or {}).get("name") in _ANY_RANKS:
        ranks = {"processes": 1, "distributed": "none"}
    kept["launch"] = ranks
    data = dict(kept.get("data") or {})
    data.pop("cache", None)
    data["schematic"] = {key: value for key, value in (data.get("schematic") or {}).items() if key != "workers"}
    kept["data"] = data
    kept["debug"] = {key: value for key, value in (kept.get("debug") or {}).items() if key != "verbose"}
    return kept


def directory_for(tree: Mapping[str, Any], *, fresh: bool = False) -> RunDirectory:
    """The run directory of a configuration: the same for the same command, so that it can be continued.

    Args:
        tree: the resolved configuration.
        fresh: skip directories that exist (`resume=never`): `-2`, `-3`, ... is appended.
    """
    if tree.get("run_dir"):
        path = Path(str(tree["run_dir"])).expanduser().absolute()
        if fresh and path.exists() and any(path.iterdir()):
            raise InputError(f"run_dir={path} is not empty and resume=never: choose another run_dir or resume=auto")
        return RunDirectory(path)
    stem = str(tree.get("run_name") or tree["stage"]["name"])
    path = Path(str(tree["output_root"])).expanduser().absolute() / f"{stem}-{identity(tree)}"
    if fresh:
        number, base = 2, path
        while path.exists():
            path = base.with_name(f"{base.name}-{number}")
            number += 1
    return RunDirectory(path)


def create(run: RunDirectory, resolved_yaml: str, stage: str, parent: Path | None, chain: list[dict[str, str]]) -> bool:
    """Make a run directory with resolved.yaml and a `created` status; False when it exists already.

    Raises:
        InputError: the folder cannot be written, or it is something else than a run of ours.
    """
    if run.resolved.is_file() and run.status_file.is_file():
        return False
    first = {
        "state": "created",
        "stage": stage,
        "name": run.path.name,
        "created": now(),
        "parent": str(parent) if parent else None,
        "chain": chain,
        "version": {"package": facial_r1.__version__, "git": git_version()},
    }
    if run.path.is_dir() and any(not _ours(child, run) for child in run.path.iterdir()):
        if run.resolved.is_file() and run.status_file.is_file():  # another node has made it since we looked
            return False
        raise InputError(f"{run.path} exists and is no run directory: choose another run_dir=")
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        atomic.write_text(run.resolved, resolved_yaml)
        return atomic.create_json(run.status_file, first)  # of several nodes, one makes the run directory
    except OSError as error:
        raise InputError(
            f"cannot write {run.path}: {error.strerror or error}. Choose another place with output_root=<folder> or run_dir=<folder>"
        ) from None


def _ours(child: Path, run: RunDirectory) -> bool:
    """Whether a file is one that making a run directory leaves, finished or (hidden) half-written, maybe by another node just now."""
    return child.name in (run.resolved.name, run.status_file.name) or child.name.startswith(".")


def remove_if_unused(run: RunDirectory) -> None:
    """Take away a run directory in which nothing was produced (a job refused for its input)."""
    kept = ("checkpoints", "model", "metrics.jsonl", "samples.jsonl", "accepted.jsonl", "summary.json")
    if not run.path.is_dir() or any((run.path / name).exists() for name in kept):
        return
    if not any((child / "status.json").exists() for child in run.path.iterdir()):
        shutil.rmtree(run.path)


def find(root: Path) -> Iterator[RunDirectory]:
    """Every run directory below `root`, three levels deep (sweeps and pipelines nest)."""
    for pattern in ("*/status.json", "*/*/status.json", "*/*/*/status.json"):
        for file in sorted(root.glob(pattern)):
            yield RunDirectory(file.parent)


def latest(root: Path, choices: tuple[tuple[str, ...], ...]) -> RunDirectory | None:
    """The newest finished run of the first group of stages in `choices` that has one.

    A cold start (the short SFT that the application makes by itself) is taken only when there is no other.
    """
    found = [(run, run.status()) for run in find(root)]
    for stages in choices:
        finished = [
            (not run.path.name.startswith("cold_start"), status.get("ended", ""), str(run.path), run)
            for run, status in found
            if status.get("stage") in stages and status.get("state") == "finished"
        ]
        if finished:
            return max(finished, key=lambda entry: entry[:3])[3]
    return None


def model_of(run: RunDirectory) -> str:
    """The folder, hub id or embedded model that a finished run stands for: its own, or the one it used.

    Raises:
        InputError: the run is not finished, or its model is gone.
    """
    status = run.status()
    if status.get("state") != "finished":
        raise InputError(
            f"init_from={run.path}: that {status.get('stage', '')} run is {status.get('state') or 'no run'}"
            f"{': ' + status['reason'] if status.get('reason') else ''}. "
            "Finish it with its own command, or name a finished run"
        )
    model = str(run.model) if run.model.is_dir() else str(status.get("model") or run.model)
    if Path(model).is_absolute() and not Path(model).exists():
        raise InputError(f"init_from={run.path}: its model folder {model} is gone")
    return model


def chain_of(run: RunDirectory) -> list[dict[str, str]]:
    """The ancestors of what follows `run`, oldest first, `run` included."""
    status = run.status()
    return [*status.get("chain", []), {"stage": str(status.get("stage", "")), "run": str(run.path)}]


def build_report(run: RunDirectory) -> None:
    """Build report.html; a page that cannot be built is said and logged, and never fails a finished run."""
    from facial_r1.report import build

    try:
        build(run.path)
    except Exception as error:
        _log.error("report.html could not be built:\n%s", traceback.format_exc())
        print(f"facial_r1: {run.report} could not be built ({type(error).__name__}: {error})", file=sys.stderr)


def write_card(run: RunDirectory) -> None:
    """Write model/README.md of a run that trained a model; a card that cannot be written is said and logged, and fails nothing."""
    if not run.model.is_dir():
        return
    from facial_r1.cards import write_cards

    try:
        write_cards(run.path)
    except Exception as error:
        _log.error("the model card could not be written:\n%s", traceback.format_exc())
        print(f"facial_r1: {run.model / 'README.md'} could not be written ({type(error).__name__}: {error})", file=sys.stderr)


@lru_cache(maxsize=1)
def git_version() -> str | None:
    """`git describe` of the checkout this package runs from; None for an installed wheel."""
    here = Path(facial_r1.__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", os.fspath(here), "describe", "--always", "--dirty", "--tags"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
