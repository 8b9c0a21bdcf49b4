"""One pipeline and one GRPO run, made once for all report tests; tests must not change them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report import fixture_run


@pytest.fixture(scope="session")
def pipeline_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fixture_run.make_pipeline(tmp_path_factory.mktemp("runs") / "pipeline-0a1b", faces=30)


@pytest.fixture(scope="session")
def grpo_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fixture_run.make_grpo(tmp_path_factory.mktemp("runs") / "grpo-2c3d", faces=30)
