"""A sweep from its command to its table, and the same command again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from facial_r1.sweeps.journal import Journal
from tests.command import ROOT, command
from tests.sweeps.conftest import acting

SIX = "seed=1,2,3,4,5,6"


def refused(outcome, *parts):
    assert outcome.code == 2 and "Traceback" not in outcome.err, outcome.err
    for part in parts:
        assert part in outcome.err, f"{part!r} is not in:\n{outcome.err}"


# --- the folder, and the same command again ----------------------------------------------------------------------


def test_a_finished_sweep_prints_its_table_at_once(sweep, tmp_path):
    first = sweep("sweep.name=x", "seed=1,2,3")
    assert first.folder == tmp_path / "out/sweeps/x" and first.states() == ["finished"] * 3 and first.started == 3
    assert sorted(path.name for path in first.folder.iterdir() if path.is_dir()) == ["seed=1", "seed=2", "seed=3"]
    before = first.table()
    again = sweep("sweep.name=x", "seed=1,2,3")
    assert (again.code, again.started) == (0, 0) and again.table() == before


def test_without_a_name_the_same_command_finds_its_folder_whatever_says_how_it_runs(sweep):
    first = sweep("seed=1,2")
    again = sweep("seed=1,2", "sweep.retry=true", "sweep.on_failure=stop")
    assert first.folder == again.folder and again.started == 0 and first.folder.name.startswith("eval-")


def test_a_sweep_grows_and_keeps_its_earlier_jobs_in_the_table(sweep):
    sweep("sweep.name=x", "seed=1,2")
    grown = sweep("sweep.name=x", "seed=2,3")
    assert grown.started == 1
    assert sorted(row["seed"] for row in grown.table()) == ["1", "2", "3"]


def test_a_sweep_setting_changes_no_job(sweep):
    """Neither `resolved.yaml` nor the identity of a job says how its sweep was run."""
    one = sweep("sweep.name=x", "seed=1,2")
    job = yaml.safe_load((one.folder / "seed=1/resolved.yaml").read_text())
    assert "sweep" not in job and "hydra" not in job and job["seed"] == 1


def test_zipped_points_multiply_with_swept_keys(sweep):
    done = sweep(
        "sweep.name=x", "sweep.points=[{stage.resamples: 5, run_name: a},{stage: {resamples: 6}, run_name: b}]", "seed=1,2"
    )
    found = [(row["stage.resamples"], row["run_name"], row["seed"]) for row in done.table()]
    assert found == [("5", "a", "1"), ("5", "a", "2"), ("6", "b", "1"), ("6", "b", "2")]
    assert json.loads((done.folder / "sweep.json").read_text())["jobs"][0]["name"] == "stage.resamples=5,run_name=a,seed=1"


def test_the_command_of_a_row_runs_that_job_alone(sweep):
    done = sweep("sweep.name=x", "seed=1,2")
    import shlex

    from facial_r1.app import main

    line = shlex.split(done.table()[1]["command"])
    assert line[:3] == ["python", "-m", "facial_r1"] and "seed=2" in line
    assert main(line[3:]) == 0, "it finds its own finished run"


def test_a_pinned_start_is_the_same_for_all_jobs(tmp_path):
    """init_from=latest is settled once, so that a run that finishes meanwhile does not become the start of later jobs."""
    from facial_r1.runs import RunDirectory, create
    from facial_r1.sweeps.snapshot import Job, pinned

    def start(name: str, ended: str) -> str:
        run = RunDirectory(tmp_path / name)
        create(run, "", "grpo", None, [])
        run.update_status(state="finished", ended=ended)
        return str(run.path)

    def tree(**more: object) -> dict[str, object]:
        return {"stage": {"name": "eval"}, "output_root": str(tmp_path), "init_from": "latest", **more}

    old = start("old", "2026-01-01")
    begun = pinned([Job("a", (), tree(), "d", "i")])
    assert begun[0].tree["init_from"] == old
    start("new", "2026-02-01")
    later = pinned([*begun, Job("b", (), tree(), "d", "i")])
    assert [job.tree["init_from"] for job in later] == [old, old]


# --- failures ----------------------------------------------------------------------------------------------------


def test_a_failed_job_is_reported_and_the_others_run(sweep, failing):
    failing(2)
    done = sweep("sweep.name=x", "seed=1,2,3")
    assert (done.code, done.states()) == (1, ["finished", "failed", "finished"])
    assert done.table()[1]["reason"] == "RuntimeError: made to fail"


def test_stop_starts_no_further_job(sweep, failing):
    failing(2)
    done = sweep("sweep.name=x", "seed=1,2,3", "sweep.on_failure=stop")
    assert (done.code, done.states()) == (1, ["finished", "failed", "not run"])


def test_failed_jobs_are_run_again_on_request_only(sweep, failing):
    failing(2)
    sweep("sweep.name=x", "seed=1,2,3")
    failing()
    waiting = sweep("sweep.name=x", "seed=1,2,3")
    assert (waiting.code, waiting.started) == (1, 0) and "sweep.retry=true" in waiting.err
    done = sweep("sweep.name=x", "seed=1,2,3", "sweep.retry=true")
    assert (done.code, done.started, done.states()) == (0, 1, ["finished"] * 3)


def test_a_refused_job_is_looked_at_again(sweep, answers, tmp_path):
    few = tmp_path / "few.jsonl"
    few.write_text("".join((answers / "answers.jsonl").read_text().splitlines(keepends=True)[:3]))
    points = f"sweep.points=[{{seed: 1}},{{seed: 2, stage.predictions: '{few}'}}]"
    bad = sweep("sweep.name=x", points)
    assert (bad.code, bad.states()) == (2, ["finished", "refused"]) and "have no answer" in bad.table()[1]["reason"]
    few.write_text((answers / "answers.jsonl").read_text())
    good = sweep("sweep.name=x", points)
    assert (good.code, good.started, good.states()) == (0, 1, ["finished"] * 2)


def test_changed_answers_are_scored_anew_beside_the_old_run(sweep, answers, tmp_path):
    file = tmp_path / "given.jsonl"
    file.write_text((answers / "answers.jsonl").read_text())
    sweep("sweep.name=x", "seed=1,2", f"stage.predictions={file}")
    file.write_text(file.read_text().replace("sadness", "fear"))
    done = sweep("sweep.name=x", "seed=1,2", f"stage.predictions={file}")
    assert done.started == 2 and [Path(row["run"]).name for row in done.table()] == ["seed=1-2", "seed=2-2"]
    assert sweep("sweep.name=x", "seed=1,2", f"stage.predictions={file}").started == 0


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (["sweep.lobs=2"], ["sweep.lobs", "did you mean 'jobs'"]),
        (["+sweep.lobs=2"], ["sweep.lobs", "did you mean 'jobs'"]),
        (["sweep.on_failure=halt"], ["sweep.on_failure=halt", "continue, stop"]),
        (["sweep.name=a/b"], ["name=a/b", "a folder name"]),
        (["sweep.jobs=1,2"], ["take one value"]),
        (["sweep.points=[]"], ["no point to run"]),
        (["stage.resamples=1,-1"], ["sweep point seed=1 stage.resamples=-1"]),
        (["hydra/launcher=nothing"], ["hydra/launcher=nothing", "sweep.jobs="]),
    ],
)
def test_what_is_wrong_is_refused_before_the_first_job(sweep, tmp_path, settings, parts):
    refused(sweep("seed=1,2", *settings), *parts)
    assert not (tmp_path / "out").exists()


def test_settings_of_a_sweep_need_m(sweep):
    refused(sweep("sweep.jobs=2", multirun=False), "put -m")


def test_resume_never_does_not_begin_a_sweep_anew(sweep):
    sweep("sweep.name=x", "seed=1")
    refused(sweep("sweep.name=x", "seed=1", "resume=never"), "sweep.name=")


# --- drift -------------------------------------------------------------------------------------------------------


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """A folder of options of one's own: `prompt=mine`."""
    folder = tmp_path / "mine"
    (folder / "prompt").mkdir(parents=True)
    (folder / "prompt/mine.yaml").write_text((ROOT / "conf/prompt/brief.yaml").read_text())
    return folder


