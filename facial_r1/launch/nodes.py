"""Several machines: which one this is, where they meet, and the one run directory that they share."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facial_r1 import atomic
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from facial_r1.config.schema import Job
    from facial_r1.runs import RunDirectory

#: In `logs/`: written by node 0 when it starts; the other nodes wait for it.
ANNOUNCEMENT = "node0.json"


@dataclass(frozen=True)
class Node:
    """This machine among those of a job.

    Attributes:
        rank: From 0; node 0 hosts the rendezvous.
        count: Machines.
        endpoint: `host:port` of the rendezvous; None with one machine.
    """

    rank: int = 0
    count: int = 1
    endpoint: str | None = None

    @property
    def first(self) -> bool:
        """True on the machine that speaks for all."""
        return self.rank == 0

    def options(self, run: RunDirectory, job: Job) -> list[str]:
        """Options of torchrun that bring the machines together. Every job of a machine finds a port of its own."""
        if self.count == 1:
            return ["--standalone", "--local-addr=localhost"]  # not the host's name, which may lead nowhere (laptops, containers)
        wait = round(job.launch.join_seconds)
        return [
            f"--nnodes={self.count}",
            f"--node-rank={self.rank}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={self.endpoint}",
            f"--rdzv-id={meeting(run)}",
            f"--rdzv-conf=is_host={int(self.first)},join_timeout={wait},read_timeout={wait},timeout={wait}",
        ]


def this_node(job: Job) -> Node:
    """This machine's place under `launch=torchrun`.

    Raises:
        InputError: more than one machine could be node 0 by its name alone.
    """
    launch = job.launch
    if launch.nodes == 1:
        return Node()
    assert launch.rendezvous is not None
    if launch.node_rank is not None:
        return Node(launch.node_rank, launch.nodes, launch.rendezvous)
    host = launch.rendezvous.rpartition(":")[0].strip("[]")
    if is_here(host):
        return Node(0, launch.nodes, launch.rendezvous)
    if launch.nodes == 2:
        return Node(1, launch.nodes, launch.rendezvous)
    number = os.environ.get("SLURM_NODEID", "")
    if number.isdigit() and 0 < int(number) < launch.nodes:
        return Node(int(number), launch.nodes, launch.rendezvous)
    raise InputError(f"launch.node_rank: this machine is not {host}; say which of the nodes 1 to {launch.nodes - 1} it is")


def is_here(host: str) -> bool:
    """Whether a host name or address is this machine's."""
    if host in ("localhost", socket.gethostname(), socket.getfqdn()):
        return True
    try:
        wanted = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    if any(ipaddress.ip_address(address).is_loopback for address in wanted):
        return True  # the whole of 127.0.0.0/8: Debian gives a machine's own name 127.0.1.1, which no interface has
    import psutil

    own = {address.address.partition("%")[0] for found in psutil.net_if_addrs().values() for address in found}
    return bool(wanted & own)


def meeting(run: RunDirectory) -> str:
    """A name for the rendezvous that the nodes of a run share and other runs do not: after the run directory."""
    return f"{run.path.name}-{hashlib.sha256(str(run.path).encode()).hexdigest()[:8]}"


def announce(run: RunDirectory, job: Job) -> None:
    """Node 0: tell the other nodes, through the shared file system, that this is the run directory."""
    atomic.write_json(
        run.logs / ANNOUNCEMENT,
        {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "time": time.time(),
            "world": job.launch.world,
            "meeting": meeting(run),
        },
    )


def await_announcement(run: RunDirectory, node: Node, seconds: float, stopped: Callable[[], bool] = lambda: False) -> None:
    """Another node: wait until node 0 has started in the same run directory, or until `stopped` says that this one is to end.

    Raises:
        InputError: it has not after `seconds`.
    """
    end = time.monotonic() + seconds
    while not (run.logs / ANNOUNCEMENT).is_file() and not stopped():
        if time.monotonic() > end:
            raise InputError(
                f"node {node.rank} waited {seconds:g} s (launch.join_seconds) for node 0 ({node.endpoint}) in {run.path}. Start the "
                "same command on every node, and let output_root= or run_dir= be on a file system that all of them see"
            )
        time.sleep(0.2)


def withdraw(run: RunDirectory) -> None:
    """Node 0: take the announcement back when the job ends, so that the next start is waited for."""
    Path(run.logs / ANNOUNCEMENT).unlink(missing_ok=True)
