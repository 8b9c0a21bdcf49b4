"""Composition, errors and sweeps on Hydra 1.4 (a release candidate) as on 1.3, which the other tests use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import ROOT, SMALL, facial_r1, refused, run_directory

VERSION = "1.4.0rc3"


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Hydra 1.4 and what it needs, to be put before the installed one."""
    folder = tmp_path_factory.mktemp("hydra")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(folder), f"hydra-core=={VERSION}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"hydra-core {VERSION} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    return folder


def path(newer: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{newer}:{ROOT}"}


def test_the_newer_version_is_the_one_tested(newer):
    done = subprocess.run(
        [sys.executable, "-c", "import hydra; print(hydra.__version__)"],
        env={"PYTHONPATH": str(newer)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == VERSION


def test_composes_without_a_warning(newer):
    done = facial_r1("--cfg", "job", env=path(newer))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("override", "suggestion"),
    [("stage.lerning_rate=1", "'learning_rate'"), ("+stage.lerning_rate=1", "'learning_rate'"), ("stage=gpro", "'grpo'")],
)
def test_wrong_keys_come_with_a_suggestion(newer, override, suggestion):
    refused(facial_r1(override, env=path(newer)), suggestion)


def test_a_sweep_visits_every_point(newer, tmp_path, face_cache):
    done = facial_r1(
        "-m", "stage=grpo", "seed=1,2", "debug=dry_run", *SMALL, f"output_root={tmp_path}", cache=face_cache, env=path(newer)
    )
    table = (run_directory(done) / "sweep.csv").read_text()
    assert len(table.strip().splitlines()) == 3, table