def edit(overlay: Path) -> None:
    file = overlay / "prompt/mine.yaml"
    text = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**text, "instruction": "Another question. " + text["instruction"]}))


def test_an_edited_yaml_is_noticed(sweep, overlay):
    settings = ["--config-dir", str(overlay), "sweep.name=x", "prompt=mine", "seed=1,2"]
    sweep(*settings)
    edit(overlay)
    refused(sweep(*settings), "seed=1 (and 1 other jobs)", "prompt.instruction:", "sweep.drift=allow", "sweep.name=")


def test_allowed_drift_keeps_what_is_finished_and_runs_the_rest_anew(sweep, overlay, failing):
    settings = ["--config-dir", str(overlay), "sweep.name=x", "prompt=mine", "seed=1,2"]
    failing(2)
    sweep(*settings)
    failing()
    edit(overlay)
    done = sweep(*settings, "sweep.drift=allow")
    assert done.started == 1 and [Path(row["run"]).name for row in done.table()] == ["seed=1", "seed=2-2"]
    assert "ran with other settings: prompt.instruction" in done.table()[0]["reason"]


def test_settings_that_change_no_result_are_no_drift(sweep):
    sweep("sweep.name=x", "seed=1")
    assert sweep("sweep.name=x", "seed=1", "tracker.project=other").code == 0


