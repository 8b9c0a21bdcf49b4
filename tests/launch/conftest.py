"""A zygote for the session: runs without the seconds of importing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import SMALL
from tests.launch.harness import Zygote
from tests.launch.runs import Straight

FITTED = [
    *SMALL, "stage.epochs=6", "stage.per_device_batch_size=8", "stage.evaluate=false",
]  # fmt: skip


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory, face_cache: Path) -> Iterator[Zygote]:
    """Starts runs of the application in forked children."""
    found = Zygote(tmp_path_factory.mktemp("zygote"), face_cache)
    yield found
    found.close()


@pytest.fixture(scope="session")
def fitted(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished SFT run of a few seconds, to start others from."""
    run = tmp_path_factory.mktemp("fitted") / "run"
    done = zygote.run("stage=sft", *FITTED, f"run_dir={run}")
    assert done.code == 0, done.err
    return run


@pytest.fixture(scope="session")
def straight(zygote: Zygote, fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Straight:
    """Short runs of the stages that nobody interrupts."""
    return Straight(zygote, fitted, tmp_path_factory.mktemp("straight"))
