"""What a pipeline writes for its steps."""

from __future__ import annotations

import copy

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import load_resolved, plain, resolved_yaml
from facial_r1.config.validation import validate
from facial_r1.interruption import StopRequest
from facial_r1.runs import RunDirectory
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