def test_a_yaml_edited_while_a_sweep_runs_changes_no_job_of_it(sweep, overlay, monkeypatch):
    import facial_r1.stages as stages

    real, seen = stages.run_stage, []

    def run_stage(context):  # type: ignore[no-untyped-def]
        seen.append(context.job.prompt.instruction)
        edit(overlay)
        return real(context)

    monkeypatch.setattr(stages, "run_stage", run_stage)
    sweep("--config-dir", str(overlay), "sweep.name=x", "prompt=mine", "seed=1,2,3")
    assert len(seen) == 3 and len(set(seen)) == 1


def test_values_from_the_environment_are_not_written_down(sweep, monkeypatch):
    monkeypatch.setenv("SWEEP_SECRET", "hunter2")
    done = sweep("sweep.name=x", "seed=1,2", "tracker.entity=${oc.env:SWEEP_SECRET}")
    assert done.code == 0
    written = [file for file in done.folder.rglob("*") if file.is_file() and b"hunter2" in file.read_bytes()]
    assert not written


# --- hydra.sweeper.params ----------------------------------------------------------------------------------------


def test_a_sweep_of_an_experiment_file_is_respected_and_the_command_line_wins(sweep, tmp_path):
    folder = tmp_path / "mine/experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: 1,2\n      run_name: choice(a,b)\n"
    )
    done = sweep("--config-dir", str(tmp_path / "mine"), "experiment=mine", "seed=4")
    assert [row["run_name"] for row in done.table()] == ["a", "b"] and "seed" not in done.table()[0]


# --- crashes, locks, signals -------------------------------------------------------------------------------------


