"""Jobs of milliseconds: answers from a file are scored, no model is loaded. What a job does instead is said by its seed."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from facial_r1.app import main
from tests.command import ROOT

LABELS = ("happiness", "sadness", "anger", "fear")

#: Put on PYTHONPATH as sitecustomize.py: jobs of chosen seeds fail, wait, or kill their process, in parents and children alike.
#: None draws figures or builds a report: most of what a job of eight rows costs, and tested elsewhere.
BEHAVIOUR = """
import json, os, signal, sys, time
if os.environ.get("SWEEP_TEST") and sys.argv[-1:] != ["-c"]:
    import facial_r1.stages as stages
    real = stages.run_stage
    def run_stage(context):
        import facial_r1.stages.scoring as scoring, facial_r1.worker as worker
        scoring._write_confusion = worker.build_report = lambda *given: None
        what = json.loads(os.environ["SWEEP_TEST"]).get(str(context.job.seed))
        if what == "fail":
            raise RuntimeError("made to fail")
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        while what in ("wait", "deaf"):
            time.sleep(0.02)
            if what == "wait":
                context.stop.check()
        return real(context)
    stages.run_stage = run_stage
"""


@dataclass(frozen=True)
class Outcome:
    """A finished command: exit code, what it wrote, and the folder it names."""

    code: int
    out: str
    err: str

    @property
    def folder(self) -> Path:
        return Path(self.out.strip().splitlines()[-1].removeprefix("run: "))

    @property
    def started(self) -> int:
        """Jobs that were started or continued."""
        return sum(line.startswith(("facial_r1: starting eval", "facial_r1: continuing")) for line in self.err.splitlines())

    def table(self) -> list[dict[str, str]]:
        return list(csv.DictReader((self.folder / "sweep.csv").open()))

    def states(self) -> list[str]:
        return [row["state"] for row in self.table()]


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with eight rows and an answer to each."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("answers")
    Image.new("RGB", (64, 64), (150, 120, 100)).save(folder / "face.png")
    rows = [
        {"id": f"r{n}", "dataset": "mine", "image": "face.png", "question": "", "AUs": ["AU12"], "labels": [LABELS[n % 4]],
         "description": "", "meta_info": {}, "subject": f"s{n % 4}"}
        for n in range(8)
    ]  # fmt: skip
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = [
        {"id": f"r{n}", "completion": f"<think>Up (AU12).</think><answer>{LABELS[n % 4] if n % 3 else 'happiness'}</answer>"}
        for n in range(8)
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    return folder


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with `sitecustomize.py`."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(BEHAVIOUR)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, site: Path) -> None:
    """The same for the jobs of this process, and for the children that it starts."""
    monkeypatch.setattr("facial_r1.worker.build_report", lambda run: None)
    monkeypatch.setattr("facial_r1.app.runs.build_report", lambda run: None)
    monkeypatch.setattr("facial_r1.stages.scoring._write_confusion", lambda *given, **named: None)
    monkeypatch.setenv("SWEEP_TEST", "{}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT), os.environ.get("PYTHONPATH", "")]))


@pytest.fixture
def common(answers: Path, tmp_path: Path) -> list[str]:
    """The settings that all jobs share."""
    return [
        "stage=eval", "data=jsonl", f"data.test_files=[{answers}/rows.jsonl]", f"data.test_images=[{answers}]",
        f"stage.predictions={answers}/answers.jsonl", "stage.resamples=20", f"output_root={tmp_path}/out",
    ]  # fmt: skip


@pytest.fixture
def sweep(common: list[str], capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs `-m <settings>` in this process."""

    def run(*settings: str, multirun: bool = True, shared: bool = True) -> Outcome:
        capfd.readouterr()
        code = main([*(["-m"] if multirun else []), *(common if shared else []), *settings])
        written = capfd.readouterr()
        return Outcome(code, written.out, written.err)

    return run


def acting(seeds: dict[str, str], *folders: Path) -> dict[str, str]:
    """The environment of a process in which jobs of these seeds "fail", "wait", are "deaf" or "kill" their process.

    Args:
        seeds: seed -> what its job does.
        folders: further packages for it.
    """
    path = os.pathsep.join([os.environ["PYTHONPATH"], *map(str, folders)])
    return {**os.environ, "PYTHONPATH": path, "SWEEP_TEST": json.dumps(seeds)}


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes jobs of these seeds fail in this process; without seeds none does."""
    import facial_r1.stages as stages

    real = stages.run_stage

    def choose(*seeds: int) -> None:
        def run_stage(context):  # type: ignore[no-untyped-def]
            if context.job.seed in seeds:
                raise RuntimeError("made to fail")
            return real(context)

        monkeypatch.setattr(stages, "run_stage", run_stage)

    return choose
