"""Where the ranks of a job run: the `launch` part of the schema."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

_strict = ConfigDict(extra="forbid", arbitrary_types_allowed=False)

PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]

_ENDPOINT = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):([0-9]{1,5})")
_MEMORY = re.compile(r"[0-9]+[KMGT]?B?")


@dataclass(config=_strict)
class Launch:
    """Where the ranks run.

    Attributes:
        processes: Ranks on each node.
        nodes: Machines; the world is `nodes * processes` ranks.
        rendezvous: `host:port` where the nodes of `launch=torchrun` meet; the host is node 0.
        node_rank: This machine's number; null compares the rendezvous host with this machine's names.
        join_seconds: How long a node waits for the others.
        partition, account, qos, constraint, mem, ...: What is asked of Slurm (`launch=slurm`); null leaves it to the cluster.
        signal_delay_seconds: Slurm sends SIGUSR1 so long before the time is up; a checkpoint must fit into it.
    """

    name: Literal["auto", "inline", "torchrun", "slurm"] = "inline"
    processes: PositiveInt = 1
    expected_gpus: PositiveInt = 8
    distributed: Literal["none", "ddp", "zero2", "zero3", "fsdp2"] = "none"
    offload: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    grace_seconds: PositiveFloat = 15.0
    nodes: PositiveInt = 1
    rendezvous: str | None = None
    node_rank: NonNegativeInt | None = None
    join_seconds: PositiveFloat = 600.0
    executor: Literal["slurm", "local"] = "slurm"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time_minutes: PositiveInt = 1440
    gpus_per_node: NonNegativeInt | None = None
    cpus_per_task: PositiveInt | None = None
    mem: str | None = None
    setup: list[str] = Field(default_factory=list)
    signal_delay_seconds: PositiveInt = 300
    requeue: bool = True
    wait: bool = False

    @property
    def world(self) -> int:
        """Ranks over all nodes."""
        return self.nodes * self.processes

    def __post_init__(self) -> None:
        one_process = self.name in ("inline", "auto")
        if self.name == "inline" and self.processes > 1:
            raise ValueError(f"launch=inline runs one process; for {self.processes} use launch=torchrun")
        if self.name == "inline" and self.distributed != "none":
            raise ValueError(f"launch.distributed={self.distributed} needs launch=torchrun")
        if one_process and self.nodes > 1:
            raise ValueError(f"launch.nodes={self.nodes} needs launch=torchrun or launch=slurm")
        if self.offload and self.distributed not in ("zero2", "zero3", "fsdp2") and self.name != "auto":
            raise ValueError(
                f"launch.offload=true has nothing to move with launch.distributed={self.distributed}: set zero2, zero3 or fsdp2"
            )
        self._check_nodes()
        if self.mem is not None and not _MEMORY.fullmatch(self.mem):
            raise ValueError(f"launch.mem={self.mem}: an amount as Slurm writes it, for example launch.mem=120G")
        if self.name == "slurm" and self.executor == "local" and self.nodes > 1:
            raise ValueError(f"launch.executor=local runs on this machine alone: set launch.nodes=1 (it is {self.nodes})")
        if self.name == "slurm" and 60 * self.time_minutes <= self.signal_delay_seconds:
            raise ValueError(
                f"launch.signal_delay_seconds={self.signal_delay_seconds} is not shorter than launch.time_minutes={self.time_minutes}: "
                "the job would be told to stop before it starts"
            )

    def _check_nodes(self) -> None:
        if self.rendezvous is not None and not _ENDPOINT.fullmatch(self.rendezvous):
            raise ValueError(
                f"launch.rendezvous={self.rendezvous}: host:port of node 0, for example launch.rendezvous=node0:29500"
            )
        if self.name == "torchrun" and self.nodes > 1 and self.rendezvous is None:
            raise ValueError(
                f"launch.nodes={self.nodes} needs launch.rendezvous=<host of node 0>:<free port>; start the same command on every node"
            )
        if self.node_rank is not None and self.node_rank >= self.nodes:
            raise ValueError(
                f"launch.node_rank={self.node_rank}: nodes are numbered from 0 to {self.nodes - 1} (launch.nodes={self.nodes})"
            )
