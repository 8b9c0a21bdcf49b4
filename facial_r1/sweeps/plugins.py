"""Launchers and sweepers of Hydra: `hydra/launcher=joblib`, `hydra/launcher=submitit_slurm`, `hydra/sweeper=optuna`, ...

A launcher gets the jobs that are still to run as `+sweep.job=0,1,2`; what each of them is was composed before, and lies in the
sweep's folder. So zipped points, resuming, drift and the table are the same with every launcher. A sweeper chooses its own
points while it runs, so its jobs are composed by Hydra.
"""

from __future__ import annotations

import math
import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from facial_r1 import atomic, runs
from facial_r1.config.resolved import plain, without_environment
from facial_r1.config.validation import validate_sweep
from facial_r1.errors import InputError
from facial_r1.launch.rank import die_with_parent
from facial_r1.sweeps import snapshot
from facial_r1.sweeps.expand import override, slug
from facial_r1.sweeps.job import journal_of, perform

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from facial_r1.sweeps.pool import Task
    from facial_r1.sweeps.request import Request

_TASKS, _STOP = ".tasks.json", ".stop"
_LOCAL = ("joblib",)
"""Launchers whose jobs live in children of ours; the others hand them to a queue, which keeps them when we are gone."""
_PACKAGES = {
    "launcher/joblib": ("hydra-joblib-launcher", "1.2.0"),
    "launcher/submitit_local": ("hydra-submitit-launcher", "1.2.0"),
    "launcher/submitit_slurm": ("hydra-submitit-launcher", "1.2.0"),
    "launcher/ray": ("hydra-ray-launcher", "1.2.2"),
    "sweeper/optuna": ("hydra-optuna-sweeper", "1.3.0"),
    "sweeper/ax": ("hydra-ax-sweeper", "1.2.0"),
    "sweeper/nevergrad": ("hydra-nevergrad-sweeper", "1.2.0"),
}
"""Hydra's option -> its package, and the version for Hydra 1.3; the one for Hydra 1.4 has Hydra's own number."""


@contextmanager
def explained(hydras: Sequence[str]) -> Iterator[None]:
    """Turn "there is no such option" about a plugin into what to install, and what needs none."""
    try:
        yield
    except InputError as error:
        found = re.search(r"hydra[=/]((launcher|sweeper)/(\w+))", str(error))
        if found is None:
            raise
        raise InputError(_not_there(found[1], found[2], found[3])) from None
    except Exception as error:  # an installed plugin that does not fit this Hydra falls over while it is imported
        if not hydras:
            raise
        raise InputError(_unfit(" ".join(hydras), error)) from error


def run_launcher(asked: Request, folder: Path, todo: Sequence[Task]) -> int:
    """Run tasks with the launcher of Hydra that was chosen. Returns 0, or 128 + the number of the signal that stopped it.

    Raises:
        InputError: the launcher does not work with this version of Hydra.
    """
    (folder / _STOP).unlink(missing_ok=True)
    atomic.write_json(folder / _TASKS, [[task.job.name, str(task.run_dir)] for task in todo])
    typed = any(item.startswith("hydra/launcher") for item in asked.hydras)
    base = [] if typed else asked.first()  # an experiment that chooses the launcher is composed again
    argv = ["-m", *_config_dir(asked), *base, *(item for item in asked.hydras if not item.startswith("hydra.sweeper."))]
    argv += [
        "hydra.sweeper.params=null", override("hydra.sweep.dir", str(folder / ".hydra")), f"+sweep.parent={os.getpid()}",
        override("+sweep.folder", str(folder)), "+sweep.job=" + ",".join(str(number) for number in range(len(todo))),
    ]  # fmt: skip
    return _through_hydra(argv, launched, folder, asked)


def launched(tree: DictConfig) -> None:
    """Hydra's task where a launcher of Hydra runs the jobs: one job, from the tree in the sweep's folder."""
    folder = Path(str(tree.sweep.folder))
    if os.getppid() == tree.sweep.parent and threading.current_thread() is threading.main_thread():
        die_with_parent()
    if (folder / _STOP).exists():
        return
    name, run_dir = atomic.read_json(folder / _TASKS)[int(tree.sweep.job)]
    job = snapshot.load(folder)[name]
    journal_of(folder).append("started", name, run=run_dir, pid=os.getpid())
    perform(folder, job, Path(run_dir))


