"""PNG figures are written whole and have sensible sizes."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
from PIL import Image

from facial_r1.report.figures import au_bars_png, confusion_png, curves_png


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        return image.size


def test_confusion_with_an_unparsed_column(tmp_path: Path) -> None:
    path = confusion_png(
        ["fear", "anger"], [[3, 1, 0], [0, 0, 0]], tmp_path / "x" / "confusion.png", columns=["fear", "anger", "unparsed"]
    )
    assert min(size(path)) > 300
    assert [entry.name for entry in path.parent.iterdir()] == ["confusion.png"]


def test_a_matrix_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        confusion_png(["fear", "anger"], [[1, 2]], tmp_path / "x.png")


def test_curves_with_gaps_and_a_single_point(tmp_path: Path) -> None:
    rows = [{"step": step, "loss": math.sin(step), "kl": None if step != 3 else 0.1} for step in range(1, 80)]
    assert min(size(curves_png(rows, ["loss", "kl", "absent"], tmp_path / "x.png", "Title"))) > 300


@pytest.mark.parametrize("models", [["grpo"], ["base", "sft", "grpo", "synthesis"]])
def test_action_units(tmp_path: Path, models: list[str]) -> None:
    block = {"au/f1/AU12": {"value": 0.9, "low": 0.8, "high": 0.95}, "au/f1/AU1": {"value": 0.5}, "au/f1/AU4": {"value": None}}
    assert min(size(au_bars_png(dict.fromkeys(models, block), tmp_path / "x.png"))) > 200


def test_no_action_units_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="au/f1"):
        au_bars_png({"sft": {"emotion/accuracy": {"value": 1.0}}}, tmp_path / "x.png")


def test_pyplot_stays_out(tmp_path: Path) -> None:
    confusion_png(["a"], [[1]], tmp_path / "x.png")
    assert "matplotlib.pyplot" not in sys.modules or sys.modules["matplotlib.pyplot"].get_fignums() == []
