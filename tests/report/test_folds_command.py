"""Evaluations of folds in one table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facial_r1.app import main
from tests.report.compare_cases import faces, write_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three folds of ten people, each with a model of its own; each person is in one."""
    root = tmp_path_factory.mktemp("folds")
    records = faces(root / "faces", 60)
    people = sorted({record["subject"] for record in records})
    return [
        str(
            write_run(
                root / f"fold{fold}", [r for r in records if people.index(r["subject"]) % 3 == fold], 0.6 + 0.1 * fold, fold
            )
        )
        for fold in range(3)
    ]


def value(run: str, name: str) -> float:
    return float(json.loads((Path(run) / "summary.json").read_text())["metrics"][name]["value"])


def test_the_mean_is_that_of_the_folds(runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["folds", *runs, "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "folds.json").read_text())
    for name in ("emotion/accuracy", "au/macro_f1"):
        each = [value(run, name) for run in runs]
        assert [found[f"folds/{fold}/{name}"]["value"] for fold in (1, 2, 3)] == pytest.approx(each)
        mean = found[f"folds/mean/{name}"]
        assert mean["value"] == pytest.approx(sum(each) / 3)
        assert mean["low"] < mean["value"] < mean["high"]
    said = capsys.readouterr().out
    assert "fold 3" in said and "mean" in said and "pooled" in said
    assert {path.name for path in tmp_path.iterdir()} == {"folds.csv", "folds.md", "folds.tex", "folds.json"}


def test_pooled_is_one_figure_over_all_rows(runs: list[str], tmp_path: Path):
    assert main(["folds", *runs, "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "folds.json").read_text())
    sizes = [found[f"folds/{fold}/emotion/accuracy"]["n"] for fold in (1, 2, 3)]
    right = sum(value(run, "emotion/accuracy") * size for run, size in zip(runs, sizes, strict=True))
    assert found["folds/pooled/emotion/accuracy"]["value"] == pytest.approx(right / sum(sizes))


@pytest.mark.parametrize(
    ("arguments", "part"),
    [([0], "at least two"), ([0, 0], "subject"), (["nowhere", 0], "no such run directory")],
)
def test_what_are_no_folds_is_refused(
    arguments: list[int | str], part: str, runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    chosen = [runs[one] if isinstance(one, int) else str(tmp_path / one) for one in arguments]
    assert main(["folds", *chosen, "--out", str(tmp_path / "out")]) == 2
    assert part in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
