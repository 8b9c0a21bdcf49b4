"""`launch=auto`: one rank for each GPU of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from facial_r1.config.schema import Job

#: The embedded model is trained faster by one process than by eight.
_ONE_PROCESS = "embedded:"


def settle(tree: DictConfig, job: Job) -> DictConfig:
    """The configuration with `launch=auto` replaced by what it means here; any other launcher is left as it is.

    A dry run without a GPU plans for `launch.expected_gpus`, so that a recipe can be read on a laptop.
    """
    if job.launch.name != "auto":
        return tree
    ranks = 1 if job.launch.device == "cpu" else visible_gpus()
    if not ranks and job.debug.dry_run:
        ranks = job.launch.expected_gpus
    if job.model.source.startswith(_ONE_PROCESS):
        ranks = 1
    tree = tree.copy()
    OmegaConf.set_struct(tree, False)
    several = ranks > 1
    tree.launch.name = "torchrun" if several else "inline"
    tree.launch.processes = max(1, ranks)
    tree.launch.distributed = job.launch.distributed if several else "none"
    return tree


def visible_gpus() -> int:
    """NVIDIA GPUs that a process started here would see, without importing torch."""
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is not None:
        return len([part for part in wanted.split(",") if part.strip() and part.strip() != "-1"])
    return len([path for path in Path("/dev").glob("nvidia[0-9]*") if path.name.removeprefix("nvidia").isdigit()])
