"""A test set by the command line: write about test faces, decide, read back, evaluate on what was accepted."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from facial_r1.runs import RunDirectory
from tests.command import SMALL, facial_r1, refused, run_directory

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, face_cache: Path, cold_start: Path) -> Path:
    """A synthesis run on test faces that was put up for review; its checks are loose, since the model has hardly learnt anything."""
    loose = [f"stage.quality.{name}=false" for name in ("action_units", "labels", "format", "leaks")]
    done = facial_r1(
        "stage=synthesis", *SMALL, f"init_from={cold_start}", "stage.split=test", "stage.include_described=true", "stage.attempts=2",
        "stage.quality.min_words=0", *loose, "stage.review.enabled=true", f"run_dir={tmp_path_factory.mktemp('written')}/run", cache=face_cache,
    )  # fmt: skip
    assert "for review: review.html" in done.stderr and "published test:" in done.stderr
    return run_directory(done)


def decide(run: Path, target: Path, decisions: dict[int, str]) -> Path:
    with (run / "review.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        row["decision"] = decisions.get(number, "accept")
    with target.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return target


def test_both_yields_stand_in_the_run_and_in_its_report(written):
    found = json.loads((written / "yield.json").read_text())
    assert found["rows"] == 16 and found["decided_by"] == "strict" and set(found["tests"]) == {"strict", "published"}
    assert found["tests"]["strict"]["written"] == found["accepted"]
    assert "As written" in (written / "report.html").read_text()


def test_reviewed_rows_are_evaluated_on(written, tmp_path, face_cache, cold_start):
    accepted = len((written / "accepted.jsonl").read_text().splitlines())
    assert accepted >= 4
    file = decide(written, tmp_path / "mine.csv", {0: "reject", 1: "unsure", 2: ""})
    done = facial_r1("review", str(written), "--decisions", str(file), "--second", str(file))
    assert done.returncode == 0, done.stderr
    assert "raw agreement 1.00" in done.stdout and "data.test_files=" in done.stdout and "train side" not in done.stdout
    summary = json.loads((written / "review_summary.json").read_text())
    assert summary["decisions"] == {"accept": accepted - 3, "reject": 1, "unsure": 1, "open": 1}
    evaluated = facial_r1(
        "stage=eval", "data=jsonl", f"data.test_files=[{written}/reviewed.jsonl]", f"init_from={cold_start}", f"output_root={tmp_path}/out",
        "stage.resamples=0", cache=face_cache,
    )  # fmt: skip
    assert RunDirectory(run_directory(evaluated)).read_summary()["rows"] == accepted - 3


def test_training_on_rows_about_test_faces_is_refused(written, tmp_path, face_cache, cold_start):
    done = facial_r1(
        "stage=sft",
        *SMALL,
        f"init_from={cold_start}",
        f"data.descriptions=[{written}]",
        f"output_root={tmp_path}",
        cache=face_cache,
    )
    refused(done, "accepted.jsonl:1", "leak the test set")


def test_a_decision_that_is_none_is_refused(written, tmp_path):
    file = decide(written, tmp_path / "bad.csv", {1: "acept"})
    refused(facial_r1("review", str(written), "--decisions", str(file)), "bad.csv:", "did you mean 'accept'")
