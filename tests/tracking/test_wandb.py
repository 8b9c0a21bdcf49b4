"""wandb offline: what it records is what the documentation lists, and it stays inside the run directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from facial_r1.config.schema import Tracker as TrackerConfig
from facial_r1.errors import InputError
from facial_r1.tracking import open_trackers
from tests.tracking.documentation import documented_names, filled

pytest.importorskip("wandb", reason="wandb is not installed")

LINEAGE: Any = {
    "stage": "grpo",
    "name": "grpo-1a2b",
    "parent": "/runs/sft-0c0d",
    "chain": [{"stage": "sft", "run": "/runs/sft-0c0d"}],
    "version": {"git": "abc"},
}
RESOLVED = {
    "model": {"name": "tiny"},
    "data": {"name": "schematic"},
    "generation": {"api_key": "very-secret"},  # pragma: allowlist secret
}
DOCUMENTED = [(filled(name), filled(shown)) for name, shown in documented_names().items()]
LOGGED = [name for name, _ in DOCUMENTED if name not in ("samples/x", "confusion")]  # those are a table and a picture
SUMMARY = {"metrics": {"au/macro_f1": {"value": 0.8, "low": 0.7, "high": 0.9}}, "failures": {"parse": 0.01}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of our own, without credentials, so that whatever strays can be seen."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("WANDB_", "XDG_"))]:
            patch.delenv(name)
        patch.setenv("HOME", str(folder))
        patch.setenv("WANDB_MODE", "offline")
        yield folder


@pytest.fixture(scope="module")
def run_dir(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that logged everything once, and was continued once."""
    folder = tmp_path_factory.mktemp("run")
    face = folder / "face.png"
    Image.new("RGB", (300, 300), (1, 200, 3)).save(face)
    config = TrackerConfig(name="wandb", group="study", tags=["mine"])
    for step in (1, 2):
        trackers = open_trackers(config, folder, RESOLVED, LINEAGE, resume_step=step - 1)
        trackers.log(step, dict.fromkeys(LOGGED, 0.5))
        trackers.table(step, "rollouts", [{"image": str(face), "completion": "<b>AU12</b>", "reward": 1.0, "labels": ["fear"]}])
        trackers.image(step, "face", face, face=True)
        trackers.image(step, "confusion", face)
        trackers.alert("answers do not parse", f"step {step}")
        trackers.finish("finished", SUMMARY)
    return folder


