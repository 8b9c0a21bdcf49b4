"""A disk that is full in the middle of a run: one readable message, and the same command goes on once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from facial_r1 import disk
from facial_r1.runs import RunDirectory
from tests.launch.harness import Zygote, artefacts, same
from tests.launch.runs import Straight


class SmallDisk:
    """A file system of a few megabytes, in memory."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        folder.mkdir()
        self.folder = folder
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")

    def grow(self, megabytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(self.folder)], check=True)

    def fill(self) -> Path:
        """Take all the room that is left."""
        ballast = self.folder / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                return ballast


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    found = SmallDisk(tmp_path / "disk", 70)
    yield found
    subprocess.run(["umount", "-l", str(found.folder)], check=False)


def test_training_stops_with_one_message_and_goes_on(straight: Straight, small_disk: SmallDisk, zygote: Zygote):
    run = RunDirectory(small_disk.folder / "run")
    line = [*straight.line("sft"), f"run_dir={run.path}"]
    first = zygote.run(*line)
    told = [text for text in first.err.splitlines() if "disk is full" in text]
    assert first.code == 1 and len(told) == 1, first.err
    assert "the checkpoint of step 6" in told[0] and "free there" in told[0] and "the same command continues" in told[0]
    assert "Traceback" not in first.err and "Logging error" not in first.err, first.err
    assert run.state() == "failed" and "disk is full" in run.status()["reason"]
    assert [path.name for path in run.checkpoints.glob("checkpoint-*")] == ["checkpoint-3"], "what was cut off takes room"
    load_file(run.checkpoints / "checkpoint-3" / "model.safetensors")
    small_disk.grow(400)
    second = zygote.run(*line)
    assert second.code == 0, second.err
    assert "from checkpoint-3" in second.err
    assert not (differ := same(straight.artefacts("sft"), artefacts(run.path))), f"differs in {differ}"


def test_an_evaluation_is_told_whatever_does_not_fit(straight: Straight, small_disk: SmallDisk, zygote: Zygote):
    run = RunDirectory(small_disk.folder / "run")
    line = [*straight.line("eval"), f"run_dir={run.path}"]
    ballast = small_disk.fill()
    told = []
    for room in (24, 24, 60, 200):  # KiB more each time
        os.truncate(ballast, ballast.stat().st_size - room * 1024)
        done = zygote.run(*line)
        assert "Traceback" not in done.err and "Logging error" not in done.err, done.err
        if done.code == 0:
            break
        told.append([text for text in done.err.splitlines() if "disk is full" in text or "No space left" in text])
        assert done.code in (1, 2) and len(told[-1]) == 1, done.err
    assert told and done.code == 0, told
    assert not (differ := same(straight.artefacts("eval"), artefacts(run.path))), f"differs in {differ}: {told}"


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError(122, "Disk quota exceeded"),
        RuntimeError(
            "[enforce fail at inline_container.cc:858] . PytorchStreamWriter failed writing file data/3: file write failed"
        ),
        ValueError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_libraries_that_report_a_full_disk_in_words_are_understood(error: Exception, tmp_path: Path):
    with (
        pytest.raises(disk.DiskFull, match=r"the disk is full: the model could not be written into .* free there"),
        disk.writing("the model", tmp_path),
    ):
        raise error


def test_other_errors_pass(tmp_path: Path):
    with pytest.raises(PermissionError), disk.writing("the model", tmp_path):
        raise PermissionError(13, "Permission denied")
