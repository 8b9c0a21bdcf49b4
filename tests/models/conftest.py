"""Checkpoints with random weights, written as the hub lays them out, and configurations that load them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from facial_r1.config.schema import Model
from tests.models.families import FAMILIES


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder for each family, by architecture."""
    folders = {}
    for name, make in FAMILIES.items():
        torch.manual_seed(0)
        model, processor = make()
        folders[name] = tmp_path_factory.mktemp(name)
        model.save_pretrained(folders[name])
        processor.save_pretrained(folders[name])
    return folders


@pytest.fixture(params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    """Every supported architecture in turn."""
    return request.param


@pytest.fixture()
def model_config() -> Callable[..., Model]:
    """Make a `Model` configuration for an architecture, with float32 weights and native image sizes."""

    def make(architecture: str, source: Path | str = "unused", **changes: object) -> Model:
        given = {"dtype": "float32", "image_size": {"mode": "native"}} | changes
        return Model(name="test", source=str(source), architecture=architecture, **given)  # type: ignore[arg-type]

    return make
