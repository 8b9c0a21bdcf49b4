"""What a study is: `study.yaml`, read and checked.

A study varies settings over seeds. It turns into overrides of the command line and nothing else, so that each of its jobs is an
ordinary run that can be started, resumed and looked at by hand.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from facial_r1.config.suggest import did_you_mean
from facial_r1.errors import InputError
from facial_r1.sweeps.expand import override

FILE = "study.yaml"
Value = bool | int | float | str | None | list[Any]
_strict = ConfigDict(extra="forbid", strict=False)


@dataclass(config=_strict, frozen=True)
class Point:
    """One setting that is compared: what it is called in the figure, and its overrides."""

    name: str
    settings: dict[str, Value]


@dataclass(config=_strict, frozen=True)
class Panel:
    """One panel of the figure: a metric of summary.json, of the models named (a pipeline has several) or of the run itself.

    With `training` it is one of metrics.jsonl instead: its mean over the last quarter of the steps. With `group`, `field=value`,
    it is that of the test rows whose field has the value; the evaluation must have it under `stage.by`. `chance` draws a line
    at what guessing gives.
    """

    metric: str
    training: bool = False
    group: str | None = None
    chance: float | None = None
    label: str | None = None
    models: list[str] = Field(default_factory=list)
    percent: bool = False

    @property
    def key(self) -> str:
        """The name in results.csv: "training: loss" for a metric of metrics.jsonl, which may also be one of summary.json."""
        return f"training: {self.metric}" if self.training else f"{self.metric}, {self.group}" if self.group else self.metric

    def __post_init__(self) -> None:
        if self.training and self.models:
            raise ValueError(f"{self.metric}: metrics.jsonl is that of the run itself; leave out models or training")
        if self.group is not None and (self.training or "=" not in self.group):
            raise ValueError(
                f"group={self.group}: field=value of test rows, for example meta_info.carrier=voice; not with training"
            )


@dataclass(config=_strict, frozen=True)
class FigureSettings:
    """How the figure is drawn."""

    panels: Annotated[list[Panel], Field(min_length=1)]
    x_label: str
    scale: Literal["names", "linear", "log"] = "names"


@dataclass(config=_strict, frozen=True)
class Study:
    """A study as it is written down.

    Attributes:
        question: what it asks, in one sentence.
        settings: overrides that all jobs share.
        seeds: each point is run with each of them.
        figure: what is drawn.
        start: overrides of a run that is made first and that every job starts from (`init_from`); null for none.
        vary: one key and its values (`{stage.num_generations: [2, 4, 8]}`), or
        points: named settings, where several keys change together.
        folder: where study.yaml lies.
    """

    question: str
    settings: dict[str, Value]
    seeds: Annotated[list[int], Field(min_length=1)]
    figure: FigureSettings
    start: dict[str, Value] | None = None
    vary: dict[str, list[Value]] | None = None
    points: list[Point] | None = None
    folder: Path = Path()

    def __post_init__(self) -> None:
        if (self.vary is None) == (self.points is None):
            raise ValueError("name either vary (a key and its values) or points (named settings), not both and not neither")
        if self.vary is not None and (len(self.vary) != 1 or not next(iter(self.vary.values()))):
            raise ValueError("vary holds one key with a list of values; where several keys change together, use points")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds={self.seeds}: a seed is named twice")
        names = [point.name for point in self.compared()]
        if len(set(names)) < len(names):
            raise ValueError(f"two points share a name: {names}")
        for place, mapping in (("settings", self.settings), ("start", self.start or {})):
            for key in {"seed", "init_from", "run_dir", "sweep.name"} & set(mapping) - ({"seed"} if place == "start" else set()):
                raise ValueError(f"{place}: {key} is set by the study itself; leave it out")

    @property
    def name(self) -> str:
        """The folder's name; also that of its sweep."""
        return self.folder.name

    def compared(self) -> list[Point]:
        """The points that are compared, in order."""
        if self.points is not None:
            return self.points
        key, values = next(iter((self.vary or {}).items()))
        return [Point(name=_shown(value), settings={key: value}) for value in values]

    def position(self, point: Point) -> float:
        """Where a point stands on a numeric axis.

        Raises:
            InputError: its value is no number.
        """
        value = next(iter(point.settings.values()))
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(
                f"{self.folder / FILE}: figure.scale={self.figure.scale} needs numbers to vary over, not {value!r}; use names"
            )
        return float(value)

    def overrides(self) -> list[str]:
        """What all jobs share, as overrides."""
        return [override(key, value) for key, value in self.settings.items()]

    def sweep(self) -> list[str]:
        """The study as overrides of a sweep: what is fixed, the points, the seeds."""
        seeds = "seed=" + ",".join(str(seed) for seed in self.seeds)
        if self.vary is not None:
            key, values = next(iter(self.vary.items()))
            axes = [f"{key}=" + ",".join(override("", value)[1:] for value in values)]
        else:
            axes = [override("sweep.points", [point.settings for point in self.compared()])]
        return [*self.overrides(), *axes, seeds, f"sweep.name={self.name}"]

    def jobs(self) -> list[tuple[Point, int, list[str]]]:
        """(point, seed, the overrides that tell this job from the others), points outermost."""
        return [
            (point, seed, [*(override(key, value) for key, value in point.settings.items()), f"seed={seed}"])
            for point, seed in itertools.product(self.compared(), self.seeds)
        ]


def load_study(folder: Path | str) -> Study:
    """Read `<folder>/study.yaml` (or the file itself).

    Raises:
        InputError: there is none, it is no YAML, or it says something a study does not have; names file, key and fix.
    """
    path = Path(folder)
    path = path / FILE if path.is_dir() or path.suffix not in (".yaml", ".yml") else path
    if not path.is_file():
        beside = path.parent.parent
        known = sorted(found.parent.name for found in beside.glob(f"*/{FILE}")) if beside.is_dir() else []
        hint = (
            did_you_mean(path.parent.name, known)
            if known
            else "a study is a folder with a study.yaml, like experiments/group_size"
        )
        raise InputError(f"study={folder}: there is no {path}; {hint}")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(tree, Mapping):
        raise InputError(f"{path}: a mapping is expected, with question, settings, vary or points, seeds and figure")
    allowed = [field.name for field in dataclasses.fields(Study) if field.name != "folder"]
    unknown = [str(key) for key in tree if key not in allowed]
    if unknown:
        raise InputError(f"{path}: unknown key '{unknown[0]}'; {did_you_mean(unknown[0], allowed)}")
    try:
        return TypeAdapter(Study).validate_python({**tree, "folder": path.parent.resolve()})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        raise InputError(f"{path}: {where + ': ' if where else ''}{message}") from None


def _shown(value: Value) -> str:
    return "all" if value is None else str(value)
