"""The numbers come from looking: a model that reads faces well scores at chance on grey squares."""

from __future__ import annotations

from pathlib import Path

import pytest

from facial_r1.runs import RunDirectory
from tests.command import facial_r1, run_directory

pytestmark = pytest.mark.slow

FACES = ["data.schematic.train=160", "data.schematic.test=140", "data.schematic.instructions=160"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, face_cache: Path) -> Path:
    """An SFT run on 160 drawn faces."""
    folder = tmp_path_factory.mktemp("reader")
    return run_directory(
        facial_r1("stage=sft", *FACES, "stage.epochs=14", f"run_dir={folder}/run", cache=face_cache, timeout=600)
    )


def test_the_model_reads_faces_of_people_it_has_not_seen(reader):
    metrics = RunDirectory(reader).read_summary()["metrics"]
    assert metrics["emotion/accuracy"]["value"] >= 0.8 and metrics["au/macro_f1"]["value"] >= 0.8, metrics["emotion/accuracy"]


def test_grey_squares_score_at_chance(reader, tmp_path, face_cache):
    run = run_directory(
        facial_r1(
            "stage=eval", f"init_from={reader}", *FACES, "stage.blank_images=true", f"output_root={tmp_path}", cache=face_cache
        )
    )
    metrics = RunDirectory(run).read_summary()["metrics"]
    accuracy, chance = metrics["emotion/accuracy"], 1 / 7
    assert accuracy["low"] <= chance and accuracy["value"] <= 0.25, accuracy
    sighted = RunDirectory(reader).read_summary()["metrics"]
    assert metrics["au/macro_f1"]["value"] <= 0.5 * sighted["au/macro_f1"]["value"]
