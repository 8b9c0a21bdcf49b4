"""Runs of the application in forked children of a process that has imported everything (`tests.zygote`)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Child:
    """A run that was started, and where what it says goes."""

    pid: int
    out: Path
    err: Path
    env: Mapping[str, str]
    began: float


class Forks:
    """Starts runs.

    Args:
        folder: What the runs and the zygote say goes there.
        env: Of the zygote; each run is given its own whole environment.
    """

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._count = folder, 0
        self._errors = folder / "zygote.err"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.zygote"], cwd=ROOT, env=env, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._errors.open("w"),
        )  # fmt: skip
        self._hear()

    def start(self, line: Sequence[str], env: Mapping[str, str], cwd: Path = ROOT) -> Child:
        """Start `python -m facial_r1 <line>` in a session of its own."""
        self._count += 1
        out, err = (self._folder / f"{self._count}.{name}" for name in ("out", "err"))
        told = self._tell(start=list(line), env=dict(env), cwd=str(cwd), out=str(out), err=str(err))
        return Child(told["pid"], out, err, env, time.monotonic())

    def run(self, line: Sequence[str], env: Mapping[str, str], cwd: Path, timeout: float) -> subprocess.CompletedProcess[str]:
        """Start a run and wait for it, like `subprocess.run`."""
        child = self.start(line, env, cwd)
        while (code := self.poll(child.pid)) is None:
            if time.monotonic() - child.began > timeout:
                os.killpg(child.pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(line), timeout, child.out.read_text(), child.err.read_text())
            time.sleep(0.01)
        return subprocess.CompletedProcess(list(line), code, child.out.read_text(), child.err.read_text())

    def poll(self, pid: int) -> int | None:
        """A run's exit code, negative for the signal that ended it; None while it runs."""
        code: int | None = self._tell(poll=pid)["code"]
        return code

    def close(self) -> None:
        """End the zygote; runs go on."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the zygote ended: {self._errors.read_text()[-2000:]}"
        heard: dict[str, Any] = json.loads(line)
        return heard

    def _tell(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._hear()
