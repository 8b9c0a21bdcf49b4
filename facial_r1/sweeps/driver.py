"""Runs a sweep from its command line to its table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from facial_r1 import runs
from facial_r1.errors import InputError
from facial_r1.locks import held
from facial_r1.sweeps import plugins, pool, request, snapshot, table
from facial_r1.sweeps.expand import combine, names
from facial_r1.sweeps.job import journal_of
from facial_r1.sweeps.journal import Outlook, outlook, to_run

BUSY = "{folder}: {owner} is running this sweep. Wait for it or stop it; for another sweep beside it give another sweep.name="


def run_many(argv: Sequence[str], overrides: Sequence[str], config_dir: str | None) -> int:
    """Run a sweep, or go on with it. Every job is validated before the first starts.

    Args:
        argv: the command line as typed.
        overrides: its overrides.
        config_dir: `--config-dir`.

    Returns:
        0 when all jobs are done; else the code of the first that is not, or 128 + the signal that stopped the sweep.

    Raises:
        InputError: a job is not valid, the configuration of jobs that are there changed, or another process runs this sweep.
    """
    asked = request.read(overrides, config_dir)
    if asked.sweeper != "basic":
        return plugins.run_sweeper(asked)
    if asked.settings.optuna.trials:
        from facial_r1.sweeps import search

        return search.run(asked)
    points = combine(asked.swept.axes, asked.settings.points)
    named = dict(zip(names(points), map(tuple, points), strict=True))
    first = snapshot.composed(asked.compose, [*asked.swept.fixed, *points[0]], points[0])
    folder = asked.folder(first)
    stored = snapshot.load(folder)
    jobs = snapshot.take(named, asked.swept.fixed, asked.compose, asked.files, stored)
    with held(folder / ".lock", busy=BUSY.replace("{folder}", str(folder))):
        if snapshot.load(folder) != stored:  # another process came in between
            stored = snapshot.load(folder)
            jobs = snapshot.take(named, asked.swept.fixed, asked.compose, asked.files, stored)
        return _run(asked, folder, jobs, stored)


def _run(asked: request.Request, folder: Path, jobs: list[snapshot.Job], stored: Mapping[str, snapshot.Job]) -> int:
    rehearsal = bool(jobs[0].tree["debug"]["dry_run"])
    known = {} if rehearsal else journal_of(folder).last()
    looks = {job.name: outlook(folder, job.name, known) for job in jobs}
    if not rehearsal:
        check_fresh(asked, folder, looks)
    changed = _changed(asked, folder, jobs, stored, looks) if not rehearsal else {}
    jobs = [stored[job.name] if job.name in changed and looks[job.name].state == "finished" else job for job in jobs]
    jobs = snapshot.pinned(jobs) if not rehearsal else jobs
    remember(folder, asked, jobs, stored)
    todo = [task for job in jobs if (task := _task(folder, job, looks[job.name], asked, job.name in changed)) is not None]
    say_start(folder, jobs, looks, len(todo))
    code = execute(asked, folder, todo, rehearsal)
    return close(asked, folder, jobs, code, {name: f"ran with other settings: {keys}" for name, keys in changed.items()})


def execute(asked: request.Request, folder: Path, todo: list[pool.Task], rehearsal: bool) -> int:
    """Run tasks with our pool, or with the launcher of Hydra that was chosen. Returns 0, or 128 + a signal's number."""
    if not todo:
        return 0
    if asked.launcher != "basic":
        return plugins.run_launcher(asked, folder, todo)
    waiting = list(todo)
    stop = asked.settings.on_failure == "stop"

    def take() -> pool.Task | None:
        return waiting.pop(0) if waiting else None

    def done(task: pool.Task, code: int) -> None:
        if code and stop and waiting:
            _say(f"{task.job.name} failed and sweep.on_failure=stop: {len(waiting)} jobs are not started")
            waiting.clear()

    grace = float(todo[0].job.tree["launch"].get("grace_seconds", 15.0))
    return pool.run(folder, asked.settings, take, done, grace=grace, rehearsal=rehearsal)


