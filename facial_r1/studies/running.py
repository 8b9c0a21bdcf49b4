"""`-m study=experiments/<name>`: the study's starting run, then its sweep."""

from __future__ import annotations

from collections.abc import Sequence

from facial_r1.errors import InputError
from facial_r1.studies.study import Study, load_study
from facial_r1.sweeps.expand import override

KEY = "study="


def named(overrides: Sequence[str]) -> str | None:
    """The study that a command line names, or None.

    Raises:
        InputError: it names several.
    """
    found = [item.removeprefix(KEY) for item in overrides if item.startswith(KEY)]
    if len(found) > 1:
        raise InputError(f"study= is given {len(found)} times; run one study after the other")
    return found[0] if found else None


def as_sweep(overrides: Sequence[str], config_dir: str | None = None) -> tuple[list[str], int]:
    """A command line with `study=` as the overrides of its sweep; makes the run that all jobs start from, or finds it.

    Overrides beside `study=` win over the study's own (`seed=0` for one seed, `stage.max_steps=4` to try it out).

    Returns:
        overrides for the sweep, and the exit code of the starting run (0 where there is none).

    Raises:
        InputError: the study or one of its settings is wrong.
    """
    study = load_study(named(overrides) or "")
    own = [item for item in overrides if not item.startswith(KEY)]
    keys = {item.lstrip("+~").split("=")[0] for item in own}
    sweep = [item for item in study.sweep() if item.split("=")[0] not in keys]
    if study.start is None:
        return [*sweep, *own], 0
    return _started(study, sweep, own, config_dir)


def _started(study: Study, sweep: list[str], own: list[str], config_dir: str | None) -> tuple[list[str], int]:
    from facial_r1.app import execute
    from facial_r1.config.compose import compose_tree

    first = compose_tree([*start_overrides(study), *(item for item in own if _of_the_start(item))], config_dir)
    run, code = execute(first)
    if first.debug.dry_run or any(item.startswith("init_from=") for item in own):
        return [*sweep, *own], code
    return [*sweep, f"init_from='{run.path}'", *own], code


def _of_the_start(item: str) -> bool:
    """Whether an override of the command line holds for the starting run too: where it runs, and on which model and data."""
    key = item.lstrip("+~").split("=")[0]
    return key.split(".")[0] in ("launch", "tracker", "debug", "output_root", "model") or key in (
        "data",
        "data.root",
        "data.cache",
    )


def start_overrides(study: Study) -> list[str]:
    """Overrides of the run that all jobs start from; studies with the same start share it."""
    return ["run_name=start", *(override(key, value) for key, value in (study.start or {}).items())]
