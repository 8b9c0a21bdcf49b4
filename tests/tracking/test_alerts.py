"""A collapse is said where somebody looks: on the console, in alerts.jsonl, and by the dashboards' own alerts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facial_r1.config.schema import Tracker as TrackerConfig
from facial_r1.tracking import open_trackers
from facial_r1.tracking.collapse import PATIENCE
from tests.tracking.fake_trackio import fake_trackio

COLLAPSES = {
    "groups without spread": [{"groups/zero_variance": 1.0}] * PATIENCE,
    "answers do not parse": [{"completions/parse_failures": 0.9}] * PATIENCE,
    "completions explode in length": [{"completions/mean_length": 40.0}] * PATIENCE
    + [{"completions/mean_length": 400.0}] * PATIENCE,
}


def fake_wandb(alerts: list[dict[str, Any]]) -> SimpleNamespace:
    run = SimpleNamespace(
        define_metric=lambda *names, **options: None,
        log=lambda values: None,
        alert=lambda **said: alerts.append(said),
        summary={},
        finish=lambda exit_code: None,
    )
    return SimpleNamespace(init=lambda **arguments: run, Settings=dict)


def watched(folder: Path, tracker: str, rows: list[dict[str, float]]) -> None:
    trackers = open_trackers(TrackerConfig(name=tracker), folder, {"output_root": str(folder)}, {"stage": "grpo"})  # type: ignore[arg-type]
    for step, row in enumerate(rows, start=1):
        trackers.log(step, row)
    trackers.finish()


@pytest.mark.parametrize("title", COLLAPSES)
def test_a_collapse_becomes_one_wandb_alert(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alerts: list[dict[str, Any]] = []
    monkeypatch.setitem(sys.modules, "wandb", fake_wandb(alerts))
    watched(tmp_path, "wandb", COLLAPSES[title])
    assert [alert["title"] for alert in alerts] == [title] and alerts[0]["level"] == "WARN"
    assert capsys.readouterr().err.count(f"alert: {title}") == 1


@pytest.mark.parametrize("title", COLLAPSES)
def test_a_collapse_becomes_one_trackio_alert(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fake_trackio(monkeypatch)
    watched(tmp_path, "trackio", COLLAPSES[title])
    assert [(alert["title"], alert["level"]) for alert in said.alerts] == [(title, "warn")]
    assert said.alerts[0]["step"] == len(COLLAPSES[title])
    assert capsys.readouterr().err.count(title) == 1, "trackio prints alerts too; one line is enough"


@pytest.mark.parametrize("title", COLLAPSES)
def test_a_collapse_is_kept_in_the_run_directory(title: str, tmp_path: Path) -> None:
    watched(tmp_path, "jsonl", COLLAPSES[title])
    [alert] = [json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text().splitlines()]
    assert alert["title"] == title
