"""What every job of a sweep was composed to when it started, and whether the same command composes the same now.

`sweep.json` is for people and other programs: each job with its settings and the hash of its tree. `trees.json` holds the trees
themselves, values from the environment unresolved. Jobs run from these trees, so that a YAML edited while a sweep runs changes
no job of it; and while neither a YAML nor the command has changed, nothing is composed a second time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from facial_r1 import atomic, runs
from facial_r1.config.resolved import plain, without_environment
from facial_r1.config.validation import validate
from facial_r1.errors import InputError
from facial_r1.sweeps.trees import Compose

_NOT_OF_A_JOB = ("hydra", "experiment", "sweep")
_SHOWN_KEYS = 6


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        name: of its folder.
        point: the overrides that tell it from the others.
        tree: its composed configuration, plain, values from the environment unresolved.
        digest: of what the tree asks for (`runs.identity`), before `init_from=latest` is settled.
        inputs: hash of what it was composed from.
    """

    name: str
    point: tuple[str, ...]
    tree: dict[str, Any] = field(repr=False)
    digest: str
    inputs: str

    def config(self, run_dir: Path) -> DictConfig:
        """The tree as the application takes it, for a run directory."""
        tree = OmegaConf.create({**self.tree, "run_dir": str(run_dir)})
        assert isinstance(tree, DictConfig)
        return tree


@dataclass(frozen=True)
class Drift:
    """A job whose configuration is not what it was: the keys that differ, with the value then and now."""

    job: str
    changes: Mapping[str, tuple[Any, Any]]


def load(folder: Path) -> dict[str, Job]:
    """The jobs that a sweep folder knows, in order; empty for a folder that is none."""
    try:
        said, trees = atomic.read_json(folder / "sweep.json"), atomic.read_json(folder / "trees.json")
        return {
            one["name"]: Job(one["name"], tuple(one["point"]), _decoded(trees[one["name"]]), one["digest"], one["inputs"])
            for one in said["jobs"]
        }
    except FileNotFoundError:
        return {}
    except (json.JSONDecodeError, KeyError, TypeError):
        raise InputError(
            f"{folder}: sweep.json or trees.json is damaged: move the folder away, or give another sweep.name"
        ) from None


def save(folder: Path, jobs: Mapping[str, Job], about: Mapping[str, Any]) -> None:
    """Write both files; the trees first, so that a job that `sweep.json` names always has one."""
    text = json.dumps({name: _encoded(job.tree) for name, job in jobs.items()}, ensure_ascii=False, separators=(",", ":"))
    atomic.write_text(folder / "trees.json", text)
    listed = [{"name": job.name, "point": list(job.point), "digest": job.digest, "inputs": job.inputs} for job in jobs.values()]
    atomic.write_json(folder / "sweep.json", {**about, "jobs": listed})


def take(
    points: Mapping[str, Sequence[str]],
    fixed: Sequence[str],
    compose: Compose,
    files: str,
    stored: Mapping[str, Job],
) -> list[Job]:
    """The jobs of a command; those composed before from the same files and the same settings are taken as they were.

    Args:
        points: name -> the job's own overrides.
        fixed: overrides of all jobs.
        compose: see `trees.Composer`.
        files: hash of the YAML files.
        stored: what the sweep's folder knows.

    Raises:
        InputError: a job is not valid; the message names its point.
    """
    jobs = []
    for name, point in points.items():
        inputs = hashlib.sha256(json.dumps([files, list(fixed), list(point)]).encode()).hexdigest()[:16]
        old = stored.get(name)
        if old is not None and old.inputs == inputs:
            jobs.append(old)
            continue
        tree = composed(compose, [*fixed, *point], point)
        job = Job(name, tuple(point), tree, runs.identity(tree), inputs)
        if old is not None and old.digest == job.digest:  # "latest" means what it meant
            job = replace(job, tree={**tree, "init_from": old.tree.get("init_from")})
        jobs.append(job)
    return jobs


def composed(compose: Compose, overrides: Sequence[str], point: Sequence[str]) -> dict[str, Any]:
    """The validated tree of one job, plain.

    Raises:
        InputError: it is not valid; the message names the point.
    """
    try:
        tree = compose(overrides)
        job = validate(plain(tree))
    except InputError as error:
        raise InputError(f"sweep point {' '.join(point)}: {error}") from None
    if job.run_dir is not None:
        raise InputError(f"run_dir={job.run_dir} would be shared by all jobs of the sweep: leave it out, or set output_root")
    return {key: value for key, value in without_environment(tree).items() if key not in _NOT_OF_A_JOB} | {"resume": "auto"}


def pinned(jobs: Sequence[Job]) -> list[Job]:
    """The jobs with `init_from=latest` settled, once for all of them, so that every job starts from the same weights.

    Not where stages are swept: one may be meant to start from what another makes.

    Raises:
        InputError: there is no such run.
    """
    from facial_r1 import init_from

    if len({job.tree["stage"]["name"] for job in jobs}) > 1:
        return list(jobs)
    known: dict[str, str] = {}
    result = []
    for job in jobs:
        if job.tree.get("init_from") == "latest":
            root = str(job.tree["output_root"])
            if root not in known:
                settled = [other.tree["init_from"] for other in jobs if other.tree.get("init_from") != "latest"]
                known[root] = settled[0] if settled else init_from.find("latest", job.tree["stage"]["name"], root)[1]
            job = replace(job, tree={**job.tree, "init_from": known[root]})
        result.append(job)
    return result


def drifts(jobs: Sequence[Job], stored: Mapping[str, Job]) -> list[Drift]:
    """The jobs whose configuration is not what the folder says it was."""
    found = []
    for job in jobs:
        old = stored.get(job.name)
        if old is None or old.digest == job.digest:
            continue
        new = dict(job.tree)
        if new.get("init_from") == "latest":
            new["init_from"] = old.tree.get("init_from")  # settled when the sweep started
        found.append(Drift(job.name, dict(_differences(runs.asked(old.tree), runs.asked(new)))))
    return found


def refusal(found: Sequence[Drift], folder: Path) -> str:
    """What to say about drift: the first job, the keys that differ, and the way out."""
    first = found[0]
    lines = [f"  {key}: {_short(old)} -> {_short(new)}" for key, (old, new) in list(first.changes.items())[:_SHOWN_KEYS]]
    if len(first.changes) > _SHOWN_KEYS:
        lines.append(f"  and {len(first.changes) - _SHOWN_KEYS} more")
    others = f" (and {len(found) - 1} other jobs)" if len(found) > 1 else ""
    return (
        f"{folder}: the configuration of job {first.job}{others} is not the one it was started with:\n"
        + "\n".join(lines)
        + "\nEither take the change back, or give another sweep.name=, or sweep.drift=allow: finished jobs then stay as they are, "
        "and all others run with what is composed now"
    )


def _differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key, _ABSENT), new.get(key, _ABSENT), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield path, (old, new)


class _Absent:
    def __repr__(self) -> str:
        return "not there"


_ABSENT = _Absent()


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, _Absent) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


_PAIRS = "\0pairs"


def _encoded(value: Any) -> Any:
    """JSON knows keys of text only: other mappings are written as a list of pairs."""
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: _encoded(item) for key, item in value.items()}
        return {_PAIRS: [[key, _encoded(item)] for key, item in value.items()]}
    return [_encoded(item) for item in value] if isinstance(value, (list, tuple)) else value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {_PAIRS}:
            return {key: _decoded(item) for key, item in value[_PAIRS]}
        return {key: _decoded(item) for key, item in value.items()}
    return [_decoded(item) for item in value] if isinstance(value, list) else value
