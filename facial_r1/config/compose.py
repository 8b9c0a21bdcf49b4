"""Composition with Hydra: from command-line overrides to a plain, resolved tree. The only user of Hydra's API."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from facial_r1.config.paths import conf_dir, groups, options
from facial_r1.config.resolved import plain
from facial_r1.config.suggest import did_you_mean
from facial_r1.config.validation import known_keys
from facial_r1.errors import InputError
from facial_r1.interruption import is_behind


def version_base() -> str | None:
    """Hydra below 1.4 needs "1.3" to behave like 1.3; from 1.4 any explicit value only warns."""
    major, minor = (int(part) for part in hydra.__version__.split(".")[:2])
    return "1.3" if (major, minor) < (1, 4) else None


def compose_tree(overrides: Sequence[str], config_dir: str | None = None, *, with_hydra: bool = False) -> DictConfig:
    """The composed configuration for `overrides` (command-line syntax, no sweeps).

    Args:
        overrides: e.g. ["stage=grpo", "stage.max_steps=3"].
        config_dir: a folder of further options, as with `--config-dir`.
        with_hydra: keep Hydra's own settings, under `hydra`.

    Raises:
        InputError: an override names an unknown group option or key, or is not valid syntax; with a suggestion.
    """
    found = list(overrides)
    if config_dir:
        found.append(f"hydra.searchpath=[file://{Path(config_dir).absolute()}]")
    GlobalHydra.instance().clear()
    arguments: dict[str, Any] = {"config_dir": str(conf_dir()), "job_name": "facial_r1"}
    if version_base():
        arguments["version_base"] = version_base()
    logging.getLogger("hydra").setLevel(logging.ERROR)
    try:
        with initialize_config_dir(**arguments):
            return compose("config", overrides=found, return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException) as error:
        if is_behind(error):
            raise KeyboardInterrupt from None
        raise InputError(explain(error, overrides)) from None


def explain(error: Exception, overrides: Sequence[str]) -> str:
    """One readable message for a Hydra error, with the nearest known name."""
    text = str(error)
    missing_key = re.search(r"Could not override '([^']+)'", text)
    if missing_key and not re.search(r"No match in the defaults list", text):
        parts = missing_key[1].split(".")
        for depth, part in enumerate(parts):
            names = _siblings(parts[:depth], overrides)
            if depth == len(parts) - 1 or (names and part not in names):
                return f"configuration: {'.'.join(parts[: depth + 1])}: no such key; {did_you_mean(part, names)}"
    group = re.search(r"Could not find '([^']+)'", text)
    if group and "/" in group[1]:
        name, option = group[1].split("/", 1)
        return f"configuration: {name}={option}: no such option; {did_you_mean(option, options(name))}"
    unknown_group = re.search(r"Could not override '([^']+)'.*?No match in the defaults list", text, flags=re.S)
    if unknown_group:
        return f"configuration: {unknown_group[1]}: no such choice; {did_you_mean(unknown_group[1].split('@')[0], groups())}"
    if "Multiple values for experiment" in text:
        return "configuration: experiment is chosen without a plus sign: experiment=<name>"
    if "mismatched input '='" in text:
        return f"""configuration: a value with = in it stands in quotes, "key='a=b'": {text.splitlines()[0]}"""
    lines = [line for line in text.splitlines() if line.strip() and "full stack trace" not in line.lower()]
    return "configuration: " + "\n".join(lines[:4])


def _siblings(parents: list[str], overrides: Sequence[str]) -> list[str]:
    choices = [
        item
        for item in overrides
        if re.match(r"^(stage|model|data|protocol|prompt|reward|generation|launch|tracker|debug|experiment)=", item)
    ]
    try:
        tree: Any = plain(compose_tree(choices))
    except InputError:
        tree = {}
    names = known_keys(tuple(parents), tree)
    for part in parents:
        tree = tree.get(part) if isinstance(tree, dict) else None
    return names or (list(tree) if isinstance(tree, dict) else [])  # free-form parts have the keys of their file
