"""What a pipeline writes for its steps."""

from __future__ import annotations

import copy

import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import load_resolved, plain, resolved_yaml
from facial_r1.config.validation import validate
from facial_r1.errors import InputError
from facial_r1.interruption import StopRequest
from facial_r1.runs import RunDirectory
from facial_r1.stages import pipeline
from facial_r1.stages.context import Context
from facial_r1.stages.pipeline import _resolved


def test_a_step_keeps_values_from_the_environment_unresolved(tmp_path, monkeypatch):
    monkeypatch.setenv("PLANTED_SECRET", "hunter2")
    tree = compose_tree(["stage=pipeline", "tracker.entity=${oc.env:PLANTED_SECRET}"])
    run = RunDirectory(tmp_path)
    run.resolved.write_text(resolved_yaml(tree))
    job = copy.deepcopy(validate(plain(tree)))
    job.stage, job.init_from, job.data.amount = job.stage.grpo, "earlier", 64
    text = _resolved(Context(run, job, StopRequest()), job)
    assert "hunter2" not in text
    (tmp_path / "step.yaml").write_text(text)
    step = validate(load_resolved(tmp_path / "step.yaml"))
    assert step == job


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["stage.steps=[sft,sft]"], "named twice"),
        (["stage.steps=[base]"], "nothing would be trained"),
        (["stage.steps=[]"], "nothing would be trained"),
        (["stage.steps=[sft,grpo]", "stage.rounds=2"], "needs the step synthesis"),
        (["stage.steps=[sft,gprr]"], "gprr"),
    ],
)
def test_steps_that_make_no_pipeline_are_refused(overrides, text):
    with pytest.raises(InputError, match=text):
        validate(plain(compose_tree(["stage=pipeline", *overrides])))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], "base, SFT, then 1 round of GRPO, synthesis, SFT"),
        (["stage.rounds=3"], "base, SFT, then 3 rounds of GRPO, synthesis, SFT"),
        (["stage.steps=[sft,grpo]"], "SFT, then 1 round of GRPO"),
        (["stage.steps=[sft]"], "SFT"),
    ],
)
def test_the_outline_names_the_steps(overrides, words):
    assert validate(plain(compose_tree(["stage=pipeline", *overrides]))).stage.outline() == words


def test_a_pipeline_without_sft_needs_a_start_for_a_model_that_has_none(tmp_path):
    tree = compose_tree(["stage=pipeline", "stage.steps=[grpo]"])
    run = RunDirectory(tmp_path)
    run.resolved.write_text(resolved_yaml(tree))
    with pytest.raises(InputError, match="keep the step sft"):
        pipeline.run(Context(run, validate(plain(tree)), StopRequest()))
