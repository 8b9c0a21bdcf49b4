"""Runs of the application that are cut off at any moment, and what must be true of them afterwards.

`FACIAL_R1_KILLS` is how often each harness test cuts (default 2), `FACIAL_R1_SEED` where its moments come from; both are in the
message of a failure.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from facial_r1.runs import RunDirectory
from facial_r1.tracking.jsonl import read_metrics
from tests.command import environment
from tests.forked import Forks

KILLS = int(os.environ.get("FACIAL_R1_KILLS", "2"))
SEED = int(os.environ.get("FACIAL_R1_SEED", "20"))
#: Seconds after which nothing of a stopped run may be left.
LEFT = 15.0
_TOKEN = "FACIAL_R1_HARNESS"


@dataclass
class Ended:
    """How a run ended: its exit code (negative: the signal that killed it) and what it said."""

    code: int
    out: str
    err: str
    seconds: float


@dataclass
class Zygote:
    """Starts runs that carry a token, so that what they leave behind is found (see `tests.forked`)."""

    folder: Path
    cache: Path
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self._env = environment(self.cache, {_TOKEN: self.token, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"})
        self._forks = Forks(self.folder, self._env)

    def start(self, line: Sequence[str], env: Mapping[str, str] | None = None) -> Running:
        child = self._forks.start(line, {**self._env, **(env or {}), _TOKEN: f"{self.token}-{uuid.uuid4().hex}"})
        return Running(self, child.pid, child.out, child.err, child.env[_TOKEN], child.began)

    def run(self, *line: str, env: Mapping[str, str] | None = None, timeout: float = 300) -> Ended:
        return self.start(line, env).wait(timeout)

    def poll(self, pid: int) -> int | None:
        return self._forks.poll(pid)

    def close(self) -> None:
        self._forks.close()


@dataclass
class Running:
    """A run that was started."""

    zygote: Zygote
    pid: int
    out: Path
    err: Path
    token: str
    began: float

    def wait(self, timeout: float) -> Ended:
        end = time.monotonic() + timeout
        while (code := self.zygote.poll(self.pid)) is None:
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"still running after {timeout} s: {self.err.read_text()[-2000:]}")
            time.sleep(0.02)
        return Ended(code, self.out.read_text(), self.err.read_text(), time.monotonic() - self.began)

    def cut(self, after: float, number: int) -> Ended:
        """Send a signal to the parent after so many seconds; nothing of the run may be left `LEFT` seconds later."""
        time.sleep(max(0.0, self.began + after - time.monotonic()))
        code = self.zygote.poll(self.pid)
        if code is not None:
            return Ended(code, self.out.read_text(), self.err.read_text(), time.monotonic() - self.began)
        os.kill(self.pid, number)
        ended = self.wait(LEFT)
        left = with_token(self.token)
        assert not left, f"left behind: {left}"
        return ended


def with_token(token: str) -> list[str]:
    """Command lines of the processes that carry a token in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{_TOKEN}={token}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [line for line in found if line]


def moments(count: int, longest: float, salt: str) -> list[float]:
    """Moments in seconds, one in each of `count` equal parts of a run, in random order."""
    chance = random.Random(f"{SEED}-{salt}")
    places = [(place + chance.random()) / count * longest for place in range(count)]
    chance.shuffle(places)
    return places


def artefacts(run: Path) -> dict[str, Any]:
    """What a run leaves behind for its user, without times and without its own name."""
    folder = RunDirectory(run)
    kept: dict[str, Any] = {"state": folder.state()}
    summary = folder.read_summary()
    summary.pop("seconds", None)
    kept["summary"] = summary
    for name in ("samples.jsonl", "accepted.jsonl", "rejected.jsonl", "confusion.csv"):
        if (run / name).is_file():
            kept[name] = (run / name).read_text().replace(str(run), "<run>")
    if folder.metrics.is_file():
        rows = read_metrics(folder.metrics)
        kept["metrics"] = [{key: value for key, value in row.items() if key not in ("time", "seconds/step")} for row in rows]
    if folder.model.is_dir():
        kept["weights"] = {name: value.tobytes() for name, value in load_file(folder.model / "model.safetensors").items()}
        kept["model files"] = sorted(path.name for path in folder.model.iterdir())
    return kept


def same(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    """Names of the artefacts in which two runs differ."""
    return [name for name in {**left, **right} if left.get(name) != right.get(name)]


def claims(run: Path) -> dict[str, Any]:
    """What a cut-off run says it has; checked as far as it can be, and kept to be found again after the rerun."""
    folder = RunDirectory(run)
    status = folder.status()
    if status.get("state") == "finished":
        assert folder.summary.is_file(), "status.json says finished, and there is no summary"
    if status.get("model") and Path(status["model"]).is_relative_to(run):
        load_file(Path(status["model"]) / "model.safetensors")
    complete = sorted(
        int(json.loads(path.read_text())["global_step"])
        for path in folder.checkpoints.glob("*/trainer_state.json")
        if _is_json(path)
    )
    for step in complete:
        load_file(folder.checkpoints / f"checkpoint-{step}" / "model.safetensors")
    written = {}
    for name in ("written", "answers"):
        for path in run.glob(f"{name}.rank*.jsonl"):
            for line in path.read_text().splitlines():
                if line.endswith("}"):
                    written[f"{name} {json.loads(line)['id']}"] = line
    return {"checkpoint": complete[-1] if complete else 0, "written": written}


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True
