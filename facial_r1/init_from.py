"""What `init_from` names: a run, a model folder or a hub id; and a job that is set up as the run it names was. Imports no torch."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1 import runs
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from facial_r1.config.schema import Job

_GROUPS = ("model", "prompt", "data")
"""Choices that a model was trained with and is best asked with: its architecture and image size, its prompt, its labels."""
_OF_RUN = "of_run"


def find(wanted: str, stage: str, output_root: str) -> tuple[runs.RunDirectory | None, str]:
    """The run that `init_from` names (None for a plain model) and what to put into `init_from`.

    Args:
        wanted: `latest`, a run directory, a model directory or a hub id.
        stage: of the job that starts from it; decides what `latest` looks for.
        output_root: where `latest` looks.

    Raises:
        InputError: there is no such thing, or the run is not finished.
    """
    if wanted == "latest":
        stages = runs.STAGE_BEFORE[stage]
        found = runs.latest(Path(output_root).expanduser().absolute(), stages)
        if found is None:
            raise InputError(
                f"init_from=latest: no finished {' or '.join(name for group in stages for name in group)} run below "
                f"{output_root}. Run one first (python -m facial_r1 stage={stages[-1][-1]}), or leave init_from out"
            )
        return found, str(found.path)
    path = Path(wanted).expanduser()
    if (path / "status.json").is_file():
        run = runs.RunDirectory(path.absolute())
        runs.model_of(run)
        return run, str(run.path)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"init_from={wanted}: neither a run directory (status.json) nor a model directory (config.json)")
        return None, str(path.absolute())
    if wanted.startswith((".", "/", "~")) or wanted.count("/") != 1:
        raise InputError(
            f"init_from={wanted}: there is no such folder. Give a run, a model folder, a hub id (owner/name) or latest"
        )
    return None, wanted


@dataclass(frozen=True)
class Chosen:
    """A job that uses a model without training it.

    Attributes:
        job: Validated; `init_from` is settled, and model, prompt and data are those of the run unless the user chose others.
        run: The run that the weights come from, None for a plain model.
        source: Folder or hub id of the weights, or `embedded:tiny`.
    """

    job: Job
    run: runs.RunDirectory | None
    source: str


def choose(settings: Sequence[str], config_dir: str | None = None) -> Chosen:
    """The job of a command that uses a model: an evaluation's, set up as the run behind `init_from` was.

    Args:
        settings: Hydra overrides as the user wrote them. What they choose (`model=`, `prompt=`, `data=`) holds; what they leave
            open is taken from the run, and single keys (`model.image_size.side=224`) are applied on top.
        config_dir: A folder of further options.

    Raises:
        InputError: A setting or `init_from` is wrong.
    """
    from facial_r1.config.compose import compose_tree
    from facial_r1.config.resolved import plain
    from facial_r1.config.validation import validate

    if any(_group(setting) == "stage" for setting in settings):
        raise InputError(
            "this command asks a model as stage=eval does: leave stage= out (stage.max_new_tokens=256 and the like stay)"
        )
    asked = ["stage=eval", *settings]
    tree = compose_tree(asked, config_dir)
    run, source = (None, None) if tree.init_from is None else find(str(tree.init_from), "eval", str(tree.output_root))
    taken = {_group(setting) for setting in settings}
    home = run or _run_around(source)
    if home is not None and home.resolved.is_file() and "experiment" not in taken:
        tree = _composed_like(home, [group for group in _GROUPS if group not in taken], asked, config_dir)
    elif not taken & {"data", "protocol", "experiment"} and tree.model.name != "tiny":
        tree = compose_tree(
            [*asked, "protocol=generic"], config_dir
        )  # the default data are drawn faces, which are for model=tiny
    job = validate(plain(tree))
    job = replace(job, init_from=source)
    return Chosen(job, run, source_of(job))


def source_of(job: Job) -> str:
    """Folder or hub id of the weights that a job starts from, or `embedded:tiny`."""
    if job.init_from is None:
        return job.model.source
    run = runs.RunDirectory(Path(job.init_from))
    return runs.model_of(run) if run.status_file.is_file() else job.init_from


def _group(setting: str) -> str:
    """The group that a setting chooses an option of ("model" of "model=tiny"); "" for the value of a key."""
    key, equals, _ = setting.lstrip("+").partition("=")
    return key.partition("@")[0] if equals and "." not in key else ""


def _run_around(source: str | None) -> runs.RunDirectory | None:
    """The run whose `model/` folder was named, None for any other folder."""
    if source is None:
        return None
    run = runs.RunDirectory(Path(source).parent)
    return run if Path(source) == run.model and run.status_file.is_file() else None


def _composed_like(run: runs.RunDirectory, groups: Sequence[str], settings: list[str], config_dir: str | None) -> Any:
    """The composed tree with `groups` as the run had them. They become options of a folder, so that Hydra does the rest."""
    from omegaconf import OmegaConf

    from facial_r1.config.compose import compose_tree

    resolved: Any = OmegaConf.load(run.resolved)
    with tempfile.TemporaryDirectory(prefix="facial_r1-of-run-") as folder:
        chosen = []
        for group in groups:
            if group in resolved:
                place = Path(folder) / group / f"{_OF_RUN}.yaml"
                place.parent.mkdir()
                place.write_text(OmegaConf.to_yaml(resolved[group]), encoding="utf-8")
                chosen.append(f"{group}={_OF_RUN}")
        if config_dir:
            chosen.append(f"hydra.searchpath=[file://{Path(config_dir).absolute()},file://{folder}]")
        return compose_tree([*chosen, *settings], None if config_dir else folder)
