"""Run directories: names, states, lineage."""

from __future__ import annotations

import pytest

from facial_r1 import runs
from facial_r1.errors import InputError
from facial_r1.runs import RunDirectory

TREE = {"stage": {"name": "sft"}, "output_root": "x", "seed": 0, "launch": {"processes": 1, "distributed": "none"}}


def make(root, name, stage, state, ended="2026-01-01T00:00:00+00:00", model=True):
    run = RunDirectory(root / name)
    runs.create(run, "a: 1\n", stage, None, [])
    if model:
        run.model.mkdir()
    run.update_status(state=state, ended=ended)
    return run


def test_the_same_configuration_has_the_same_directory(tmp_path):
    tree = {**TREE, "output_root": str(tmp_path)}
    assert runs.directory_for(tree) == runs.directory_for({**tree, "tracker": {"name": "wandb"}, "resume": "auto"})


def test_another_seed_has_another_directory(tmp_path):
    tree = {**TREE, "output_root": str(tmp_path)}
    assert runs.directory_for(tree) != runs.directory_for({**tree, "seed": 1})


def test_resume_never_takes_a_new_directory(tmp_path):
    tree = {**TREE, "output_root": str(tmp_path)}
    first = runs.directory_for(tree)
    first.path.mkdir()
    assert runs.directory_for(tree, fresh=True).path.name == f"{first.path.name}-2"


def test_a_foreign_folder_is_not_taken_over(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(InputError, match="no run directory"):
        runs.create(RunDirectory(tmp_path / "thesis"), "", "sft", None, [])


def test_latest_takes_the_newest_finished_run_of_the_stage_before(tmp_path):
    make(tmp_path, "old", "sft", "finished", "2026-01-01T00:00:00+00:00")
    wanted = make(tmp_path, "new", "sft", "finished", "2026-02-01T00:00:00+00:00")
    make(tmp_path, "newest", "sft", "failed", "2026-03-01T00:00:00+00:00")
    assert runs.latest(tmp_path, runs.STAGE_BEFORE["grpo"]) == wanted


def test_a_failed_run_gives_no_weights_and_says_why(tmp_path):
    run = make(tmp_path, "bad", "sft", "failed")
    run.update_status(reason="out of memory")
    with pytest.raises(InputError, match="failed: out of memory"):
        runs.model_of(run)


def test_the_chain_grows_with_each_run(tmp_path):
    first = make(tmp_path, "a", "sft", "finished")
    second = RunDirectory(tmp_path / "b")
    runs.create(second, "", "grpo", first.path, runs.chain_of(first))
    assert [link["stage"] for link in runs.chain_of(second)] == ["sft", "grpo"]


def test_a_refused_run_leaves_nothing(tmp_path):
    run = RunDirectory(tmp_path / "r")
    runs.create(run, "", "sft", None, [])
    runs.remove_if_unused(run)
    assert not run.path.exists()


def test_a_run_with_a_checkpoint_is_kept(tmp_path):
    run = RunDirectory(tmp_path / "r")
    runs.create(run, "", "sft", None, [])
    run.checkpoints.mkdir()
    runs.remove_if_unused(run)
    assert run.path.exists()
