"""From overrides to jobs: what is fixed, what is swept, which points change together, and what a job is called."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

from facial_r1.config.paths import options
from facial_r1.errors import InputError

_LONGEST = 150
"""Bytes of a job's name: file systems take 255, and checkpoints, logs and lock files add to it."""
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.+-]*")
_WORDS = ("null", "true", "false", "nan", "inf")


@dataclass(frozen=True)
class Swept:
    """A command line of a sweep, taken apart.

    Attributes:
        fixed: overrides that hold for all jobs.
        axes: swept key -> its values, in the order in which they were written.
        spaces: swept key -> Hydra's own description of its values, for a search (`interval(0,1)` has no list of values).
    """

    fixed: tuple[str, ...] = ()
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spaces: Mapping[str, Any] = field(default_factory=dict)


def parse(overrides: Sequence[str], *, search: bool = False) -> Swept:
    """Take a command line apart; of two overrides of one key the later holds, as Hydra has it.

    Args:
        overrides: as typed, `key=value` or `key=a,b`, `key=range(0,4)`, `key=choice(a,b)`, `key=glob(*)`.
        search: `interval(a,b)` is allowed; its key has no entry in `axes`.

    Raises:
        InputError: not Hydra's syntax, a key of `sweep` is swept, or an interval without a search.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    fixed: dict[str, str] = {}
    axes: dict[str, tuple[str, ...]] = {}
    spaces: dict[str, Any] = {}
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise InputError(f"configuration: {str(error).splitlines()[0]}") from None
    for text, override in zip(overrides, parsed, strict=True):
        key = override.get_key_element()
        for known in (fixed, axes, spaces):
            known.pop(key, None)
        if not override.is_sweep_override():
            fixed[key] = text if text.startswith(("+", "~")) else f"{key}={override.get_value_element_as_str()}"
            continue
        if is_setting(key):
            raise InputError(f"{text}: settings of the sweep hold for all its jobs and take one value")
        spaces[key] = override.value()
        values = _values(key, override)
        if values is not None:
            axes[key] = values
        elif not search:
            raise InputError(
                f"{text}: an interval has no list of values. Name them (key=a,b,c or range(a,b,step)), "
                "or search it with sweep.optuna.trials=<number>"
            )
    return Swept(tuple(fixed.values()), axes, spaces)


def expand(overrides: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Split command-line overrides into those fixed for all jobs and the list of swept combinations.

    >>> expand(["stage=grpo", "seed=1,2"])
    (['stage=grpo'], [['seed=1'], ['seed=2']])
    """
    swept = parse(overrides)
    return list(swept.fixed), combine(swept.axes, None)


def combine(axes: Mapping[str, Sequence[str]], points: Sequence[Mapping[str, Any]] | None) -> list[list[str]]:
    """Every job's own overrides: the product of the zipped points (outermost) and the swept keys, in their order.

    >>> combine({"seed": ["1", "2"]}, [{"stage": {"num_generations": 4}}])
    [['stage.num_generations=4', 'seed=1'], ['stage.num_generations=4', 'seed=2']]

    Raises:
        InputError: a key is in a point and swept too, or two jobs would be the same.
    """
    rows = [[f"{key}={value}" for key, value in zip(axes, values, strict=True)] for values in itertools.product(*axes.values())]
    if points is None:
        return rows
    zipped = [flat(point) for point in points]
    for number, point in enumerate(zipped):
        if twice := [key for key in point if key in axes]:
            raise InputError(f"sweep.points[{number}]: {twice[0]} is swept as well ({twice[0]}={','.join(axes[twice[0]])})")
        if own := [key for key in point if is_setting(key)]:
            raise InputError(f"sweep.points[{number}]: {own[0]} holds for all jobs and is no part of a point")
    written = [[override(key, value) for key, value in point.items()] for point in zipped]
    for number, one in enumerate(written):
        if one in written[:number]:
            raise InputError(f"sweep.points[{number}] is the same as point {written.index(one)}: leave one out")
    return [[*one, *row] for one in written for row in rows]


def flat(point: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A point with dotted keys, whichever way it was written.

    >>> flat({"stage": {"num_generations": 4}, "stage.beta": 0.1})
    {'stage.num_generations': 4, 'stage.beta': 0.1}
    """
    found: dict[str, Any] = {}
    for key, value in point.items():
        name = f"{prefix}{key}"
        found.update(flat(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value})
    return found


def override(key: str, value: Any) -> str:
    """A setting in Hydra's command-line syntax.

    >>> override("data.files", ["a b.jsonl"]), override("seed", None)
    ("data.files=['a b.jsonl']", 'seed=null')
    """
    return f"{key}={_written(value)}"


def slug(point: Iterable[str]) -> str:
    """A folder name for a job: "stage.num_generations=4,data.amount=64"; cut, with a hash, where it would be too long.

    Quotes are left out, so that the name does not depend on how a value was written.
    """
    text = ",".join(point)
    name = re.sub(r"[^\w.=,+-]+", "_", text.replace("'", "").replace('"', "")).strip("_") or "job"
    if len(name.encode()) <= _LONGEST:
        return name
    return name.encode()[: _LONGEST - 9].decode(errors="ignore") + "-" + hashlib.sha256(text.encode()).hexdigest()[:8]


def names(points: Sequence[Sequence[str]]) -> list[str]:
    """A name for each job; those that would share one carry a hash of what they are."""
    plain = [slug(point) for point in points]
    return [
        name if plain.count(name) == 1 else f"{name}-{hashlib.sha256(','.join(point).encode()).hexdigest()[:8]}"
        for name, point in zip(plain, points, strict=True)
    ]


def is_setting(key: str) -> bool:
    """Whether a key says how the sweep is run, and so cannot differ between its jobs."""
    plain = key.lstrip("+~").split("@")[0]
    return plain == "sweep" or plain.startswith(("sweep.", "hydra.", "hydra/"))


def _values(key: str, swept: Any) -> tuple[str, ...] | None:
    """The values of a swept override as text; None for an interval."""
    from hydra.core.override_parser.types import Glob, IntervalSweep

    value = swept.value()
    if isinstance(value, IntervalSweep):
        return None
    if isinstance(value, Glob):
        known = options(key)
        found = [
            name
            for name in known
            if any(fnmatch(name, one) for one in value.include) and not any(fnmatch(name, one) for one in value.exclude)
        ]
        if not found:
            raise InputError(f"{swept.input_line}: matches none of {', '.join(known) or 'nothing, as there is no such choice'}")
        return tuple(found)
    return tuple(swept.sweep_string_iterator())


def _written(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_written(item) for item in value) + "]"
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text) + "'"