def records(folder: Path) -> list[dict[str, Any]]:
    """All records of all offline runs in a run directory, as `wandb leet inspect` prints them."""
    found = []
    for log in sorted((folder / "wandb").glob("offline-run-*")):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", str(log), "--json"]
        out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        found += [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return found


@pytest.fixture(scope="module")
def recorded(run_dir: Path) -> list[dict[str, Any]]:
    return records(run_dir)


def history(recorded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record["history"]["item"] for record in recorded if record["type"] == "history"]


def test_the_names_read_back_are_the_list_in_the_documentation(recorded: list[dict[str, Any]]) -> None:
    """Tables carry their step in the name, and a picture comes as several entries below its name."""
    read = {name for item in history(recorded) for name in item if not name.startswith("_") and name != "step"}
    whole = {
        "eval/confusion" if name.startswith("eval/confusion") else "samples/x" if name.startswith("samples/") else name
        for name in read
    }
    assert whole == {shown for _, shown in DOCUMENTED}


def test_an_alert_is_in_the_record(recorded: list[dict[str, Any]]) -> None:
    assert any("answers do not parse" in json.dumps(record) for record in recorded if record["type"] == "alert")


def test_every_row_carries_our_step(recorded: list[dict[str, Any]]) -> None:
    assert {item["step"] for item in history(recorded)} == {1, 2}
    [metric] = [
        record["metric"] for record in recorded if record["type"] == "metric" and record["metric"].get("glob_name") == "*"
    ][:1]
    assert metric["step_metric"] == "step"


def test_tables_are_named_by_step(recorded: list[dict[str, Any]]) -> None:
    names = {name.split(".")[0] for item in history(recorded) for name in item if name.startswith("samples/")}
    assert names == {"samples/rollouts_00000001", "samples/rollouts_00000002"}


def test_group_job_type_tags_and_id_are_ours_and_a_resumed_run_keeps_its_id(recorded: list[dict[str, Any]]) -> None:
    runs = [record["run"] for record in recorded if record["type"] == "run"]
    assert len({run["run_id"] for run in runs}) == 1
    run = runs[0]
    assert (run["run_group"], run["job_type"], run["display_name"]) == ("study", "grpo", "grpo-1a2b")
    assert run["tags"] == ["mine", "grpo", "model:tiny", "data:schematic"]


def test_the_configuration_has_lineage_and_no_secret(recorded: list[dict[str, Any]]) -> None:
    config = next(record["run"]["config"]["update"] for record in recorded if record["type"] == "run")
    assert config["lineage"]["parent"] == "/runs/sft-0c0d"
    assert "very-secret" not in json.dumps(recorded)


def test_the_final_figures_have_their_bounds(recorded: list[dict[str, Any]]) -> None:
    summary: dict[str, Any] = {}
    for record in recorded:
        if record["type"] == "summary":
            summary.update(record["summary"]["update"])
    assert (summary["eval/au/macro_f1"], summary["eval/au/macro_f1_low"], summary["eval/failures/parse"]) == (0.8, 0.7, 0.01)


def test_no_face_is_recorded_unless_asked_for(run_dir: Path) -> None:
    files = [path for path in (run_dir / "wandb").rglob("*") if path.is_file()]
    pictures = [path for path in files if path.read_bytes()[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0")]
    assert {path.parent.name for path in pictures} == {"eval"}  # the confusion matrix only
    tables = [path.read_text() for path in (run_dir / "wandb").rglob("*.table.json")]
    assert tables and not any("image" in json.loads(text)["columns"] for text in tables)


def test_faces_asked_for_are_small_and_inside_the_run_directory(home: Path, tmp_path: Path) -> None:
    face = tmp_path / "face.png"
    Image.new("RGB", (900, 600), (1, 200, 3)).save(face)
    trackers = open_trackers(TrackerConfig(name="wandb", log_faces=True), tmp_path, {}, LINEAGE)
    trackers.table(1, "rollouts", [{"image": str(face), "reward": 1.0}, {"image": str(face), "reward": 0.0}])
    trackers.finish()
    files = [path for path in (tmp_path / "wandb").rglob("*") if path.is_file()]
    pictures = [path for path in files if path.read_bytes()[:4] == b"\x89PNG"]  # staged without a suffix
    assert len(pictures) == 1, "the completions of a group share one picture"
    assert Image.open(pictures[0]).size == (256, 171)


def test_nothing_is_written_outside_the_run_directory(home: Path, run_dir: Path) -> None:
    assert [path for path in home.rglob("*") if path.is_file() and path.name != "settings"] == []


def test_the_environment_is_as_before(run_dir: Path) -> None:
    assert not {"WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"} & set(os.environ)


def test_a_wrong_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tracker\.mode=of"):
        open_trackers(TrackerConfig(name="wandb", mode="of"), tmp_path, {}, LINEAGE)


def test_without_the_library_the_message_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="pip install wandb"):
        open_trackers(TrackerConfig(name="wandb"), tmp_path, {}, LINEAGE)


def test_an_unreachable_server_turns_into_an_offline_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    modes: list[str | None] = []

    def init(mode: str | None = None, **arguments: Any) -> Any:
        modes.append(mode)
        if mode != "offline":
            raise ConnectionError("no route to host")
        return SimpleNamespace(
            define_metric=lambda *a, **k: None, log=lambda values: None, summary={}, finish=lambda exit_code: None
        )

    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Settings=dict))
    trackers = open_trackers(TrackerConfig(name="wandb"), tmp_path, {}, LINEAGE)
    trackers.log(1, {"loss": 0.1})
    trackers.finish()
    assert modes == [None, "offline"] and "wandb sync" in caplog.text
