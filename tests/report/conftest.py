"""One pipeline and one GRPO run, made once for all report tests; tests must not change them. And a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.report import fixture_run
from tests.report.browser import Browser


@pytest.fixture(scope="session")
def pipeline_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fixture_run.make_pipeline(tmp_path_factory.mktemp("runs") / "pipeline-0a1b", faces=30)


@pytest.fixture(scope="session")
def grpo_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fixture_run.make_grpo(tmp_path_factory.mktemp("runs") / "grpo-2c3d", faces=30)


@pytest.fixture
def browse(tmp_path: Path) -> Iterator[Callable[..., Browser]]:
    """Opens a page in a browser of its own: `browse(page, width, dark)`."""
    opened: list[Browser] = []

    def start(page: Path, width: int = 1400, dark: bool = False) -> Browser:
        browser = Browser(tmp_path / f"profile{len(opened)}", width, 900, dark)
        opened.append(browser)
        browser.open(page)
        return browser

    yield start
    for browser in opened:
        browser.__exit__(None, None, None)
