"""The way into Hydra's own command line, and the public names of sweeps (`facial_r1.sweeps`)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from facial_r1.sweeps.driver import run_many
from facial_r1.sweeps.expand import expand, slug

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = ["expand", "hydra_main", "run_many", "slug"]


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
