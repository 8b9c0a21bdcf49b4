"""trackio: the documented names, no faces unless asked for, nothing on standard output, one run per run directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facial_r1.config.schema import Tracker as TrackerConfig
from facial_r1.errors import InputError
from facial_r1.tracking import open_trackers
from facial_r1.tracking.names import dashboard_name
from tests.tracking.fake_trackio import fake_trackio

LINEAGE: Any = {"stage": "grpo", "name": "03_grpo", "parent": "/runs/sft-0c0d"}
SUMMARY = {"metrics": {"au/macro_f1": {"value": 0.8, "low": 0.7, "high": 0.9}}}


def written(folder: Path, **options: Any) -> None:
    """One run that logs everything once."""
    face = folder / "face.png"
    Image.new("RGB", (300, 300), (1, 200, 3)).save(face)
    resolved = {"output_root": str(folder), "generation": {"api_key": "very-secret"}}
    trackers = open_trackers(TrackerConfig(name="trackio", **options), folder, resolved, LINEAGE)
    trackers.log(2, {"loss": 0.5, "reward/mean": 0.2})
    trackers.table(2, "rollouts", [{"image": str(face), "completion": "<b>AU12</b>", "labels": ["fear"]}])
    trackers.image(2, "face", face, face=True)
    trackers.image(2, "confusion", face)
    trackers.finish("finished", SUMMARY)


def test_what_is_recorded_has_the_names_of_a_dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = fake_trackio(monkeypatch)
    written(tmp_path, group="study", tags=["mine"])
    [start] = said.inits
    assert (start["project"], start["group"], start["resume"]) == ("facial_r1", "study", "allow")
    assert start["config"]["lineage"]["parent"] == "/runs/sft-0c0d" and start["config"]["tags"] == ["mine"]
    assert "very-secret" not in str(start)
    assert {step for step, _ in said.rows} == {2} and said.finished == 1
    names = {name for _, row in said.rows for name in row}
    wanted = {dashboard_name(name) for name in ("loss", "reward/mean", "confusion")}
    assert names == wanted | {"samples/rollouts", "eval/au/macro_f1", "eval/au/macro_f1_low", "eval/au/macro_f1_high", "state"}


def test_no_face_is_recorded_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = fake_trackio(monkeypatch)
    written(tmp_path)
    [table] = [row["samples/rollouts"] for _, row in said.rows if "samples/rollouts" in row]
    assert table == {"columns": ["completion", "labels"], "data": [["<b>AU12</b>", '["fear"]']]}
    assert not any("eval/face" in row or "other/face" in row for _, row in said.rows)


def test_faces_asked_for_are_thumbnails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = fake_trackio(monkeypatch)
    written(tmp_path, log_faces=True)
    [table] = [row["samples/rollouts"] for _, row in said.rows if "samples/rollouts" in row]
    assert table["columns"][0] == "image" and max(table["data"][0][0]["image"].size) == 256


def test_standard_output_stays_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake_trackio(monkeypatch)
    written(tmp_path)
    said = capsys.readouterr()
    assert said.out == "" and "Trackio project initialized" in said.err


def test_a_resumed_or_moved_run_keeps_its_name_and_two_of_one_name_stay_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = fake_trackio(monkeypatch)
    for parent in ("one", "two"):
        (tmp_path / parent / "03_grpo").mkdir(parents=True)
        written(tmp_path / parent / "03_grpo")
    (tmp_path / "one").rename(tmp_path / "moved")
    written(tmp_path / "moved" / "03_grpo")
    first, second, again = [start["name"] for start in said.inits]
    assert first == again and first != second and first.startswith("03_grpo-")


def test_without_the_library_the_message_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(InputError, match="pip install trackio"):
        open_trackers(TrackerConfig(name="trackio"), tmp_path, {}, LINEAGE)
    assert list(tmp_path.iterdir()) == []


REAL = """
import json, sys
from pathlib import Path
from tests.tracking.test_trackio import written
folder = Path(sys.argv[1])
written(folder)
from trackio.sqlite_storage import SQLiteStorage
[name] = SQLiteStorage.get_runs("facial_r1")
rows = SQLiteStorage.get_logs("facial_r1", name)
print(json.dumps(sorted({key for row in rows for key in row} - {"timestamp", "step"})))
"""


def test_the_package_itself_records_the_same_below_the_output_root(tmp_path: Path) -> None:
    """In a process of its own: the package reads its folder when it is imported."""
    pytest.importorskip("trackio", reason="trackio is not installed")
    env = {**os.environ, "HOME": str(tmp_path / "home"), "PYTHONPATH": str(Path(__file__).parents[2])}
    env.pop("TRACKIO_DIR", None)
    done = subprocess.run([sys.executable, "-c", REAL, str(tmp_path)], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    names = {dashboard_name(name) for name in ("loss", "reward/mean", "confusion")}
    names |= {"samples/rollouts", "eval/au/macro_f1", "eval/au/macro_f1_low", "eval/au/macro_f1_high", "state"}
    assert set(json.loads(done.stdout.splitlines()[-1])) == names
    assert (tmp_path / "trackio").is_dir() and not (tmp_path / "home").exists()
