"""From a plain mapping to a typed `Job`, with every problem found named at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from facial_r1.config.schema import GRPO, STAGES, Job, Source
from facial_r1.config.suggest import did_you_mean
from facial_r1.config.sweep_schema import Sweep
from facial_r1.errors import InputError


def validate(tree: Mapping[str, Any]) -> Job:
    """The typed job of a composed configuration (plain dicts and lists, interpolations resolved).

    Raises:
        InputError: one message that lists every unknown key (with the nearest known one), every value of the wrong
            type or out of bounds, and every conflict between values.
    """
    if tree.get("sweep") is not None:
        validate_sweep(tree["sweep"])
    tree = {key: value for key, value in tree.items() if key not in ("hydra", "experiment", "sweep")}
    tree = _without_from(tree)
    try:
        job = _JOB.validate_python(tree)
    except ValidationError as error:
        lines = sorted({_explain(item, tree) for item in error.errors(include_url=False)})
        raise InputError(_headline(lines)) from None
    _check_rewards(job)
    _check_data(job)
    return job


def validate_sweep(node: Mapping[str, Any]) -> Sweep:
    """The typed settings of a sweep (the `sweep` node of a composed configuration).

    Raises:
        InputError: one message with every unknown key and wrong value.
    """
    try:
        return _SWEEP.validate_python(node)
    except ValidationError as error:
        found = [{**item, "loc": ("sweep", *item["loc"])} for item in error.errors(include_url=False)]
        raise InputError(_headline(sorted({_explain(item, {"sweep": node}) for item in found}))) from None


def _without_from(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree without the second names of `predictions`, which hold the same value.

    Raises:
        InputError: both are set, to different values.
    """
    result = dict(tree)
    for place in ("stage", "eval"):
        part = (result.get("stage") or {}).get("eval") if place == "eval" else result.get("stage")
        if not isinstance(part, Mapping) or "from" not in part:
            continue
        other, predictions = part["from"], part.get("predictions")
        if other is not None and other != predictions:
            raise InputError(
                f"configuration: stage.from={other} and stage.predictions={predictions} are two names of one setting: give one"
            )
        rest = {key: value for key, value in part.items() if key != "from"}
        result["stage"] = rest if place == "stage" else {**result["stage"], "eval": rest}
    return result


def to_dict(job: Any) -> dict[str, Any]:
    """A plain, JSON-ready mapping of a typed configuration object."""
    return dataclasses.asdict(job)


def known_keys(path: tuple[str, ...], tree: Mapping[str, Any]) -> list[str]:
    """Field names of the configuration object at `path` (for suggestions); empty when `path` is free-form."""
    cls: Any = Job
    here: Any = tree
    for place, part in enumerate(path):
        here = here.get(part) if isinstance(here, Mapping) else None
        if path[place - 1] == "sources" and cls is Source:  # the name or number of one
            continue
        if cls is Job and part == "sweep":
            cls = Sweep
        elif cls is Job and part == "stage":
            cls = STAGES.get(str(here.get("name")) if isinstance(here, Mapping) else "")
        else:
            cls = _dataclass_in(get_type_hints(cls).get(part)) if dataclasses.is_dataclass(cls) else None
        if cls is None:
            return []
    if cls is Source and path[-1] == "sources":
        return list(here) if isinstance(here, Mapping) else []
    return [field.name for field in _fields(cls)] + (["sweep"] if cls is Job else [])


_JOB: TypeAdapter[Job] = TypeAdapter(Job)
_SWEEP: TypeAdapter[Sweep] = TypeAdapter(Sweep)


def _fields(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()


def _dataclass_in(annotation: Any) -> Any:
    if dataclasses.is_dataclass(annotation):
        return annotation
    return next((arg for arg in get_args(annotation) if dataclasses.is_dataclass(arg)), None)


def _explain(item: Any, tree: Mapping[str, Any]) -> str:
    parts = [str(part) for part in item["loc"]]
    if len(parts) > 1 and parts[0] == "stage" and parts[1] in STAGES:
        parts.pop(1)  # pydantic names the chosen member of the union
    parts = [part for part in parts if not part.startswith(("constrained-", "function-"))]
    if parts[:2] == ["data", "sources"] and len(parts) > 2 and parts[2].isdecimal():
        parts[2] = _name_of_source(int(parts[2]), tree)
    while parts and parts[-1] in ("int", "float", "str"):
        parts.pop()
    where = ".".join(parts) or "the configuration"
    value = item.get("input")
    kind = item["type"]
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{where}: no such key; {did_you_mean(parts[-1], known_keys(tuple(parts[:-1]), tree))}"
    if kind == "missing":
        return f"{where}: needs a value"
    if kind in ("literal_error", "union_tag_invalid"):
        allowed = [
            str(x).strip("'")
            for x in str(item["ctx"].get("expected") or item["ctx"].get("expected_tags")).replace(" or ", ", ").split(", ")
        ]
        if kind == "union_tag_invalid":
            value, where = item["ctx"].get("tag"), f"{where}.name"
        return f"{where}={value}: not one of {', '.join(allowed)}"
    if kind == "value_error":
        return f"{where}: {item['ctx']['error']}" if where != "the configuration" else str(item["ctx"]["error"])
    if isinstance(value, Mapping):
        return f"{where}: {item['msg']}"
    return f"{where}={value}: {item['msg'][0].lower()}{item['msg'][1:]}"


def _name_of_source(place: int, tree: Mapping[str, Any]) -> str:
    """What the user calls a source of a mix: its name where there are names, else its number."""
    data = tree.get("data")
    sources = data.get("sources") if isinstance(data, Mapping) else None
    if not isinstance(sources, Mapping):
        return str(place)
    return str([name for name, one in sources.items() if one is not None][place])


def _headline(lines: list[str]) -> str:
    if len(lines) == 1:
        return f"configuration: {lines[0]}"
    return f"configuration: {len(lines)} problems\n" + "\n".join(f"  - {line}" for line in lines)


def _check_rewards(job: Job) -> None:
    from facial_r1 import rewards

    known = rewards.names()
    for name in [*job.reward.weights, *job.reward.options]:
        if name not in known:
            raise InputError(f"configuration: reward.weights.{name}: no such reward; {did_you_mean(name, known)}")
    for stage in (job.stage, getattr(job.stage, "grpo", None)):
        if not isinstance(stage, GRPO) or not stage.reasoning_rewards:
            continue
        for name in stage.reasoning_rewards:
            if name not in job.reward.weights:
                raise InputError(
                    f"configuration: stage.reasoning_rewards: {name} is not among the rewards of this job "
                    f"({', '.join(job.reward.weights)}); {did_you_mean(name, list(job.reward.weights))}"
                )
        if rewards.can_exceed(job.reward.weights, job.reward.limit):
            raise InputError(
                "configuration: stage.reasoning_rewards credits rewards one by one, and reward.limit clamps their sum: "
                "set reward.limit=null or stage.reasoning_rewards=[]"
            )


def _check_data(job: Job) -> None:
    """Names that only the data modules know; checked here so that a job is refused before anything else is done for it."""
    if job.data.kind == "source" or job.data.fold is not None or job.data.sources:
        from facial_r1.data.load import check_settings

        check_settings(job.data)