def run_sweeper(asked: Request) -> int:
    """Run a sweep whose points a sweeper of Hydra chooses; it is told each job's objective.

    Raises:
        InputError: a job is not valid, or the sweeper does not work with this version of Hydra.
    """
    from facial_r1.locks import held
    from facial_r1.sweeps import driver

    if asked.again or asked.settings.points:
        what = "rerun=" if asked.again else "sweep.points"
        raise InputError(f"hydra/sweeper={asked.sweeper} composes its own jobs and takes no {what}; {_OWN_SEARCH}")
    first = snapshot.composed(asked.compose, [*asked.first(), *_lows(asked)], ["its first point"])
    folder = asked.folder(first)
    with held(folder / ".lock", busy=driver.BUSY.replace("{folder}", str(folder))):
        (folder / _STOP).unlink(missing_ok=True)
        atomic.write_json(folder / _TASKS, {"fixed": list(asked.swept.fixed)})
        argv = ["-m", *_config_dir(asked), *asked.overrides]
        argv += [override("hydra.sweep.dir", str(folder / ".hydra")), override("+sweep.folder", str(folder))]
        driver._say(f"sweep by hydra/sweeper={asked.sweeper} in {folder}")
        code = _through_hydra(argv, chosen, folder, asked)
        jobs = snapshot.load(folder)
        if not jobs:
            raise InputError(f"hydra/sweeper={asked.sweeper} ran no job; {_OWN_SEARCH}")
        return driver.close(asked, folder, list(jobs.values()), code)


def chosen(tree: DictConfig) -> float:
    """Hydra's task where a sweeper of Hydra chooses the points: one job, composed by Hydra. Returns its objective, or NaN."""
    from hydra.core.hydra_config import HydraConfig

    from facial_r1.locks import held
    from facial_r1.sweeps.search import objective

    folder = Path(str(tree.sweep.folder))
    settings = {key: value for key, value in plain(tree)["sweep"].items() if key != "folder"}
    if (folder / _STOP).exists():
        return math.nan
    fixed = {item.split("=")[0].lstrip("+~") for item in atomic.read_json(folder / _TASKS)["fixed"]}
    own = [item for item in HydraConfig.get().overrides.task if item.split("=")[0].lstrip("+~") not in {*fixed, "sweep.folder"}]
    point = tuple(item for item in own if not item.lstrip("+").startswith("sweep."))
    kept = {key: value for key, value in without_environment(tree).items() if key not in ("hydra", "experiment", "sweep")}
    job = snapshot.Job(slug(point), point, kept, runs.identity(kept), "")
    run = runs.RunDirectory(folder / job.name)
    with held(folder / ".jobs.lock"):
        jobs = snapshot.load(folder)
        snapshot.save(folder, {**jobs, job.name: job}, {"command": "", "version": runs.git_version()})
    if run.state() != "finished":
        journal_of(folder).append("started", job.name, run=str(run.path), pid=os.getpid())
        perform(folder, job, run.path)
    return objective(run, validate_sweep(settings))


_OWN_SEARCH = "sweep.optuna.trials=<number> searches without a plugin"


def _through_hydra(argv: list[str], task: Any, folder: Path, asked: Request) -> int:
    """Hand over to `hydra.main`; pass on signals to the jobs, and leave none behind."""
    from facial_r1.multirun import hydra_main

    received: list[int] = []
    local = asked.launcher in _LOCAL

    def forward(number: int, frame: Any) -> None:
        received.append(number)
        (folder / _STOP).touch()
        for process in psutil.Process().children(recursive=True) if local else ():
            try:
                process.send_signal(number) if len(received) == 1 else process.kill()
            except psutil.NoSuchProcess:
                continue
        if not local or len(received) > 1:
            raise SystemExit(128 + number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1) if asked.launcher != "basic" else ()
    previous = {number: signal.signal(number, forward) for number in numbers}
    try:
        code = hydra_main(argv, task)
    except Exception as error:
        if not received:
            raise InputError(_unfit(f"hydra/launcher={asked.launcher} hydra/sweeper={asked.sweeper}", error)) from error
        code = 0
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if code and not received and not journal_of(folder).events():
        raise InputError(
            f"hydra/launcher={asked.launcher} hydra/sweeper={asked.sweeper}: Hydra could not run the jobs (its message is above). "
            f"{_without()}"
        )
    return 128 + received[0] if received else 0


def _lows(asked: Request) -> list[str]:
    return [f"{key}={space.start}" for key, space in asked.swept.spaces.items() if key not in asked.swept.axes]


def _config_dir(asked: Request) -> list[str]:
    return ["--config-dir", asked.config_dir] if asked.config_dir else []


def _not_there(option: str, kind: str, name: str) -> str:
    import hydra

    major, minor = (int(part) for part in hydra.__version__.split(".")[:2])
    package, old = _PACKAGES.get(option, (f"hydra-{name}-{kind}", ""))
    wanted = f"{package}=={old if (major, minor) < (1, 4) and old else hydra.__version__}"
    return (
        f"hydra/{kind}={name}: this plugin is not installed, or does not fit Hydra {hydra.__version__}: pip install '{wanted}'. "
        f"{_without() if kind == 'launcher' else 'Without a plugin: ' + _OWN_SEARCH}"
    )


def _unfit(what: str, error: Exception) -> str:
    import hydra

    line = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"{what} does not work with Hydra {hydra.__version__} ({line}). {_without()}"


def _without() -> str:
    return "sweep.jobs=<number> runs jobs side by side without a plugin (with sweep.gpus_per_job GPUs each)"
