"""The wheel carries conf/ and the base weights, and answers from another directory."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.command import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    (found,) = folder.glob("facial_r1-*.whl")
    return found


def test_carries_every_configuration_file(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        f"facial_r1/conf/{path.relative_to(ROOT / 'conf')}"
        for path in (ROOT / "conf").rglob("*.yaml")
        if "local" not in path.parts
    }
    assert wanted <= names, sorted(wanted - names)


def test_carries_the_base_weights(wheel):
    assert any(name.endswith("weights/model.safetensors") for name in zipfile.ZipFile(wheel).namelist())


def test_the_installed_command_answers_from_another_directory(wheel, tmp_path):
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)], check=True
    )
    code = "import sys, facial_r1; from facial_r1.app import main; sys.stderr.write(facial_r1.__file__); raise SystemExit(main(['--cfg', 'job']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(target) in done.stderr, "another installation answered"
    assert "num_generations: 8" in done.stdout


def test_the_console_script_is_declared(wheel):
    archive = zipfile.ZipFile(wheel)
    (entry,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "facial-r1 = facial_r1.app:main" in archive.read(entry).decode()
