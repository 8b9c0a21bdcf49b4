"""Shared by all tests: quiet libraries, no network, a cache of drawn faces for the session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder with recorded reference outputs; the test is skipped where it is absent."""
    folder = Path(os.environ.get("FACIAL_R1_REFERENCE", ROOT.parent / "shared" / "reference"))
    if not folder.is_dir():
        pytest.skip(f"reference outputs are not at {folder}; set FACIAL_R1_REFERENCE")
    return folder


@pytest.fixture(scope="session")
def face_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for the session, so that a dataset of drawn faces is made once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def cold_start(tmp_path_factory: pytest.TempPathFactory, face_cache: Path) -> Path:
    """A finished SFT run of a few seconds on drawn faces: the model knows the answer format, more or less."""
    from tests.command import SMALL, facial_r1, run_directory

    folder = tmp_path_factory.mktemp("cold_start")
    done = facial_r1(
        "stage=sft",
        *SMALL,
        "stage.epochs=6",
        "stage.per_device_batch_size=8",
        "stage.evaluate=false",
        f"run_dir={folder}/run",
        cache=face_cache,
    )
    return run_directory(done)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: with several processes none is left alone with them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
