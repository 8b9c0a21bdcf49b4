"""The composed tree of each job, each choice of group options composed once.

Hydra composes groups first and lays single values over the result (`ConfigLoaderImpl._apply_overrides_to_config`). Jobs of a
sweep mostly differ in values, so the first part is kept: 110 ms for the first job, 5 ms for each other. The same code of
Hydra applies the values, so that the result is what a composition of its own would give.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from facial_r1.config.compose import compose_tree
from facial_r1.config.paths import conf_dir
from facial_r1.errors import InputError
from facial_r1.sweeps.expand import is_setting

Compose = Callable[[Sequence[str]], DictConfig]

_VALUE = re.compile(r"(?:\+\+?|~)?[A-Za-z_][\w.]*(?:=|$)")


class Composer:
    """A function from overrides to a composed tree; equal to `compose_tree`, and quick for jobs that share their choices."""

    def __init__(self, config_dir: str | None) -> None:
        self.config_dir = config_dir
        self._known: dict[tuple[str, ...], DictConfig] = {}

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        own = [item for item in overrides if not _hydras(item)]
        values, choices = self._split(own)
        if choices not in self._known:
            self._known[choices] = compose_tree(choices, self.config_dir)
        tree = self._known[choices].copy()
        try:
            apply_values(tree, values)
        except InputError:
            return compose_tree(own, self.config_dir)  # which says what is wrong, with a suggestion
        return tree

    def settings(self, overrides: Sequence[str]) -> dict[str, Any]:
        """What a composition says about the sweep itself.

        Returns:
            `sweep` (the node, plain), `params` (`hydra.sweeper.params`, key -> text), `launcher` and `sweeper` (names of Hydra's
            options, "basic" for its own), `searchpath` (further folders of options).
        """
        values, choices = self._split(overrides)
        tree = compose_tree(choices, self.config_dir, with_hydra=True)
        bare = tree.copy()
        OmegaConf.set_struct(bare, False)
        bare.pop("hydra")
        OmegaConf.set_struct(bare, True)
        self._known[tuple(item for item in choices if not _hydras(item))] = bare
        try:
            apply_values(tree, values)
        except InputError:
            tree = compose_tree(overrides, self.config_dir, with_hydra=True)
        params = OmegaConf.select(tree, "hydra.sweeper.params")
        chosen = OmegaConf.select(tree, "hydra.runtime.choices") or {}
        return {
            "sweep": OmegaConf.to_container(tree.sweep, resolve=True) if "sweep" in tree else {},
            "params": {str(key): str(value) for key, value in (params or {}).items()},
            "launcher": str(chosen.get("hydra/launcher") or "basic"),
            "sweeper": str(chosen.get("hydra/sweeper") or "basic"),
            "searchpath": [str(item) for item in OmegaConf.select(tree, "hydra.searchpath") or []],
        }

    def _split(self, overrides: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
        values = [item for item in overrides if is_value(item, self.config_dir)]
        return values, tuple(item for item in overrides if item not in values)


def apply_values(tree: DictConfig, values: Sequence[str]) -> None:
    """Lay overrides of single values over a composed tree, in place, as Hydra does.

    Raises:
        InputError: a key that is not there, or a value that does not fit.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        parsed = OverridesParser.create().parse_overrides(list(values))
        ConfigLoaderImpl._apply_overrides_to_config(parsed, tree)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(f"configuration: {str(error).splitlines()[0]}") from None


def is_value(override: str, config_dir: str | None) -> bool:
    """Whether an override sets a key ("stage.beta=0", "seed=1") rather than choosing an option of a group ("model=tiny")."""
    if not _VALUE.match(override):
        return False
    key = override.lstrip("+~").split("=")[0]
    if "." in key:
        return True
    return not any((Path(folder) / key).is_dir() for folder in (conf_dir(), config_dir) if folder)


def files_digest(config_dir: str | None) -> str:
    """Changes when a YAML file of ours or of `--config-dir` does, or Hydra's version."""
    whole = hashlib.sha256(hydra.__version__.encode())
    for folder in (conf_dir(), config_dir):
        for file in sorted(Path(folder).rglob("*.yaml")) if folder else ():
            whole.update(f"\n{file.relative_to(str(folder))}\n".encode())
            whole.update(file.read_bytes())
    return whole.hexdigest()


def _hydras(override: str) -> bool:
    return is_setting(override.split("=")[0])
