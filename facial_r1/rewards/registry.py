"""Rewards by name: small pure functions of a parsed completion and its record."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facial_r1.config.suggest import did_you_mean
from facial_r1.errors import InputError

Values = list[float | None]
RewardFunction = Callable[..., Values]


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered reward: its function, one line that says what it is, the options that it takes, and how far from 0 it can be."""

    name: str
    function: RewardFunction
    line: str
    options: tuple[str, ...]
    bound: float | None = None


_REGISTRY: dict[str, Entry] = {}


def reward(name: str, line: str, bound: float | None = None) -> Callable[[RewardFunction], RewardFunction]:
    """Register a reward.

    The function takes ``completions`` and ``records`` of equal length, then its options as keyword arguments, and returns
    one value per completion; None says that the reward does not apply to the record, and is never replaced by a constant.

    Args:
        name: What ``reward.weights`` and `score` call it.
        line: One line for ``ls rewards``.
        bound: The largest absolute value that it can have; None where that is not known.

    Raises:
        ValueError: The name is taken.
    """

    def register(function: RewardFunction) -> RewardFunction:
        if name in _REGISTRY:
            raise ValueError(f"reward {name!r} is registered twice")
        options = tuple(list(inspect.signature(function).parameters)[2:])
        _REGISTRY[name] = Entry(name, function, line, options, bound)
        return function

    return register


def names() -> list[str]:
    """All rewards, in alphabetical order."""
    return sorted(_REGISTRY)


def describe() -> list[Entry]:
    """All rewards with their line and options, in alphabetical order."""
    return [_REGISTRY[name] for name in names()]


def score(name: str, completions: Sequence[str], records: Sequence[Mapping[str, Any]], **options: Any) -> Values:
    """One reward for each completion.

    Args:
        name: A registered reward.
        completions: What the model wrote.
        records: The record behind each completion, with the published keys (``AUs``, ``labels``, ...).
        options: Of this reward, see `describe`.

    Returns:
        Finite values; None where the reward does not apply to the record.

    Raises:
        InputError: Unknown reward or option, or an option's value makes no sense.
        ValueError: There are not as many records as completions.
    """
    entry = _REGISTRY.get(name)
    if entry is None:
        raise InputError(f"reward {name!r}: no such reward; {did_you_mean(name, names())}")
    check_options(name, options)
    if len(completions) != len(records):
        raise ValueError(f"reward {name!r}: {len(completions)} completions, but {len(records)} records")
    values = entry.function(completions, records, **options)
    return [None if value is None or not math.isfinite(value) else float(value) for value in values]


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Raise InputError when a reward has no such option."""
    entry = _REGISTRY[name]
    for option in options:
        if option not in entry.options:
            raise InputError(f"reward.options.{name}.{option}: no such option; {did_you_mean(option, entry.options)}")


def can_exceed(weights: Mapping[str, float], limit: float | None) -> bool:
    """Whether the weighted sum of these rewards can be beyond ``[-limit, limit]``; a reward of unknown bound may be anything.

    >>> can_exceed({"au_compat": 1.0, "accuracy_compat": 1.0, "format_compat": 1.0}, 10.0)
    False
    """
    bounds = [(weight, _REGISTRY[name].bound if name in _REGISTRY else None) for name, weight in weights.items() if weight]
    known = [abs(weight) * bound for weight, bound in bounds if bound is not None]
    return limit is not None and (len(known) < len(bounds) or math.fsum(known) > limit)


def combine(
    values: Mapping[str, Sequence[float | None]],
    weights: Mapping[str, float],
    limit: float | None = None,
) -> Values:
    """The weighted sum of several rewards over the same completions.

    Rewards that do not apply to a row (None) are left out of its sum; a row to which none applies has None.

    Args:
        values: Reward name to one value per completion.
        weights: Reward name to weight; a reward with weight 0 is not counted.
        limit: Clamp the sum to ``[-limit, limit]`` (the released Facial-R1 code clamps to 10).

    Raises:
        InputError: A reward has no weight, or a weight is not finite.
        ValueError: The rewards differ in length.
    """
    for name in values:
        if name not in weights:
            raise InputError(f"reward.weights.{name}: no weight given; {did_you_mean(name, weights)}")
        if not math.isfinite(weights[name]):
            raise InputError(f"reward.weights.{name}={weights[name]}: give a finite number")
    if len({len(column) for column in values.values()}) > 1:
        raise ValueError("rewards differ in length: " + ", ".join(f"{name} {len(column)}" for name, column in values.items()))
    counted = [(weights[name], column) for name, column in values.items() if weights[name] != 0]
    rows = len(next(iter(values.values()), ()))
    return [_clamp([(weight, column[row]) for weight, column in counted], limit) for row in range(rows)]


def _clamp(terms: Sequence[tuple[float, float | None]], limit: float | None) -> float | None:
    applying = [weight * value for weight, value in terms if value is not None and math.isfinite(value)]
    if not applying:
        return None
    total = math.fsum(applying)
    return total if limit is None else max(-limit, min(limit, total))
