"""FSDP2 (`launch.distributed=fsdp2`): PyTorch's own sharding of weights, gradients and optimizer over the ranks.

accelerate wraps the model with `fully_shard`; here are its settings, and what it leaves open: sharding on a CPU (tests, and a look
at a recipe without a GPU), and whole weights while a model generates, which reads them outside of the modules' forwards.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.distributed.fsdp import FSDPModule

from facial_r1.config.schema import Job

_log = logging.getLogger("facial_r1")


def fsdp_arguments(job: Job) -> dict[str, Any]:
    """Keyword arguments of transformers' `TrainingArguments` for fsdp2; none otherwise."""
    if job.launch.distributed != "fsdp2":
        return {}
    return {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "reshard_after_forward": True,
            "cpu_offload": job.launch.offload,
            "state_dict_type": "FULL_STATE_DICT",
            "activation_checkpointing": False,
        },
    }


def admit_cpu() -> None:
    """Let accelerate shard on a CPU: it asks for an accelerator before it wraps a model, which gloo does not need.

    Call after the trainer's arguments are made, which set accelerate up anew, and before the trainer is, in every rank.
    """
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    state = PartialState(cpu=True)
    if state.distributed_type == DistributedType.MULTI_CPU:
        state.distributed_type = DistributedType.MULTI_GPU  # the kind that accelerate turns into FSDP; the device stays the CPU


def check_sharded(job: Job, trainer: Any) -> None:
    """Raise where sharding was asked for and accelerate would not shard, which it does not say."""
    wanted, found = job.launch.distributed, trainer.accelerator
    engaged = {"zero2": trainer.is_deepspeed_enabled, "zero3": trainer.is_deepspeed_enabled, "fsdp2": found.is_fsdp2}
    if not engaged.get(wanted, True):
        raise RuntimeError(
            f"launch.distributed={wanted}: accelerate chose {found.distributed_type.value} and would not shard the model"
        )
    _log.info("%d rank(s), %s: %s", found.num_processes, wanted, found.distributed_type.value)


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """Whole weights on every rank while the block runs; a model that is not sharded is left alone. Every rank must enter it.

    A forward inside of the block keeps them whole, whatever `reshard_after_forward` says.
    """
    units = [module for module in model.modules() if isinstance(module, FSDPModule)]
    if not units:
        yield
        return
    states = [unit._get_fsdp_state() for unit in units]
    groups = [group for state in states for group in state._fsdp_param_groups]
    before = [(state, state._auto_reshard_after_forward) for state in states]
    meshes = [(group, group.post_forward_mesh_info) for group in groups]
    states[0]._lazy_init()  # the root knows its parts before one of them runs alone
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.reshard()
        for state, automatic in before:
            state._auto_reshard_after_forward = automatic
        for group, mesh in meshes:
            group.post_forward_mesh_info = mesh
