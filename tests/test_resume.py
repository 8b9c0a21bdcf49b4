"""`kill -9` in the middle of each stage, then the same command: it continues and ends where it would have ended."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from facial_r1.runs import RunDirectory
from tests.command import SMALL, command, environment, facial_r1, run_directory
from tests.launch.test_torchrun import wait_for

pytestmark = pytest.mark.slow


def killed(line: list[str], cache: Path, moment: Callable[[], bool]) -> None:
    """Start the command and kill it with SIGKILL as soon as `moment` has come."""
    process = subprocess.Popen(command(*line), env=environment(cache), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(moment, process)
    finally:
        process.kill()
        process.wait()
    folder = next(item.removeprefix("run_dir=") for item in line if item.startswith("run_dir="))
    assert RunDirectory(Path(folder)).state() == "running", "it had ended before it could be killed"


def same_weights(one: Path, two: Path) -> bool:
    first, second = load_file(one / "model" / "model.safetensors"), load_file(two / "model" / "model.safetensors")
    return first.keys() == second.keys() and all((first[name] == second[name]).all() for name in first)


def steps_of(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_sft_ends_with_the_weights_of_an_uninterrupted_run(tmp_path, face_cache):
    line = [
        "stage=sft",
        *SMALL,
        "stage.per_device_batch_size=4",
        "stage.max_steps=24",
        "stage.save_steps=4",
        "stage.evaluate=false",
    ]
    straight = run_directory(facial_r1(*line, f"run_dir={tmp_path}/straight", cache=face_cache))
    cut = RunDirectory(tmp_path / "cut")
    line.append(f"run_dir={cut.path}")
    killed(line, face_cache, lambda: (cut.checkpoints / "checkpoint-8").is_dir())
    assert cut.state() == "running"
    assert run_directory(facial_r1(*line, cache=face_cache)) == cut.path
    assert same_weights(straight, cut.path)
    assert steps_of(cut.path) == list(range(1, 25))


def test_grpo_ends_with_the_weights_of_an_uninterrupted_run(tmp_path, face_cache, cold_start):
    line = [
        "stage=grpo", f"init_from={cold_start}", *SMALL, "stage.max_steps=8", "stage.save_steps=2", "stage.prompts_per_step=2",
        "stage.num_generations=4", "stage.max_completion_length=48", "stage.evaluate=false",
    ]  # fmt: skip
    straight = run_directory(facial_r1(*line, f"run_dir={tmp_path}/straight", cache=face_cache))
    cut = RunDirectory(tmp_path / "cut")
    line.append(f"run_dir={cut.path}")
    killed(line, face_cache, lambda: (cut.checkpoints / "checkpoint-4").is_dir())
    assert run_directory(facial_r1(*line, cache=face_cache)) == cut.path
    assert same_weights(straight, cut.path)
    assert steps_of(cut.path) == list(range(1, 9))


def test_ctrl_c_leaves_a_checkpoint_and_the_same_command_goes_on(tmp_path, face_cache):
    run = RunDirectory(tmp_path / "run")
    line = [
        "stage=sft", *SMALL, "stage.per_device_batch_size=4", "stage.max_steps=24", "stage.save_steps=100", "stage.evaluate=false",
        f"run_dir={run.path}",
    ]  # fmt: skip
    process = subprocess.Popen(
        command(*line), env=environment(face_cache), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: run.metrics.is_file() and len(run.metrics.read_text().splitlines()) >= 2, process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, said[-2000:]
    assert "stopping after this step, with a checkpoint" in said and "Traceback" not in said
    assert run.state() == "interrupted"
    assert len(list(run.checkpoints.glob("checkpoint-*/trainer_state.json"))) == 1
    assert run_directory(facial_r1(*line, cache=face_cache)) == run.path
    assert run.state() == "finished" and steps_of(run.path) == list(range(1, 25))


def test_synthesis_writes_every_row_once(tmp_path, face_cache, cold_start):
    run = RunDirectory(tmp_path / "run")
    line = ["stage=synthesis", f"init_from={cold_start}", *SMALL, "stage.attempts=2", "stage.chunk=4", f"run_dir={run.path}"]
    journal = run.path / "written.rank0.jsonl"
    killed(line, face_cache, lambda: journal.is_file() and journal.stat().st_size > 0)
    before = {json.loads(text)["id"] for text in journal.read_text().splitlines() if text.endswith("}")}
    run_directory(facial_r1(*line, cache=face_cache))
    written = [json.loads(text)["id"] for text in journal.read_text().splitlines() if text]
    assert len(written) == len(set(written)) == 24 and before <= set(written)
    kept = (run.path / "accepted.jsonl").read_text().splitlines()
    refused = (run.path / "rejected.jsonl").read_text().splitlines()
    assert len(kept) + len(refused) == 24


def test_evaluation_generates_only_what_is_missing(tmp_path, face_cache, cold_start):
    run = RunDirectory(tmp_path / "run")
    line = ["stage=eval", f"init_from={cold_start}", *SMALL, "stage.chunk=2", "generation.batch_size=2", f"run_dir={run.path}"]
    answers = run.path / "answers.rank0.jsonl"
    killed(line, face_cache, lambda: answers.is_file() and answers.stat().st_size > 0)
    run_directory(facial_r1(*line, cache=face_cache))
    ids = [json.loads(text)["id"] for text in answers.read_text().splitlines() if text.endswith("}")]
    assert len(ids) == len(set(ids)) == 16
    assert len((run.path / "samples.jsonl").read_text().splitlines()) == 16


def test_a_finished_run_is_not_run_again(tmp_path, face_cache, cold_start):
    line = ["stage=eval", f"init_from={cold_start}", *SMALL, f"run_dir={tmp_path}/run"]
    first = run_directory(facial_r1(*line, cache=face_cache))
    stamp = (first / "samples.jsonl").stat().st_mtime_ns
    done = facial_r1(*line, cache=face_cache)
    assert run_directory(done) == first and "finished already" in done.stderr
    assert (first / "samples.jsonl").stat().st_mtime_ns == stamp


def test_changed_data_is_not_mixed_into_a_cut_off_run(tmp_path, face_cache):
    rows = [{"id": str(n), "dataset": "d", "image": "a.png", "question": "", "AUs": ["AU12"], "labels": ["happiness"],
             "description": "<think>Up (AU12).</think><answer>happiness</answer>", "meta_info": {}} for n in range(8)]  # fmt: skip
    from PIL import Image

    Image.new("RGB", (112, 112)).save(tmp_path / "a.png")
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = RunDirectory(tmp_path / "run")
    line = [
        "stage=sft", "data=jsonl", f"data.files=[{file}]", f"data.images=[{tmp_path}]", "stage.evaluate=false", "stage.max_steps=400",
        "stage.save_steps=1", f"run_dir={run.path}",
    ]  # fmt: skip
    killed(line, face_cache, lambda: (run.checkpoints / "checkpoint-2").is_dir())
    file.write_text("".join(json.dumps({**row, "labels": ["anger"]}) + "\n" for row in rows))
    done = facial_r1(*line, cache=face_cache)
    assert done.returncode == 2 and "the data changed" in done.stderr, done.stderr
    assert run.checkpoints.is_dir()


def test_a_pipeline_goes_on_in_the_step_that_was_cut_off(tmp_path, face_cache):
    run = RunDirectory(tmp_path / "run")
    line = [
        "stage=pipeline", *SMALL, "stage.sft.epochs=6", "stage.sft.per_device_batch_size=4", "stage.sft.save_steps=4",
        "stage.grpo.max_steps=1", "stage.grpo.prompts_per_step=2", "stage.grpo.num_generations=2", "stage.synthesis.attempts=1",
        "stage.resft.epochs=1", f"run_dir={run.path}",
    ]  # fmt: skip
    killed(line, face_cache, lambda: (run.path / "02_sft" / "checkpoints" / "checkpoint-4").is_dir())
    base = (run.path / "01_base" / "summary.json").stat().st_mtime_ns
    run_directory(facial_r1(*line, cache=face_cache, timeout=600))
    assert (run.path / "01_base" / "summary.json").stat().st_mtime_ns == base, "a finished step was run again"
    assert steps_of(run.path / "02_sft") == sorted(set(steps_of(run.path / "02_sft")))
    assert list(run.read_summary()["models"]) == ["base", "sft", "grpo", "synthesis"]
