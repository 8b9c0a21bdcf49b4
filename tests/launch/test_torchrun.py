"""`launch=torchrun`: two CPU ranks, one run directory, no orphan, a summary like that of one rank."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from facial_r1.launch.torchrun import command, environment
from facial_r1.runs import RunDirectory
from tests.command import SMALL, facial_r1, run_directory
from tests.command import command as application
from tests.command import environment as application_environment

TWO_STEPS = ["stage.max_steps=2", "stage.eval_rows=8", "stage.save_steps=1"]
GRPO = ["stage.prompts_per_step=2", "stage.num_generations=2", "stage.max_completion_length=24"]


def job(*overrides: str):
    return validate(plain(compose_tree(["launch=torchrun", *overrides])))


def test_the_ranks_run_the_worker_only():
    line = command(RunDirectory(Path("/runs/x")), job("launch.processes=2"))
    assert line[1:] == [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "--module",
        "facial_r1.worker",
        "/runs/x",
    ]


def test_a_foreign_launcher_is_not_inherited():
    env = environment(job(), {"RANK": "1", "MASTER_PORT": "29500", "HOME": "/root"})
    assert "RANK" not in env and "MASTER_PORT" not in env and env["HOME"] == "/root"


@pytest.mark.slow
@pytest.mark.parametrize("distributed", ["ddp", "zero3"])
@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_two_ranks_make_one_run_directory(stage, distributed, tmp_path, face_cache, cold_start):
    extra = [*GRPO, f"init_from={cold_start}"] if stage == "grpo" else ["stage.per_device_batch_size=4"]
    done = facial_r1(
        f"stage={stage}", "launch=torchrun", "launch.processes=2", f"launch.distributed={distributed}", "launch.device=cpu",
        *SMALL, *TWO_STEPS, *extra, f"output_root={tmp_path}", cache=face_cache, timeout=600,
    )  # fmt: skip
    run = run_directory(done)
    assert [path.name for path in tmp_path.iterdir()] == [run.name]
    assert RunDirectory(run).state() == "finished"
    assert (run / "model" / "model.safetensors").is_file()
    assert sorted(path.name for path in (run / "logs").iterdir()) == ["rank0.log", "rank1.log"]
    assert json.loads((run / "summary.json").read_text())["rows"] == 8


@pytest.mark.slow
def test_zero2_on_two_ranks(tmp_path, face_cache, cold_start):
    done = facial_r1(
        "stage=grpo", "launch=torchrun", "launch.processes=2", "launch.distributed=zero2", "launch.device=cpu", *SMALL, *GRPO,
        "stage.max_steps=1", "stage.evaluate=false", f"init_from={cold_start}", f"output_root={tmp_path}", cache=face_cache, timeout=600,
    )  # fmt: skip
    run = run_directory(done)
    assert RunDirectory(run).state() == "finished"
    assert (run / "model" / "model.safetensors").is_file()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 1


@pytest.mark.slow
def test_evaluation_does_not_depend_on_the_number_of_ranks(tmp_path, face_cache, cold_start):
    common = ["stage=eval", f"init_from={cold_start}", *SMALL]
    one = run_directory(facial_r1(*common, f"output_root={tmp_path}/one", cache=face_cache))
    two = run_directory(
        facial_r1(*common, "launch=torchrun", "launch.device=cpu", f"output_root={tmp_path}/two", cache=face_cache)
    )
    texts = [{row["id"]: row["completion"] for row in map(json.loads, (run / "samples.jsonl").open())} for run in (one, two)]
    assert texts[0] == texts[1]
    assert json.loads((one / "summary.json").read_text())["metrics"] == json.loads((two / "summary.json").read_text())["metrics"]


@pytest.mark.slow
def test_sigterm_leaves_no_rank_behind_and_the_run_resumable(tmp_path, face_cache):
    line = [
        "stage=sft", "launch=torchrun", "launch.device=cpu", *SMALL, "stage.max_steps=400", "stage.per_device_batch_size=4",
        "stage.evaluate=false", f"run_dir={tmp_path}/run",
    ]  # fmt: skip
    parent = subprocess.Popen(
        application(*line), env=application_environment(face_cache), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    run = RunDirectory(tmp_path / "run")
    wait_for(lambda: run.metrics.is_file() and run.metrics.stat().st_size > 0, parent)
    family = psutil.Process(parent.pid).children(recursive=True)
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(timeout=60) == 128 + signal.SIGTERM
    _, alive = psutil.wait_procs(family, timeout=15)
    assert not alive, alive
    assert run.state() == "interrupted"
    assert list(run.checkpoints.glob("checkpoint-*/trainer_state.json")), "no checkpoint was written on the way out"


def wait_for(condition, process: subprocess.Popen, seconds: float = 180) -> None:
    """Wait until `condition` holds; fail when the process ends first or the time is up."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended with {process.returncode} before it came to this"
        assert time.monotonic() < end, "took too long"
        time.sleep(0.05)
