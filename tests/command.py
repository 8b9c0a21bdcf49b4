"""Runs the command line as a user does, in a process of its own.

The process is forked from one that has imported torch and the rest, which costs each of some hundred commands seconds less;
`fresh=True` starts Python anew.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from tests.forked import ROOT, Forks

# A job of a few seconds: few drawn faces, small batches, no evaluation of every row.
SMALL = [
    "data.schematic.train=48", "data.schematic.test=16", "data.schematic.instructions=24",
]  # fmt: skip


def facial_r1(
    *arguments: str,
    cwd: Path | None = None,
    cache: Path | None = None,
    env: dict[str, str] | None = None,
    timeout: float = 300,
    fresh: bool = False,
) -> subprocess.CompletedProcess[str]:
    """`python -m facial_r1 ...`; returns the finished process with its output as text."""
    given = environment(cache, env)
    if not fresh:
        return _forks().run(arguments, given, cwd or ROOT, timeout)
    return subprocess.run(
        command(*arguments), cwd=cwd or ROOT, env=given, capture_output=True, text=True, timeout=timeout, check=False
    )


@lru_cache(maxsize=1)
def _forks() -> Forks:
    folder = tempfile.TemporaryDirectory(prefix="facial_r1_tests_")
    found = Forks(Path(folder.name), environment())
    atexit.register(folder.cleanup)
    atexit.register(found.close)  # runs first
    return found


def command(*arguments: str) -> list[str]:
    """The command line of the application."""
    return [sys.executable, "-m", "facial_r1", *arguments]


def environment(cache: Path | None = None, extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of such a process: this checkout importable from anywhere, a cache of its own."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PYTHONPATH": path, **(extra or {})}
    if cache is not None:
        env["FACIAL_R1_CACHE"] = str(cache)
    return env


def run_directory(done: subprocess.CompletedProcess[str]) -> Path:
    """The run directory that a finished command names on the last line of its standard output."""
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stderr[-3000:]}"
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("run: "), f"the last line of standard output is {last!r}"
    return Path(last.removeprefix("run: "))


def refused(done: subprocess.CompletedProcess[str], *wanted: Sequence[str]) -> str:
    """Check that a command was refused: exit 2, no traceback, and all of `wanted` in its message. Returns the message."""
    assert done.returncode == 2, f"exit {done.returncode}\n{done.stderr[-3000:]}"
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    for part in wanted:
        assert str(part) in done.stderr, f"{part!r} is not in:\n{done.stderr}"
    return done.stderr
