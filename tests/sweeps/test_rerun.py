"""`rerun=<run>`: a past run again, from its resolved.yaml."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from facial_r1.runs import RunDirectory
from tests.sweeps.test_run import refused


@pytest.fixture
def past(sweep, tmp_path) -> Path:
    """A finished run, in a place of its own."""
    done = sweep(f"run_dir={tmp_path}/past", "seed=3", "tracker.project=then", multirun=False)
    assert done.code == 0, done.err
    return done.folder


def test_it_repeats_the_run_in_a_directory_of_its_own(sweep, past):
    again = sweep(f"rerun={past}", multirun=False, shared=False)
    assert again.folder != past and again.folder.name.startswith("eval-")
    then, now = (yaml.safe_load((folder / "resolved.yaml").read_text()) for folder in (past, again.folder))
    assert {**then, "run_dir": None} == now
    assert RunDirectory(again.folder).status()["rerun_of"] == str(past)
    assert RunDirectory(again.folder).read_summary()["metrics"] == RunDirectory(past).read_summary()["metrics"]


def test_the_same_again_is_finished_already(sweep, past):
    first = sweep(f"rerun={past}", multirun=False, shared=False)
    second = sweep(f"rerun={past}", multirun=False, shared=False)
    assert second.folder == first.folder and "finished already" in second.err
    third = sweep(f"rerun={past}", "resume=never", multirun=False, shared=False)
    assert third.folder.name == f"{first.folder.name}-2"


def test_settings_and_choices_go_on_top(sweep, past):
    again = sweep(f"rerun={past}/resolved.yaml", "seed=4", "prompt=facial_r1", "stage.resamples=7", multirun=False, shared=False)
    said = yaml.safe_load((again.folder / "resolved.yaml").read_text())
    assert (said["seed"], said["stage"]["resamples"], said["prompt"]["name"]) == (4, 7, "facial_r1")


def test_what_is_edited_in_conf_does_not_reach_it(sweep, past):
    """It is not composed anew: what the file of then says holds, also where today's YAML says something else."""
    file = past / "resolved.yaml"
    said = yaml.safe_load(file.read_text())
    said["prompt"]["instruction"] = "The question of then."
    del said["stage"]["tag_required"]  # as of a version that did not have the key
    file.write_text(yaml.safe_dump(said))
    again = sweep(f"rerun={past}", "stage.tag_required=false", multirun=False, shared=False)
    now = yaml.safe_load((again.folder / "resolved.yaml").read_text())
    assert now["prompt"]["instruction"] == "The question of then." and now["stage"]["tag_required"] is False


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (["stage.resampls=1"], ["stage.resampls", "did you mean 'resamples'"]),
        (["stage=sft"], ["stage=sft", "keeps its stage", "init_from="]),
        (["experiment=unifer/eval"], ["keeps its experiment"]),
        (["stage.resamples=-1"], ["stage.resamples=-1"]),
    ],
)
def test_what_does_not_fit_is_refused(sweep, past, settings, parts):
    refused(sweep(f"rerun={past}", *settings, multirun=False, shared=False), *parts)


def test_a_folder_that_is_no_run_is_refused(sweep, tmp_path):
    refused(sweep(f"rerun={tmp_path}", multirun=False, shared=False), "no run directory")


def test_moved_data_are_named_and_may_be_given_anew(sweep, past, answers, tmp_path):
    file = past / "resolved.yaml"
    file.write_text(file.read_text().replace(str(answers), "/gone/mine"))
    refused(
        sweep(f"rerun={past}", multirun=False, shared=False), "data.test_files=/gone/mine/rows.jsonl", "data.test_files=<place>"
    )
    places = [
        f"data.test_files=[{answers}/rows.jsonl]",
        f"data.test_images=[{answers}]",
        f"stage.predictions={answers}/answers.jsonl",
    ]
    assert sweep(f"rerun={past}", *places, multirun=False, shared=False).code == 0


def test_changed_data_and_changed_code_are_said(sweep, past, answers, tmp_path):
    status = json.loads((past / "status.json").read_text())
    status["version"] = {"package": "0.0.1", "git": "abc"}
    (past / "status.json").write_text(json.dumps(status))
    shutil.copytree(answers, tmp_path / "moved")
    rows = (tmp_path / "moved/rows.jsonl").read_text()
    (tmp_path / "moved/rows.jsonl").write_text(rows.replace('"AU12"', '"AU4"', 1))
    again = sweep(f"rerun={past}", f"data.test_files=[{tmp_path}/moved/rows.jsonl]", multirun=False, shared=False)
    assert "package 0.0.1 then" in again.err and "the data are not the same" in again.err


def test_a_sweep_over_a_past_run(sweep, past):
    done = sweep(f"rerun={past}", "sweep.name=again", "seed=1,2", shared=False)
    assert done.states() == ["finished"] * 2 and f"rerun={past}" in done.table()[0]["command"]
    said = yaml.safe_load((done.folder / "seed=2/resolved.yaml").read_text())
    assert (said["seed"], said["tracker"]["project"]) == (2, "then")
    assert sweep(f"rerun={past}", "sweep.name=again", "seed=1,2", shared=False).started == 0


def test_secrets_and_ids_of_dashboards_stay_behind(sweep, tmp_path, monkeypatch):
    monkeypatch.setenv("REPEATED_SECRET", "hunter2")
    done = sweep(f"run_dir={tmp_path}/past", "tracker.entity=${oc.env:REPEATED_SECRET}", multirun=False)
    (done.folder / "wandb").mkdir()
    (done.folder / "wandb/run_id").write_text("abc123")
    monkeypatch.setenv("REPEATED_SECRET", "hunter3")
    again = sweep(f"rerun={done.folder}", "seed=9", multirun=False, shared=False)
    files = [file.read_bytes() for file in again.folder.rglob("*") if file.is_file()]
    assert not any(b"hunter" in text or b"abc123" in text for text in files)


def test_naming_two_runs_is_refused(sweep, past):
    refused(sweep(f"rerun={past}", f"rerun={past}", multirun=False, shared=False), "given 2 times")
