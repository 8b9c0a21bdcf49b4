"""`launch=torchrun`: two CPU ranks, one run directory, no orphan, a summary like that of one rank."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from facial_r1.errors import InputError
from facial_r1.launch import launch
from facial_r1.launch.environment import environment
from facial_r1.launch.torchrun import command
from facial_r1.runs import RunDirectory
from tests.command import SMALL
from tests.launch.harness import Zygote, with_token


def job(*overrides: str):
    return validate(plain(compose_tree(["launch=torchrun", *overrides])))


def test_the_ranks_run_the_worker_only():
    line = command(RunDirectory(Path("/runs/x")), job("launch.processes=2"))
    assert line[1:] == ["-m", "facial_r1.launch.agent", "/runs/x", "--standalone", "--local-addr=localhost", "--nproc-per-node=2"]


@pytest.mark.parametrize(
    "name",
    [
        "RANK", "MASTER_PORT", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "NODE_RANK", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS",
        "TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_USE_AGENT_STORE", "PET_NNODES", "PET_RDZV_ENDPOINT", "ACCELERATE_USE_DEEPSPEED",
        "ACCELERATE_USE_FSDP", "FSDP_OFFLOAD_PARAMS", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "MV2_COMM_WORLD_RANK",
    ],
)  # fmt: skip
def test_a_foreign_launcher_is_not_inherited(name: str):
    env = environment(job(), {name: "1", "HOME": "/root", "SLURM_JOB_ID": "7"})
    assert name not in env
    assert env["HOME"] == "/root" and env["SLURM_JOB_ID"] == "7"


def test_the_batch_counts_the_ranks_of_all_nodes():
    found = job("stage=grpo", "launch.nodes=2", "launch.processes=4", "launch.rendezvous=node0:29500", "stage.prompts_per_step=8")
    assert found.launch.world == 8 and found.stage.accumulation(8) == 1
    with pytest.raises(InputError, match="multiple of 8"):
        job("stage=grpo", "launch.nodes=2", "launch.processes=4", "launch.rendezvous=node0:29500", "stage.prompts_per_step=1",
            "stage.num_generations=4")  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        (["launch.nodes=2"], "needs launch.rendezvous=<host of node 0>:<free port>"),
        (["launch.nodes=2", "launch.rendezvous=node0"], "host:port of node 0"),
        (["launch.nodes=2", "launch.rendezvous=node0:29500", "launch.node_rank=2"], "numbered from 0 to 1"),
    ],
)
def test_nodes_that_cannot_meet_are_refused(overrides: list[str], wanted: str):
    with pytest.raises(InputError, match=wanted):
        job(*overrides)


def test_a_node_that_waits_in_vain_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    two = job("launch.nodes=2", "launch.rendezvous=node0:29500", "launch.node_rank=1", "launch.join_seconds=0.1")
    assert launch(RunDirectory(tmp_path / "run"), two) == 2
    said = capsys.readouterr().err
    assert (
        "node 1 waited 0.1 s" in said
        and "Start the same command on every node" in said
        and "file system that all of them see" in said
    )


@pytest.mark.slow
def test_two_nodes_make_one_run_directory(zygote: Zygote, tmp_path: Path):
    """Two commands on this machine stand for two machines; the first to come makes the run directory."""
    run = RunDirectory(tmp_path / "run")
    line = [
        "stage=sft", *SMALL, "stage.max_steps=2", "stage.per_device_batch_size=4", "stage.evaluate=false", "launch=torchrun", "launch.nodes=2",
        "launch.processes=1", "launch.device=cpu", f"launch.rendezvous=localhost:{free_port()}", "launch.join_seconds=120", f"run_dir={run.path}",
    ]  # fmt: skip
    nodes = [zygote.start([*line, f"launch.node_rank={rank}"]) for rank in (1, 0)]
    done = [node.wait(200) for node in nodes]
    assert [one.code for one in done] == [0, 0], "\n".join(one.err for one in done)
    assert all(one.out.strip().splitlines()[-1] == f"run: {run.path}" for one in done)
    assert run.state() == "finished" and [path.name for path in tmp_path.iterdir()] == ["run"]
    assert sorted(path.name for path in run.logs.iterdir()) == ["rank0.log", "rank1.log"]
    assert len(run.metrics.read_text().splitlines()) == 2, "one rank writes"


@pytest.mark.slow
def test_the_rank_that_failed_first_says_why_and_nobody_else(zygote: Zygote, tmp_path: Path):
    """Rank 1 is killed from outside, as the kernel does when memory runs out: one line names it, and nothing prints a traceback."""
    run = RunDirectory(tmp_path / "run")
    line = [
        "stage=sft", *SMALL, "stage.max_steps=400", "stage.per_device_batch_size=4", "stage.evaluate=false", "launch=torchrun",
        "launch.device=cpu", f"run_dir={run.path}",
    ]  # fmt: skip
    parent = zygote.start(line)
    until(lambda: run.metrics.is_file() and run.metrics.stat().st_size > 0, lambda: zygote.poll(parent.pid) is None)
    ranks = [
        child for child in psutil.Process(parent.pid).children(recursive=True) if "facial_r1.worker" in " ".join(child.cmdline())
    ]
    next(child for child in ranks if child.environ()["RANK"] == "1").kill()
    done = parent.wait(60)
    told = [text for text in done.err.splitlines() if "failed:" in text]
    assert done.code == 1 and "Traceback" not in done.err, done.err
    assert len(told) == 1, done.err
    assert not with_token(parent.token), "left behind"
    assert run.state() == "failed"
    assert "rank 1 was ended by SIGKILL (out of memory?); its log is" in told[0] and "rank1.log" in told[0], told
    assert "ended by SIGKILL" in run.status()["reason"]


@pytest.mark.slow
def test_a_batch_systems_warning_to_every_process_leaves_a_checkpoint_and_no_rank(zygote: Zygote, tmp_path: Path):
    """Slurm signals all processes of a job: the application, the agent, the ranks. What the launcher alone does: test_relay.py."""
    run = RunDirectory(tmp_path / "run")
    line = [
        "stage=sft", "launch=torchrun", "launch.device=cpu", *SMALL, "stage.max_steps=400", "stage.per_device_batch_size=4",
        "stage.evaluate=false", "launch.grace_seconds=90", f"run_dir={run.path}",
    ]  # fmt: skip
    parent = zygote.start(line)
    until(lambda: run.metrics.is_file() and run.metrics.stat().st_size > 0, lambda: zygote.poll(parent.pid) is None)
    for process in psutil.Process(parent.pid).children(recursive=True):
        process.send_signal(signal.SIGUSR1)
    os.kill(parent.pid, signal.SIGUSR1)
    done = parent.wait(100)
    assert not with_token(parent.token), "left behind"
    assert done.code == 128 + signal.SIGUSR1, done.err
    assert run.state() == "interrupted"
    assert list(run.checkpoints.glob("checkpoint-*/trainer_state.json")), "no checkpoint was written on the way out"
    assert "Traceback" not in done.err and "failed:" not in done.err, done.err


def until(condition: Callable[[], bool], alive: Callable[[], bool], seconds: float = 180) -> None:
    """Wait until `condition` holds; fail when the run ends first or the time is up."""
    end = time.monotonic() + seconds
    while not condition():
        assert alive(), "it ended before it came to this"
        assert time.monotonic() < end, "took too long"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition, process: subprocess.Popen, seconds: float = 180) -> None:
    """Wait until `condition` holds; fail when the process ends first or the time is up."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended with {process.returncode} before it came to this"
        assert time.monotonic() < end, "took too long"
        time.sleep(0.05)
