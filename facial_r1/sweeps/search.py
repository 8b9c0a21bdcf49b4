"""`sweep.optuna.trials=N`: points chosen by optuna, one job a trial, kept in the sweep's folder so that the command can go on.

Trials are asked for and told about one by one (optuna's ask-and-tell), and kept in `optuna.db` (SQLite). Each trial is chosen
by a sampler that is seeded with the trial's number, so that with one job at a time an interrupted search goes on exactly as it
would have gone on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facial_r1 import atomic, runs
from facial_r1.config.suggest import did_you_mean
from facial_r1.config.sweep_schema import Sweep
from facial_r1.errors import InputError
from facial_r1.locks import held
from facial_r1.report.sweep import SHOWN
from facial_r1.report.wording import figure
from facial_r1.sweeps import driver, pool, snapshot
from facial_r1.sweeps.expand import Swept, is_setting
from facial_r1.sweeps.job import STOPPED, journal_of
from facial_r1.sweeps.journal import outlook
from facial_r1.sweeps.request import Request
from facial_r1.sweeps.table import metrics_of
from facial_r1.sweeps.trees import is_value

_SPACE = "space.json"


@dataclass(frozen=True)
class Axis:
    """What a key may be.

    Attributes:
        kind: choice (of texts), int or float.
        choices: for kind=choice.
        low: lowest value, included.
        high: highest value, included.
        step: distance of neighbouring values; None for every value between.
        log: draw on a logarithmic scale (`tag(log, interval(1e-6,1e-3))`).
    """

    kind: str
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False

    def ends(self) -> tuple[str, ...]:
        """Values to validate before the first trial: all choices, or both ends."""
        return self.choices if self.kind == "choice" else (self.text(self.low), self.text(self.high))

    def text(self, value: Any) -> str:
        """A value as it is written in an override."""
        return str(value) if self.kind == "choice" else repr(int(value) if self.kind == "int" else float(value))

    def distribution(self) -> Any:
        """As optuna has it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "choice":
            return CategoricalDistribution(self.choices)
        if self.kind == "int":
            return IntDistribution(int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return FloatDistribution(self.low, self.high, step=self.step, log=self.log)


def space(swept: Swept) -> dict[str, Axis]:
    """The search space of a command line: Hydra's `interval`, `int(interval)`, `tag(log, ...)`, `range`, `choice`, `a,b,c`.

    Raises:
        InputError: there is nothing to search, or a range holds no value.
    """
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep

    axes = {}
    for key, value in swept.spaces.items():
        log = "log" in getattr(value, "tags", ())
        if isinstance(value, IntervalSweep):
            low, high = value.start, value.end
            if low is None or high is None or low >= high or (log and low <= 0):
                raise InputError(f"{key}=interval({low},{high}): needs a lower and a higher end{', both above 0' if log else ''}")
            whole = isinstance(low, int) and isinstance(high, int)
            axes[key] = Axis("int" if whole else "float", low=low, high=high, log=log)
        elif isinstance(value, RangeSweep) and value.start is not None and value.stop is not None and value.step > 0:
            steps = math.ceil((value.stop - value.start) / value.step - 1e-9)  # the end is not included
            if steps < 1:
                raise InputError(f"{key}=range({value.start},{value.stop}): holds no value")
            kind = "int" if all(isinstance(one, int) for one in (value.start, value.stop, value.step)) else "float"
            axes[key] = Axis(kind, low=value.start, high=value.start + (steps - 1) * value.step, step=value.step)
        else:
            axes[key] = Axis("choice", choices=swept.axes[key])
    if not axes:
        raise InputError(
            "sweep.optuna.trials: nothing to search; name a key with interval(a,b), range(a,b,step) or choice(a,b,c)"
        )
    return axes


def run(asked: Request) -> int:
    """Run a search, or go on with it. Returns the exit code, as `driver.run_many` does.

    Raises:
        InputError: optuna is not installed, the space is not valid, or the folder holds a search of another space.
    """
    _need_optuna()
    axes = space(asked.swept)
    fixed = list(asked.swept.fixed)
    tree = _validated(asked, axes)
    folder = asked.folder(tree)
    if tree["debug"]["dry_run"]:
        raise InputError("debug.dry_run: a search has no jobs before it runs; rehearse one point without -m, or a grid")
    with held(folder / ".lock", busy=driver.BUSY.replace("{folder}", str(folder))):
        stored = snapshot.load(folder)
        looks = {name: outlook(folder, name, journal_of(folder).last()) for name in stored}
        driver.check_fresh(asked, folder, looks)
        _same_space(folder, axes)
        start = snapshot.pinned([snapshot.Job("start", tuple(fixed), tree, runs.identity(tree), "")])[0]
        search = _Search(asked, folder, axes, stored, start)
        search.check_drift()
        driver._say(f"search of {asked.settings.optuna.trials} trials in {folder}, {search.told()} done")
        grace = float(tree["launch"].get("grace_seconds", 15.0))
        if asked.launcher != "basic":
            raise InputError(f"hydra/launcher={asked.launcher}: a search runs its trials itself, sweep.jobs=<number> at a time")
        code = pool.run(folder, asked.settings, search.take, search.done, grace=grace)
        return driver.close(asked, folder, list(search.jobs.values()), code)


def objective(run: runs.RunDirectory, settings: Sweep) -> float:
    """What a run is judged by: `sweep.objective`, else the first usual metric that it has. NaN when it is not finished.

    Raises:
        InputError: it is finished, and has no such metric.
    """
    if run.state() != "finished":
        return math.nan
    metrics = metrics_of(run.read_summary())
    name = settings.objective or next((name for name in SHOWN if name in metrics), None)
    value = figure(metrics.get(name)).get("value") if name else None
    if value is None:
        raise InputError(
            f"{run.path}: no metric {name or 'to judge it by'}; sweep.objective: {did_you_mean(name or '', metrics)}"
        )
    return value


class _Search:
    """The study, and the jobs made of its trials."""

    def __init__(
        self, asked: Request, folder: Path, axes: Mapping[str, Axis], stored: Mapping[str, snapshot.Job], start: snapshot.Job
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.asked, self.folder, self.axes, self.start = asked, folder, axes, start
        self.jobs: dict[str, snapshot.Job] = dict(stored)
        self.running: dict[str, Any] = {}
        self.stopped = False
        self.study = optuna.create_study(
            storage=f"sqlite:///{folder / 'optuna.db'}",
            study_name="sweep",
            load_if_exists=True,
            direction=asked.settings.direction,
        )
        self.begun = [trial for trial in self.study.get_trials(deepcopy=False) if trial.state == optuna.trial.TrialState.RUNNING]

    def told(self) -> int:
        """Trials that count: done, or failed when nobody asked for a retry."""
        from optuna.trial import TrialState

        counting = (TrialState.COMPLETE,) if self.asked.settings.retry else (TrialState.COMPLETE, TrialState.FAIL)
        return sum(trial.state in counting for trial in self.study.get_trials(deepcopy=False))

    def check_drift(self) -> None:
        """Raise InputError when a trial that is there would be another job now, unless that is allowed."""
        if self.asked.settings.drift == "allow":
            return
        now = [self._job(name, job.point) for name, job in list(self.jobs.items())[:1]]
        if found := snapshot.drifts(now, self.jobs):
            raise InputError(snapshot.refusal(found, self.folder))

    def take(self) -> pool.Task | None:
        """The next trial as a job: one that was cut off, else a new one; None when there are enough."""
        wanted = self.asked.settings.optuna.trials or 0
        if self.stopped:
            return None
        while self.begun:
            trial = self.begun.pop(0)
            name = f"trial-{trial.number:03d}"
            job = self.jobs.get(name) or self._job(name, self._point(trial.params))
            if outlook(self.folder, name, journal_of(self.folder).last()).state == "finished":  # it was only not told about
                self._tell(trial.number, name)
                continue
            return self._task(job, trial.number)
        if self.told() + len(self.running) >= wanted:
            return None
        self.study.sampler = self._sampler(len(self.study.get_trials(deepcopy=False)))
        trial = self.study.ask({key: axis.distribution() for key, axis in self.axes.items()})
        name = f"trial-{trial.number:03d}"
        return self._task(self._job(name, self._point(trial.params)), trial.number)

    def done(self, task: pool.Task, code: int) -> None:
        """Tell the study how a trial ended; one that was interrupted stays open."""
        number = self.running.pop(task.job.name)
        if code in STOPPED:
            return
        self._tell(number, task.job.name)
        if code and self.asked.settings.on_failure == "stop":
            driver._say(f"{task.job.name} failed and sweep.on_failure=stop: no further trial is started")
            self.stopped = True

    def _task(self, job: snapshot.Job, number: int) -> pool.Task:
        self.running[job.name] = number
        self.jobs[job.name] = job
        driver.remember(self.folder, self.asked, list(self.jobs.values()), {})
        return pool.Task(job, outlook(self.folder, job.name, journal_of(self.folder).last()).run.path)

    def _tell(self, number: int, name: str) -> None:
        from optuna.trial import TrialState

        run = outlook(self.folder, name, journal_of(self.folder).last()).run
        value = objective(run, self.asked.settings)
        if math.isnan(value):
            self.study.tell(number, state=TrialState.FAIL)
        else:
            self.study.tell(number, value)

    def _point(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(f"{key}={axis.text(params[key])}" for key, axis in self.axes.items())

    def _job(self, name: str, point: tuple[str, ...]) -> snapshot.Job:
        tree = snapshot.composed(self.asked.compose, [*self.asked.swept.fixed, *point], point)
        job = snapshot.Job(name, point, tree, runs.identity(tree), "")
        latest = tree.get("init_from") == "latest"
        return replace(job, tree={**tree, "init_from": self.start.tree["init_from"]}) if latest else job

    def _sampler(self, number: int) -> Any:
        import optuna

        seed = self.asked.settings.optuna.seed * 1_000_003 + number
        if self.asked.settings.optuna.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        return optuna.samplers.TPESampler(seed=seed, constant_liar=self.asked.settings.jobs > 1)


def _validated(asked: Request, axes: Mapping[str, Axis]) -> dict[str, Any]:
    """Compose and validate the corners of the space: every choice of options, and both ends of each axis. Returns one tree.

    The trees of all choices of options are kept by `asked.compose`, so that a YAML that is edited later changes no trial.
    """
    firsts = {key: axis.ends()[0] for key, axis in axes.items()}
    groups = [key for key in axes if not is_value(f"{key}=x", asked.config_dir) and not is_setting(key)]
    corners = [dict(zip(groups, values, strict=True)) for values in itertools.product(*(axes[key].ends() for key in groups))]
    corners += [{key: end} for key, axis in axes.items() if key not in groups for end in axis.ends()[1:]]
    trees = []
    for corner in corners:
        point = [f"{key}={value}" for key, value in {**firsts, **corner}.items()]
        trees.append(snapshot.composed(asked.compose, [*asked.swept.fixed, *point], point))
    return trees[0]


def _same_space(folder: Path, axes: Mapping[str, Axis]) -> None:
    """Keep the space, or raise InputError where the folder holds a search of another."""
    now = {key: [axis.kind, list(axis.choices), axis.low, axis.high, axis.step, axis.log] for key, axis in axes.items()}
    file = folder / _SPACE
    if file.is_file() and (before := atomic.read_json(file)) != now:
        key = next(key for key in [*now, *before] if now.get(key) != before.get(key))
        raise InputError(f"{folder} holds a search of another space ({key} differs, see {file}): give another sweep.name=")
    atomic.write_json(file, now)


def _need_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise InputError('sweep.optuna.trials needs optuna: pip install "facial_r1[optuna]"') from None
