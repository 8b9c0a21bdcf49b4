"""`rerun=<run directory>`: a past run again, from its resolved.yaml, with other settings on top.

Nothing is composed anew, so an edited YAML or a changed default of this package does not change what is repeated. The new run
has its own directory, named as always after what it asks for; ids of dashboards belong to the old directory and stay there, and
values from the environment are read from the environment of today.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import facial_r1
from facial_r1 import runs
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from facial_r1.sweeps.trees import Compose

KEY = "rerun="
_CHOICES = ("model", "data", "prompt", "reward", "generation", "launch", "tracker", "debug")
_DATA_PATHS = ("root", "files", "images", "test_files", "test_images", "descriptions", "questions")


def named(overrides: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The run that a command line repeats (None where it repeats none), and its other overrides.

    Raises:
        InputError: it names several, or what it names is no run.
    """
    found = [item.removeprefix(KEY).strip("'\"") for item in overrides if item.startswith(KEY)]
    rest = [item for item in overrides if not item.startswith(KEY)]
    if not found:
        return None, rest
    if len(found) > 1:
        raise InputError(f"{KEY} is given {len(found)} times: repeat one run after the other")
    path = Path(found[0]).expanduser().absolute()
    path = path.parent if path.name == "resolved.yaml" else path
    if not (path / "resolved.yaml").is_file():
        raise InputError(f"{KEY}{found[0]}: no run directory (it has no resolved.yaml); ls outputs/ shows what there is")
    return path, rest


def composer(path: Path, config_dir: str | None) -> Compose:
    """A function from overrides to the configuration of the run at `path` with them on top; says what is not as it was.

    Raises (the function):
        InputError: an override is wrong, or a file that the run read is gone.
    """
    from omegaconf import DictConfig, OmegaConf

    base = OmegaConf.load(path / "resolved.yaml")
    assert isinstance(base, DictConfig)
    for note in notes(path):
        print(f"facial_r1: {KEY}{path}: {note}", file=sys.stderr, flush=True)
    start = base.get("init_from")
    if start is not None and Path(str(start)).name.startswith("cold_start-") and not Path(str(start)).exists():
        print(f"facial_r1: {KEY}{path}: its cold start {start} is gone and is made again", file=sys.stderr, flush=True)
        base.init_from = None
    base.run_dir = None
    base.resume = "auto"
    for key in ("sweep", "hydra", "experiment"):
        base.pop(key, None)

    def compose(overrides: Sequence[str]) -> DictConfig:
        tree = _overridden(base, overrides, config_dir)
        _check_paths(path, tree)
        return tree

    return compose


def notes(path: Path) -> list[str]:
    """What is not as it was when the run at `path` was made: the version of this package, its source tree."""
    then = runs.RunDirectory(path).status().get("version") or {}
    now = {"package": facial_r1.__version__, "git": runs.git_version()}
    changed = [f"{key} {then[key]} then, {now[key]} now" for key in now if then.get(key) and then[key] != now[key]]
    return [f"the code changed ({'; '.join(changed)})"] if changed else []


def record(path: Path, run: runs.RunDirectory) -> None:
    """Write into the status of `run` what it repeats, and say so when it read other data than that."""
    if not run.status_file.is_file() or run.path == path:
        return
    run.update_status(rerun_of=str(path))
    then, now = ((one.status().get("data") or {}).get("fingerprint") for one in (runs.RunDirectory(path), run))
    if then and now and then != now:
        print(
            f"facial_r1: {KEY}{path}: the data are not the same (fingerprint {then[:12]} then, {now[:12]} now)", file=sys.stderr
        )


def _overridden(base: DictConfig, overrides: Sequence[str], config_dir: str | None) -> DictConfig:
    from omegaconf import OmegaConf

    from facial_r1.config.compose import compose_tree
    from facial_r1.sweeps.expand import is_setting
    from facial_r1.sweeps.trees import apply_values, is_value

    own = [item for item in overrides if not is_setting(item.split("=")[0])]
    tree = base.copy()
    for choice in [item for item in own if not is_value(item, config_dir)]:
        group, _, option = choice.partition("=")
        if group not in _CHOICES or not option:
            raise InputError(
                f"{choice}: a repeated run keeps its {group.lstrip('+~')}; on top of it go settings (key=value) and the choices "
                f"{', '.join(_CHOICES)}. For another stage on its model: init_from=<run>"
            )
        tree[group] = compose_tree([f"stage={tree.stage.name}", choice], config_dir)[group]
    OmegaConf.set_struct(tree, True)
    apply_values(tree, [_addable(item, tree) for item in own if is_value(item, config_dir)])
    return tree


def _addable(override: str, tree: DictConfig) -> str:
    """An override of a key that today's schema knows and the old file does not have, written as an addition.

    Raises:
        InputError: nobody knows the key.
    """
    from omegaconf import OmegaConf

    from facial_r1.config.suggest import did_you_mean
    from facial_r1.config.validation import known_keys

    if override.startswith(("+", "~")):
        return override
    key = override.split("=")[0]
    *parents, last = key.split(".")
    here: Any = OmegaConf.select(tree, ".".join(parents)) if parents else tree
    if isinstance(here, Mapping) and last in here:
        return override
    plain = OmegaConf.to_container(tree, resolve=False)
    assert isinstance(plain, dict)
    known = known_keys(tuple(parents), {str(name): value for name, value in plain.items()})
    if last in known:
        return f"++{override}"
    raise InputError(f"configuration: {key}: no such key; {did_you_mean(last, known or [str(name) for name in here or ()])}")


def _check_paths(path: Path, tree: DictConfig) -> None:
    """Raise InputError for a file or folder that the run read and that is not there any more."""
    from facial_r1.config.resolved import plain

    said = plain(tree)
    data, stage = said.get("data") or {}, said.get("stage") or {}
    places = [(f"data.{key}", data.get(key)) for key in _DATA_PATHS] + [("stage.predictions", stage.get("predictions"))]
    for key, value in places:
        for one in value if isinstance(value, list) else [value]:
            if (
                isinstance(one, str)
                and os.sep in one
                and not any(mark in one for mark in "*?[")
                and not Path(one).expanduser().exists()
            ):
                raise InputError(f"{KEY}{path}: {key}={one} is not there any more. Say where it is now: {key}=<place>")
