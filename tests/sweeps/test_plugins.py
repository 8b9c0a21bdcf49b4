"""Launchers of Hydra get the jobs that are still to run; on Hydra 1.4 sweeps work as on 1.3."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from facial_r1.sweeps.plugins import _not_there
from tests.command import ROOT, command, environment
from tests.config.test_hydra_versions import newer  # noqa: F401  (a fixture: a folder with Hydra 1.4)
from tests.sweeps.conftest import acting


@pytest.fixture(scope="module")
def joblib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Hydra's joblib launcher."""
    folder = tmp_path_factory.mktemp("joblib")
    wanted = ["hydra-joblib-launcher==1.2.0", "joblib", "cloudpickle"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", str(folder), *wanted],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"the plugin cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    return folder


def test_a_launcher_runs_what_is_left_of_a_sweep(joblib, sweep, common, tmp_path):
    points = "sweep.points=[{seed: 1, run_name: a},{seed: 2, run_name: b},{seed: 3, run_name: c}]"
    sweep("sweep.name=x", "sweep.points=[{seed: 1, run_name: a}]")
    line = command("-m", *common, "sweep.name=x", points, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    done = subprocess.run(line, cwd=ROOT, env=acting({}, joblib), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = list(csv.DictReader((tmp_path / "out/sweeps/x/sweep.csv").open()))
    assert [(row["run_name"], row["state"]) for row in rows] == [("a", "finished"), ("b", "finished"), ("c", "finished")]
    assert done.stderr.count("facial_r1: starting eval") == 2


@pytest.mark.parametrize(
    ("version", "wanted"), [("1.3.8", "hydra-submitit-launcher==1.2.0"), ("1.4.0rc3", "hydra-submitit-launcher==1.4.0rc3")]
)
def test_a_plugin_that_is_not_there_is_named_with_the_version_that_fits(monkeypatch, version, wanted):
    monkeypatch.setattr("hydra.__version__", version)
    message = _not_there("launcher/submitit_slurm", "launcher", "submitit_slurm")
    assert wanted in message and "sweep.jobs=" in message


def test_sweeps_work_on_the_newer_hydra(newer: Path):  # noqa: F811
    """Those tests of this folder that go through Hydra once more, in one process with the other version."""
    chosen = "grammar or quick_way or finished_sweep or zipped or experiment_file or edited_yaml or on_request or over_a_past_run"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/sweeps/test_expand.py", "tests/sweeps/test_trees.py", "tests/sweeps/test_run.py",
         "tests/sweeps/test_rerun.py", "-k", chosen],
        cwd=ROOT, env=environment(extra={"PYTHONPATH": f"{newer}:{ROOT}", "OMP_NUM_THREADS": "1"}), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.count(".") >= 15, done.stdout[-3000:] + done.stderr[-1000:]
