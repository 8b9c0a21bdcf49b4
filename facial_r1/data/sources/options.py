"""Options of readers that a type cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facial_r1.data.locate import absolute
from facial_r1.errors import InputError


def at_least(option: str, value: int, low: int) -> int:
    """`value` when it is `low` or more. Raises InputError otherwise."""
    if value < low:
        raise InputError(f"data.options.{option}={value}: give a whole number from {low} on")
    return value


def folders(option: str, value: str | Sequence[str] | None, default: Sequence[Path]) -> list[Path]:
    """Folders that an option names, absolute: one path or a list of them; `default` for None or an empty list.

    Raises:
        InputError: One of them does not exist.
    """
    items = [value] if isinstance(value, str) else list(value or ())
    paths = [absolute(item) for item in items] or list(default)
    for path in paths:
        if not path.is_dir():
            raise InputError(f"data.options.{option}: {path}: no such folder; name folders that exist, [dirA, dirB]")
    return paths
