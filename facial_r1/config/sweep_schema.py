"""The typed settings of a sweep: the `sweep` node of `conf/config.yaml`.

They say how jobs are run and never what a job is, so they are part of no job's identity and of no `resolved.yaml`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

_strict = ConfigDict(extra="forbid")
_NAME = re.compile(r"\w[\w.+=,-]{0,119}")

PositiveInt = Annotated[int, Field(ge=1)]


@dataclass(config=_strict)
class Search:
    """Points chosen by optuna instead of a grid. See `facial_r1.sweeps.search`."""

    trials: PositiveInt | None = None
    sampler: Literal["tpe", "random"] = "tpe"
    seed: Annotated[int, Field(ge=0)] = 0


@dataclass(config=_strict)
class Sweep:
    """How the jobs of `-m` are run."""

    name: str | None = None
    on_failure: Literal["continue", "stop"] = "continue"
    retry: bool = False
    points: list[dict[str, Any]] | None = None
    jobs: PositiveInt = 1
    gpus_per_job: PositiveInt = 1
    drift: Literal["refuse", "allow"] = "refuse"
    objective: str | None = None
    direction: Literal["maximize", "minimize"] = "maximize"
    optuna: Search = Field(default_factory=Search)

    def __post_init__(self) -> None:
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise ValueError(f"name={self.name}: a folder name, of letters, digits and . _ + = , - only")
        if self.points is not None and not self.points:
            raise ValueError("points=[]: no point to run; give one mapping a job, [{seed: 1}, {seed: 2}], or leave it out")
        for number, point in enumerate(self.points or []):
            if not point:
                raise ValueError(f"points[{number}]={{}}: an empty point; name at least one setting")
        if self.points and self.optuna.trials:
            raise ValueError("points are fixed and optuna.trials chooses points: give one of the two")
