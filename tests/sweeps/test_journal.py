"""The journal is only ever added to, and a line that a crash cut off loses no other."""

from __future__ import annotations

import pytest

from facial_r1.runs import RunDirectory, create
from facial_r1.sweeps.journal import Journal, outlook, to_run


def test_a_line_cut_off_by_a_crash_loses_nothing_else(tmp_path):
    journal = Journal(tmp_path / "jobs.jsonl")
    journal.append("started", "a", run="/a")
    with journal.path.open("a") as file:
        file.write('{"event": "ended", "job": "a", "co')
    journal.append("ended", "b", code=0)
    assert [(event["event"], event["job"]) for event in journal.events()] == [("started", "a"), ("ended", "b")]


def test_a_new_try_forgets_how_the_last_one_ended(tmp_path):
    journal = Journal(tmp_path / "jobs.jsonl")
    for event in ("started", "ended", "started"):
        journal.append(event, "a", run="/a", **({"code": 1, "reason": "x"} if event == "ended" else {}))
    assert journal.last() == {"a": {"run": "/a"}}


@pytest.mark.parametrize(
    ("status", "code", "state", "again", "on_request"),
    [
        ({}, None, "not run", True, True),
        ({"state": "finished"}, 0, "finished", False, False),
        ({"state": "failed", "exit_code": 1}, 1, "failed", False, True),
        ({"state": "failed", "exit_code": 2}, 2, "failed", True, True),  # its data, on a later try
        ({}, 2, "refused", True, True),
        ({}, 1, "failed", False, True),
        ({"state": "running", "process": {"pid": 1, "began": 0.0, "host": "elsewhere"}}, None, "interrupted", True, True),
        ({"state": "interrupted"}, 143, "interrupted", True, True),
        ({}, 0, "planned", True, True),
        ({"state": "created", "slurm": {"job_id": "7"}}, 0, "submitted", True, True),  # its launcher does not submit it twice
        ({"state": "running", "slurm": {"job_id": "7"}}, 0, "running", True, True),
    ],
)
def test_what_the_same_command_does_with_a_job(tmp_path, status, code, state, again, on_request):
    if status:
        run = RunDirectory(tmp_path / "a")
        create(run, "", "eval", None, [])
        run.update_status(**status)
    known = {} if code is None else {"a": {"run": str(tmp_path / "a"), "code": code, "reason": "why"}}
    look = outlook(tmp_path, "a", known)
    assert (look.state, to_run(look, False), to_run(look, True)) == (state, again, on_request)
