"""The tables by name."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from facial_r1.affect.wheels.embedded import read_embedded
from facial_r1.affect.wheels.scorer import Wheels
from facial_r1.config.suggest import did_you_mean
from facial_r1.errors import InputError

SOURCES = ("embedded", "mer2025", "mer2026")


def load(source: str = "embedded", root: str | Path | None = None) -> Wheels:
    """The wheels of a source; loaded once per process.

    Args:
        source: ``embedded``: shipped with this package, works offline. ``mer2025`` or ``mer2026``: the released tables, which
            published numbers need, read from `root`.
        root: For the released tables, the folder that holds them or a folder with `mer2025` and `mer2026` in it.

    Raises:
        InputError: No such source, or its files are missing or cannot be read.

    Example:
        >>> load("embedded").pair("[joyful]", "happy").f > 0.5
        True
    """
    if source not in SOURCES:
        raise InputError(f"wheels={source!r}: no such source; {did_you_mean(str(source), SOURCES)}")
    return _load(source, None if root is None or source == "embedded" else str(Path(root).expanduser().absolute()))


@lru_cache(maxsize=8)
def _load(source: str, root: str | None) -> Wheels:
    if source == "embedded":
        return Wheels(read_embedded())
    from facial_r1.affect.wheels.released import read_released  # spreadsheets and archives: only who reads them pays for them

    return Wheels(read_released(source, root))
