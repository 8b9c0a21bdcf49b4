"""The few things ranks do together. torch is imported when there are several ranks or a device is asked for."""

from __future__ import annotations

import datetime
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from facial_r1.interruption import StopRequest

# A rank that writes reasoning for its share may be long ahead of another.
_PATIENCE = datetime.timedelta(hours=6)


def join_group() -> None:
    """Open the process group when there are several ranks and no trainer has opened it."""
    import torch

    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.distributed.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        torch.distributed.init_process_group(backend, timeout=_PATIENCE)


def barrier() -> None:
    """Wait for every rank; returns at once with one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        import torch

        join_group()
        torch.distributed.barrier()


def device(wanted: str = "auto") -> torch.device:
    """The device of this rank."""
    import torch

    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def share(value: Any) -> Any:
    """Rank 0's value on every rank; the value itself with one rank."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return value
    import torch

    join_group()
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0, device=device())
    return box[0]


def gather(value: Any) -> list[Any]:
    """The values of all ranks on every rank, in their order."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return [value]
    import torch

    join_group()
    box: list[Any] = [None] * world
    torch.distributed.all_gather_object(box, value)
    return box


def agree(stop: StopRequest) -> None:
    """Make a stop that one rank was asked for every rank's, so that all stop at the same place."""
    asked = [number for number in gather(stop.number) if number]
    if asked and stop.number is None:
        stop.number = asked[0]
