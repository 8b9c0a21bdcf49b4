"""Opening trackers, and what a failing one does to a run."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml

from facial_r1.config.schema import Tracker as TrackerConfig
from facial_r1.errors import InputError
from facial_r1.tracking import REGISTRY, JsonlTracker, Trackers, open_trackers, read_metrics

CONF = Path(__file__).parents[2] / "conf" / "tracker"


class Failing:
    """A dashboard whose server is gone."""

    name = "failing"

    def __init__(self) -> None:
        self.calls = 0

    def __getattr__(self, action: str) -> Any:
        def fail(*arguments: Any) -> None:
            self.calls += 1
            raise ConnectionError(f"no route for {action}")

        return fail


def test_a_failing_dashboard_is_left_out_after_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    failing = Failing()
    trackers = Trackers([JsonlTracker(tmp_path)], [failing])
    with caplog.at_level(logging.WARNING):
        for step in range(1, 6):
            trackers.log(step, {"loss": 0.1})
        trackers.finish()
    assert failing.calls == 1
    assert [record.message for record in caplog.records if "failing failed at log" in record.message]
    assert len(caplog.records) == 1
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 5


def test_a_source_of_truth_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    trackers = Trackers([JsonlTracker(tmp_path / "absent")])
    with pytest.raises(FileNotFoundError):
        trackers.log(1, {"loss": 0.1})


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    trackers = open_trackers(TrackerConfig(name="wandb"), tmp_path, {}, {}, active=False)
    trackers.log(1, {"loss": float("nan")})
    trackers.finish()
    assert list(tmp_path.iterdir()) == []


def test_an_alert_reaches_the_console_the_log_and_the_run_directory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    trackers = open_trackers(TrackerConfig(), tmp_path, {}, {})
    with caplog.at_level(logging.INFO):
        trackers.log(3, {"loss": float("nan")})
    trackers.finish()
    said = capsys.readouterr()
    assert said.err.startswith("facial_r1: alert: loss is not finite: step 3") and said.out == ""
    assert "loss is not finite" in caplog.text
    assert "loss is not finite" in (tmp_path / "alerts.jsonl").read_text()


def test_finish_twice_is_harmless(tmp_path: Path) -> None:
    trackers = open_trackers(TrackerConfig(), tmp_path, {}, {})
    trackers.finish()
    trackers.finish()


def test_an_unknown_tracker_names_the_choices(tmp_path: Path) -> None:
    config = TrackerConfig()
    config.name = "clipboard"  # type: ignore[assignment]
    with pytest.raises(InputError, match="wandb"):
        open_trackers(config, tmp_path, {}, {})


def test_every_tracker_of_the_schema_is_registered() -> None:
    assert set(get_args(get_type_hints(TrackerConfig)["name"])) <= set(REGISTRY)


def test_missing_tensorboard_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        open_trackers(TrackerConfig(name="tensorboard"), tmp_path, {}, {})
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_files_hold_the_dashboard_names(tmp_path: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard is not installed")
    trackers = open_trackers(TrackerConfig(name="tensorboard"), tmp_path, {"seed": 1}, {"stage": "grpo"})
    trackers.log(2, {"loss": 0.25, "reward/mean": 0.5})
    trackers.finish("finished", {"metrics": {"au/macro_f1": {"value": 0.8}}})
    events = reading.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"policy/loss", "reward/mean", "eval/au/macro_f1"}
    assert events.Scalars("policy/loss")[0].step == 2


def test_importing_the_package_is_cheap() -> None:
    heavy = ("torch", "transformers", "wandb", "PIL", "numpy")
    script = f"import sys, facial_r1.tracking; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("file", sorted(CONF.glob("*.yaml")), ids=lambda file: file.stem)
def test_configuration_files_are_commented_and_valid(file: Path) -> None:
    text = file.read_text()
    lines = text.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["# What", "# Command", "# Cost"]
    values = {**yaml.safe_load((CONF / "jsonl.yaml").read_text()), **yaml.safe_load(text)}
    values.pop("defaults", None)
    assert TrackerConfig(**values).name == file.stem
    keys = [number for number, line in enumerate(lines) if line[:1].isalpha() and not line.startswith("defaults")]
    assert keys and all(lines[number - 1].startswith("# ") for number in keys)


def test_there_is_a_configuration_file_for_each_tracker() -> None:
    assert {file.stem for file in CONF.glob("*.yaml")} == set(REGISTRY) - {"none"}
