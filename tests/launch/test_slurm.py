"""`launch=slurm`: what is asked of Slurm, and the whole path on this machine: submit, stop at USR1, requeue, finish, wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.schema import Job
from facial_r1.config.validation import validate
from facial_r1.errors import InputError
from facial_r1.launch import launch, slurm
from facial_r1.runs import RunDirectory
from tests.command import SMALL
from tests.launch.harness import Zygote, with_token
from tests.launch.test_torchrun import until


def job(*overrides: str) -> Job:
    return validate(plain(compose_tree(["stage=sft", "launch=slurm", *overrides])))


def test_the_batch_script_asks_for_what_the_keys_say(tmp_path: Path):
    pytest.importorskip("submitit", reason="launch=slurm needs submitit: pip install 'facial-r1[slurm]'")
    text = slurm.script(
        RunDirectory(tmp_path / "run"),
        job(
            "launch.nodes=2", "launch.partition=gpu", "launch.account=lab", "launch.qos=high", "launch.constraint=a100",
            "launch.mem=400G", "launch.cpus_per_task=64", "launch.time_minutes=600", "launch.setup=[module load cuda]",
        ),
    )  # fmt: skip
    wanted = (
        "--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=8", "--partition=gpu", "--account=lab", "--qos=high", "--constraint=a100",
        "--mem=400G", "--cpus-per-task=64", "--time=600", "--signal=USR1@300", "--requeue", "--job-name=run",
        f"--output={tmp_path}/run/logs/slurm/",
    )  # fmt: skip
    missing = [one for one in wanted if f"#SBATCH {one}" not in text]
    assert not missing, f"{missing} not in:\n{text}"
    assert "\nmodule load cuda\n" in text and "submitit.core._submit" in text


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        (["launch.executor=local", "launch.nodes=2"], "runs on this machine alone"),
        (["launch.mem=lots"], "launch.mem=400G"),
        (["launch.time_minutes=5"], "would be told to stop before it starts"),
        (["launch.distributed=none", "launch.offload=true"], "has nothing to move"),
    ],
)
def test_what_cannot_be_submitted_is_refused(overrides: list[str], wanted: str):
    with pytest.raises(InputError) as refused:
        job(*overrides)
    assert wanted in str(refused.value) or "for example launch.mem=120G" in str(refused.value)


def test_without_submitit_the_fix_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    with pytest.raises(InputError, match=r"pip install 'facial-r1\[slurm\]'"):
        slurm.submit(RunDirectory(tmp_path), job())


def test_the_first_host_and_the_job_number_make_the_rendezvous(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    names = tmp_path / "scontrol"
    names.write_text("#!/bin/sh\necho gpu01\necho gpu02\n")
    names.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in (("SLURM_JOB_NODELIST", "gpu[01-02]"), ("SLURM_JOB_ID", "123456"), ("SLURM_NODEID", "1")):
        monkeypatch.setenv(name, value)
    node = slurm.node_of(job("launch.nodes=2"))
    assert (node.rank, node.count, node.endpoint) == (1, 2, "gpu01:23456")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Commands of a make-believe Slurm: name -> lines of shell."""
    pytest.importorskip("submitit", reason="launch=slurm needs submitit: pip install 'facial-r1[slurm]'")
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def command(name: str, lines: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{lines}\n")
        (folder / name).chmod(0o755)

    command("srun", "exit 0")
    return command


def test_a_job_that_is_queued_is_not_submitted_twice_and_one_that_has_ended_is(cluster, tmp_path: Path, capsys):
    run = RunDirectory(tmp_path / "run")
    run.update_status(state="created")
    cluster("sbatch", f"echo once >> {tmp_path}/submitted; echo Submitted batch job $(wc -l < {tmp_path}/submitted)")
    cluster("sacct", "exit 1")
    for answer, submitted in (("", 1), ("echo PENDING", 1), ("echo RUNNING", 1), ("exit 1", 2)):
        cluster("squeue", answer)
        assert slurm.submit(run, job()) == 0
        assert len((tmp_path / "submitted").read_text().splitlines()) == submitted, answer
    assert run.status()["slurm"]["job_id"] == "2"
    assert "job 1 is pending already" in capsys.readouterr().err


def test_a_job_that_slurm_refuses_is_told_in_its_words_and_leaves_nothing(cluster, tmp_path: Path, capsys):
    cluster("sbatch", "echo 'sbatch: error: invalid partition specified: gpuu' >&2; exit 1")
    run = RunDirectory(tmp_path / "run")
    run.update_status(state="created")
    assert launch(run, job("launch.partition=gpuu")) == 2
    said = capsys.readouterr().err
    assert "invalid partition specified: gpuu" in said and "launch.partition" in said and "Traceback" not in said


def test_a_local_job_that_is_at_work_is_not_started_twice(tmp_path: Path, capsys, monkeypatch):
    pytest.importorskip("submitit", reason="launch=slurm needs submitit: pip install 'facial-r1[slurm]'")
    monkeypatch.setattr(slurm, "_executor", None)
    run = RunDirectory(tmp_path / "run")
    with subprocess.Popen([sys.executable, "-S", "-c", "input()", "submitit"], stdin=subprocess.PIPE) as working:
        run.update_status(state="running", slurm={"job_id": str(working.pid), "executor": "local"})
        assert slurm.submit(run, job("launch.executor=local")) == 0
        working.kill()
    assert f"job {working.pid} is running already" in capsys.readouterr().err
    assert run.state() == "running"


def test_a_task_that_cannot_start_its_ranks_leaves_no_run_that_looks_queued(tmp_path: Path):
    run = RunDirectory(tmp_path / "run")
    run.update_status(state="created")
    run.resolved.write_text("stage: {name: sft}\n")
    with pytest.raises(SystemExit, match="2"):
        slurm.Task(str(run.path))()
    assert (run.state(), run.status()["exit_code"]) == ("failed", 2)


@pytest.mark.slow
def test_a_job_is_stopped_requeued_and_finished(zygote: Zygote, tmp_path: Path):
    pytest.importorskip("submitit", reason="launch=slurm needs submitit: pip install 'facial-r1[slurm]'")
    run = RunDirectory(tmp_path / "run")
    line = [
        "stage=sft", *SMALL, "stage.max_steps=30", "stage.per_device_batch_size=2", "stage.save_steps=100", "stage.evaluate=false",
        "launch=slurm", "launch.executor=local", "launch.processes=1", "launch.distributed=ddp", "launch.device=cpu", "launch.wait=true",
        f"run_dir={run.path}",
    ]  # fmt: skip
    parent = zygote.start(line)
    until(lambda: run.metrics.is_file() and run.metrics.stat().st_size > 0, lambda: zygote.poll(parent.pid) is None)
    controller = psutil.Process(int(run.status()["slurm"]["job_id"]))
    task = next(child for child in controller.children(recursive=True) if "submitit.core._submit" in " ".join(child.cmdline()))
    task.send_signal(signal.SIGUSR1)
    done = parent.wait(200)
    logs = "\n".join(
        path.read_text() for path in sorted((run.logs / "slurm").glob("*.err")) + sorted((run.logs / "slurm").glob("*.out"))
    )
    assert done.code == 0, done.err + logs
    assert run.state() == "finished" and (run.model / "model.safetensors").is_file()
    assert "Requeued job" in logs, logs
    assert "from checkpoint-" in logs, "it began anew"
    assert not with_token(parent.token)