def close(
    asked: request.Request, folder: Path, jobs: Sequence[snapshot.Job], stopped: int, notes: Mapping[str, str] | None = None
) -> int:
    """Write and print the table; the sweep's exit code.

    Args:
        asked: the sweep.
        folder: of the sweep.
        jobs: of this command; further ones that the folder knows are in the table too.
        stopped: code of what stopped the sweep, 0 for nothing.
        notes: job -> what to say about it.
    """
    known = journal_of(folder).last()
    others = [job for name, job in snapshot.load(folder).items() if name not in {job.name for job in jobs}]
    looks = {job.name: outlook(folder, job.name, known) for job in [*jobs, *others]}
    table.write(asked, folder, [*jobs, *others], looks, notes or {})
    print(f"run: {folder}", flush=True)
    if stopped:
        return stopped
    return next((look.code or 1 for job in jobs if not _fine(look := looks[job.name])), 0)


def check_fresh(asked: request.Request, folder: Path, looks: Mapping[str, Outlook]) -> None:
    """Raise InputError for `resume=never` where a sweep has begun: it would be begun anew after each interruption."""
    if "resume=never" in asked.swept.fixed and any(look.state != "not run" for look in looks.values()):
        raise InputError(
            f"resume=never: {folder} has begun. Give another sweep.name= to run all of it anew, or leave resume=never out"
        )


def remember(folder: Path, asked: request.Request, jobs: Sequence[snapshot.Job], stored: Mapping[str, snapshot.Job]) -> None:
    """Write the jobs into the sweep's folder, beside those that it knows already."""
    everything = {**stored, **{job.name: job for job in jobs}}
    if everything != dict(stored) or not (folder / "sweep.json").is_file():
        try:
            snapshot.save(folder, everything, {"command": asked.whole(), "version": runs.git_version()})
        except OSError as error:
            raise InputError(f"cannot write {folder}: {error.strerror}. Choose another place with output_root=<folder>") from None


def say_start(folder: Path, jobs: Sequence[snapshot.Job], looks: Mapping[str, Outlook], todo: int) -> None:
    """One line: how many jobs there are, where they stand, how many are run now."""
    counts: dict[str, int] = {}
    for job in jobs:
        state = looks[job.name].state
        if state != "not run":
            counts[state] = counts.get(state, 0) + 1
    stand = "".join(f", {count} {state}" for state, count in counts.items())
    _say(f"sweep of {len(jobs)} jobs in {folder}{stand}{f'; {todo} to run' if stand else ''}")
    if counts.get("failed") and todo < len(jobs) - counts.get("finished", 0):
        _say("jobs that failed are run again with sweep.retry=true")


def _changed(
    asked: request.Request,
    folder: Path,
    jobs: Sequence[snapshot.Job],
    stored: Mapping[str, snapshot.Job],
    looks: Mapping[str, Outlook],
) -> dict[str, str]:
    """Jobs that have begun with another configuration, with the keys that differ.

    Raises:
        InputError: there are some, and `sweep.drift` is not `allow`.
    """
    begun = [drift for drift in snapshot.drifts(jobs, stored) if looks[drift.job].state not in ("not run", "refused", "planned")]
    if begun and asked.settings.drift == "refuse":
        raise InputError(snapshot.refusal(begun, folder))
    return {drift.job: ", ".join(drift.changes) for drift in begun}


def _task(folder: Path, job: snapshot.Job, look: Outlook, asked: request.Request, changed: bool) -> pool.Task | None:
    """The job as something to run, None when it is done (or failed, and nobody asked for a retry)."""
    if look.state == "finished":
        return pool.Task(job, _beside(folder, job.name)) if answers_changed(look, job) else None
    if not changed and not to_run(look, asked.settings.retry):
        return None
    return pool.Task(job, _beside(folder, job.name) if changed and look.run.path.exists() else look.run.path)


def answers_changed(look: Outlook, job: snapshot.Job) -> bool:
    """Whether a finished evaluation of given answers is about other answers than lie there now; gone ones are no others."""
    given = job.tree["stage"].get("predictions")
    if not given:
        return False
    from facial_r1.stages.predictions import digest

    try:
        return bool((look.run.status().get("predictions") or {}).get("digest") != digest(given))
    except InputError:
        return False


def _beside(folder: Path, name: str) -> Path:
    """A folder for a job that is run anew: "<name>-2", "-3", ..."""
    number = 2
    while (folder / f"{name}-{number}").exists():
        number += 1
    return folder / f"{name}-{number}"


def _fine(look: Outlook) -> bool:
    """Whether a job is done as far as this command goes: finished, rehearsed, or handed to a queue that keeps it."""
    return look.state in ("finished", "planned") or (look.code == 0 and look.state not in ("failed", "refused"))


def _say(text: str) -> None:
    print(f"facial_r1: {text}", file=sys.stderr, flush=True)
