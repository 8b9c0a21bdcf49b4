"""Sweeps: Hydra's multirun drives the jobs, every job is an ordinary run, one table closes the sweep."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1 import runs
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

_JOURNAL = "FACIAL_R1_SWEEP"
_STOPPED = (130, 138, 143)


def hydra_main(argv: Sequence[str], task: Callable[[DictConfig], Any]) -> int:
    """Hand the command line to `hydra.main`, with our absolute configuration folder. Returns the exit code."""
    import hydra

    from facial_r1.config.compose import version_base
    from facial_r1.config.paths import conf_dir

    arguments: dict[str, Any] = {"config_path": str(conf_dir()), "config_name": "config"}
    if version_base():
        arguments["version_base"] = version_base()
    before = sys.argv
    sys.argv = ["facial_r1", *argv]
    try:
        hydra.main(**arguments)(task)()
    except SystemExit as stop:
        return int(stop.code or 0) if not isinstance(stop.code, str) else 1
    finally:
        sys.argv = before
    return 0


def run_many(argv: Sequence[str], overrides: Sequence[str], config_dir: str | None) -> int:
    """Run a sweep. Every combination is validated before the first job starts.

    Returns:
        0 when all jobs are done; the code of the first job that is not, otherwise.

    Raises:
        InputError: a combination is invalid; names it.
    """
    from facial_r1.config.compose import compose_tree
    from facial_r1.config.resolved import plain
    from facial_r1.config.validation import validate

    fixed, jobs = expand(overrides)
    for job in jobs:
        try:
            checked = validate(plain(compose_tree([*fixed, *job], config_dir)))
        except InputError as error:
            raise InputError(f"sweep point {' '.join(job)}: {error}") from None
    if checked.run_dir is not None:
        raise InputError(f"run_dir={checked.run_dir} would be shared by all jobs of the sweep: leave it out, or set output_root")
    root = Path(checked.output_root).expanduser().absolute()
    folder = root / "sweeps" / f"{checked.stage.name}-{hashlib.sha256(json.dumps(sorted(overrides)).encode()).hexdigest()[:8]}"
    journal = folder / "jobs.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        journal.write_text("", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}. Choose another place with output_root=<folder>") from None
    print(f"facial_r1: sweep of {len(jobs)} jobs in {folder}", file=sys.stderr, flush=True)
    os.environ[_JOURNAL] = json.dumps({"journal": str(journal), "folder": str(folder), "fixed": fixed})
    try:
        code = hydra_main(argv, _one)
    finally:
        del os.environ[_JOURNAL]
    rows = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    _close(rows, folder)
    bad = next((row["code"] for row in rows if row["code"]), 0)
    print(f"run: {folder}", flush=True)
    return bad or code


def expand(overrides: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Split command-line overrides into those fixed for all jobs and the list of swept combinations.

    >>> expand(["stage=grpo", "seed=1,2"])
    (['stage=grpo'], [['seed=1'], ['seed=2']])
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    fixed, axes = [], []
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise InputError(f"configuration: {str(error).splitlines()[0]}") from None
    for text, override in zip(overrides, parsed, strict=True):
        if override.is_sweep_override():
            key = override.get_key_element()
            axes.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            fixed.append(
                text if text.startswith(("+", "~")) else f"{override.get_key_element()}={override.get_value_element_as_str()}"
            )
    return fixed, [list(point) for point in itertools.product(*axes)]


def slug(point: Sequence[str]) -> str:
    """A folder name for a sweep point: "stage.num_generations=4,data.amount=64"."""
    return re.sub(r"[^\w.=,+-]+", "_", ",".join(point)) or "job"


def _one(tree: DictConfig) -> float | None:
    """Hydra's task: one job of the sweep. Records its end in the journal; never raises, so that the others run."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from facial_r1.app import FAILED, REFUSED, execute

    sweep = json.loads(os.environ[_JOURNAL])
    overrides = list(HydraConfig.get().overrides.task)
    point = [item for item in overrides if item not in sweep["fixed"]]
    folder = Path(sweep["folder"]) / slug(point)
    tree = tree.copy()
    OmegaConf.set_struct(tree, False)
    if tree.get("run_dir") is None:
        tree["run_dir"] = str(folder)
    reason = ""
    try:
        run, code = execute(tree)
        folder = run.path
    except InputError as error:
        code, reason = REFUSED, str(error)
        print(f"facial_r1: {' '.join(point)}: {error}", file=sys.stderr)
    except SystemExit as stop:
        code, reason = int(stop.code or FAILED), "the SFT run it starts from did not finish"
    line = json.dumps({"point": point, "run": str(folder), "code": code, "reason": reason}) + "\n"
    handle = os.open(sweep["journal"], os.O_APPEND | os.O_WRONLY)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)
    if code in _STOPPED:  # Ctrl-C ends the sweep, not only this job; the same command continues
        raise SystemExit(code)
    reward = runs.RunDirectory(folder).read_summary().get("metrics", {}).get("reward/mean", {})
    return reward.get("value")


def _close(rows: list[dict[str, Any]], folder: Path) -> None:
    """Print and write the table of a sweep."""
    from facial_r1.report.tables import sweep_table

    table = []
    for row in rows:
        run = runs.RunDirectory(Path(row["run"]))
        status = run.status()
        summary = run.read_summary()
        table.append(
            {
                "settings": dict(item.split("=", 1) for item in row["point"] if "=" in item),
                "state": status.get("state") or {0: "planned", 2: "refused"}.get(row["code"], "failed"),
                "metrics": summary.get("metrics", {}),
                "seconds": summary.get("seconds"),
                "run": str(run.path),
                "reason": row["reason"] or status.get("reason") or "",
            }
        )
    sweep_table(table, folder)
