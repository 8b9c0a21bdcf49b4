"""The environment of the ranks: ours, without what another launcher has left in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facial_r1.config.schema import Job

#: Places in a group of processes that torchrun sets anew for each rank. One that is inherited is of another group.
INHERITED = (
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "ROLE_RANK",
    "ROLE_NAME",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_WORLD_SIZE",
    "ROLE_WORLD_SIZE",
    "NODE_RANK",
    "NNODES",
    "MASTER_ADDR",
    "MASTER_PORT",
    "CROSS_RANK",
    "CROSS_SIZE",
    # What srun says about its task, which starts our agent and is no rank of ours.
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_NTASKS",
    "SLURM_NPROCS",
    "SLURM_NTASKS_PER_NODE",
    "SLURM_TASKS_PER_NODE",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_STEP_TASKS_PER_NODE",
)
#: The same by the first letters of the name: torchrun's agent and defaults, `accelerate launch`, MPI, which DeepSpeed and
#: accelerate ask when RANK is not set.
PREFIXES = (
    "TORCHELASTIC_",
    "PET_",
    "ACCELERATE_",
    "FSDP_",
    "PARALLELISM_CONFIG_",
    "OMPI_COMM_WORLD_",
    "OMPI_UNIVERSE_",
    "PMI_",
    "PMIX_",
    "MPI_LOCAL",
    "MV2_COMM_WORLD_",
    "JSM_NAMESPACE_",
)


def environment(job: Job, base: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of the agent and the ranks: without a foreign launcher's variables, threads shared out on a CPU."""
    env = {
        name: value
        for name, value in (os.environ if base is None else base).items()
        if name not in INHERITED and not name.startswith(PREFIXES) and name != AGENT
    }
    env.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // job.launch.processes)))
    env.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    env[LAUNCHER] = str(os.getpid())
    if job.launch.device == "cpu":
        env.setdefault("CUDA_VISIBLE_DEVICES", "")
        env.setdefault("DS_ACCELERATOR", "cpu")
    return env


def drop_inherited() -> None:
    """Forget what a foreign launcher has left in this process's environment: the job that follows is all of its group."""
    for name in [name for name in os.environ if name in INHERITED or name.startswith(PREFIXES)]:
        del os.environ[name]


#: Process id of the application that starts the agent, and of the agent that starts the ranks; each ends when its parent is gone.
LAUNCHER = "FACIAL_R1_LAUNCHER"
AGENT = "FACIAL_R1_AGENT"