def start(common, env, *settings):
    return subprocess.Popen(
        command("-m", *common, *settings), cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def running(folder: Path, count: int) -> list[psutil.Process]:
    """The processes of `count` jobs, once they are all at work."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        status = [json.loads(file.read_text()) for file in folder.glob("*/status.json")]
        found = [one["process"]["pid"] for one in status if one.get("state") == "running"]
        if len(found) == count:
            return [psutil.Process(pid) for pid in found]
        time.sleep(0.05)
    raise AssertionError(f"{count} jobs did not start below {folder}")


def test_killed_after_two_of_six_jobs_the_same_command_runs_exactly_four(sweep, common, tmp_path):
    dead = start(common, acting({"3": "kill"}), "sweep.name=x", SIX)
    dead.communicate()
    assert dead.returncode == -signal.SIGKILL
    assert len(Journal(tmp_path / "out/sweeps/x/jobs.jsonl").events()) == 5, "two began and ended, the third only began"
    done = sweep("sweep.name=x", SIX)
    assert (done.code, done.started, done.states()) == (0, 4, ["finished"] * 6)


def test_several_jobs_at_a_time_give_the_same_table_each_on_its_own_gpu(sweep, monkeypatch):
    """On two make-believe GPUs: the third job gets the one that is free first, and the journal says which."""

    def figures(outcome):
        return [{key: value for key, value in row.items() if key not in ("seconds", "run", "command")} for row in outcome.table()]

    one = sweep("sweep.name=one", "seed=1,2,3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    two = sweep("sweep.name=two", "seed=1,2,3", "sweep.jobs=2")
    assert two.code == 0 and figures(one) == figures(two)
    assert (two.folder / "logs/seed=1.log").read_text().count("facial_r1: eval:") >= 2
    given = [event["gpus"] for event in Journal(two.folder / "jobs.jsonl").events() if event["event"] == "started"]
    assert given[:2] == ["5", "7"] and given[2] in ("5", "7")


def test_a_signal_to_a_pool_stops_its_jobs_and_the_same_command_goes_on(sweep, common, tmp_path):
    folder = tmp_path / "out/sweeps/x"
    parent = start(common, acting({"1": "wait", "2": "wait"}), "sweep.name=x", "seed=1,2,3", "sweep.jobs=2")
    jobs = running(folder, 2)
    parent.send_signal(signal.SIGTERM)
    out, err = parent.communicate(timeout=60)
    assert parent.returncode == 143, err
    assert not any(job.is_running() for job in jobs)
    assert out.strip() == f"run: {folder}" and "not run" in err, "the table says what has not run"
    done = sweep("sweep.name=x", "seed=1,2,3")
    assert (done.code, done.started) == (0, 3)


@pytest.mark.parametrize("how", ["SIGINT twice", "SIGKILL"])
def test_jobs_that_do_not_listen_do_not_outlive_the_pool(common, tmp_path, how):
    parent = start(common, acting({"1": "deaf", "2": "deaf"}), "sweep.name=x", "seed=1,2", "sweep.jobs=2")
    jobs = running(tmp_path / "out/sweeps/x", 2)
    if how == "SIGKILL":
        parent.kill()
    else:
        parent.send_signal(signal.SIGINT)
        time.sleep(0.3)
        parent.send_signal(signal.SIGINT)
    parent.communicate(timeout=60)
    _gone, alive = psutil.wait_procs(jobs, timeout=20)
    assert not alive, f"{how}: left behind {alive}"


def test_two_parents_of_one_sweep_are_refused_and_a_dead_one_holds_no_lock(sweep, tmp_path):
    folder = tmp_path / "out/sweeps/x"
    code = (
        f"from pathlib import Path\nfrom facial_r1.locks import held\nwith held(Path({str(folder / '.lock')!r})):\n"
        "    print('held', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    refused(sweep("sweep.name=x", "seed=1"), f"process {other.pid}", "sweep.name=")
    other.kill()
    other.wait()
    assert sweep("sweep.name=x", "seed=1").code == 0


# --- what it costs -----------------------------------------------------------------------------------------------


def test_skipping_a_finished_job_composes_nothing_and_takes_milliseconds(sweep, monkeypatch):
    from facial_r1.sweeps import trees

    calls = []
    real = trees.compose_tree
    spent = {}
    for count in (1, 11):
        settings = [f"sweep.name=of_{count}", f"seed=range(0,{count})", "stage.resamples=0"]
        sweep(*settings)
        monkeypatch.setattr(trees, "compose_tree", lambda *given, **named: (calls.append(given), real(*given, **named))[1])
        before = time.process_time()
        assert sweep(*settings).started == 0
        spent[count] = time.process_time() - before
        assert len(calls) <= 1, "the sweep's own settings"
        calls.clear()
        monkeypatch.setattr(trees, "compose_tree", real)
    assert (spent[11] - spent[1]) / 10 < 0.05, f"{spent}"
