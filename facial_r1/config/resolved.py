"""Resolved configurations on disk: readable by the ranks without Hydra, and free of secrets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from facial_r1.errors import InputError

_ENVIRONMENT = re.compile(r"\$\{oc\.env:")


def plain(tree: DictConfig) -> dict[str, Any]:
    """The tree as dicts and lists with every interpolation resolved.

    Raises:
        InputError: an interpolation points nowhere, or an environment variable is not set.
    """
    try:
        value = OmegaConf.to_container(tree, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(f"configuration: {str(error).splitlines()[0]}") from None
    assert isinstance(value, dict)
    return {str(key): item for key, item in value.items()}


def resolved_yaml(tree: DictConfig) -> str:
    """YAML text with interpolations resolved, but values from the environment left as `${oc.env:NAME}`.

    A secret in an environment variable therefore never reaches the disk.
    """
    return OmegaConf.to_yaml(OmegaConf.create(without_environment(tree)))


def without_environment(tree: DictConfig) -> dict[str, Any]:
    """The tree as dicts and lists: interpolations resolved, values from the environment left as `${oc.env:NAME}`."""
    raw = OmegaConf.to_container(tree, resolve=False)
    done = OmegaConf.to_container(tree, resolve=True)
    kept = _keep_environment(raw, done)
    assert isinstance(kept, dict)
    return {str(key): item for key, item in kept.items()}


def load_resolved(path: Path) -> dict[str, Any]:
    """A resolved.yaml as a plain tree, environment variables filled in. Needs no Hydra."""
    return plain(OmegaConf.load(path))  # type: ignore[arg-type]


def _keep_environment(raw: Any, done: Any) -> Any:
    if isinstance(raw, dict):
        return {key: _keep_environment(raw[key], done[key]) for key in raw}
    if isinstance(raw, list):
        return [_keep_environment(one, two) for one, two in zip(raw, done, strict=True)]
    if isinstance(raw, str) and _ENVIRONMENT.search(raw):
        return raw
    return done
