"""GRPO on several owners' sets at once, through the command line: every row scored by its own dataset's rules."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from facial_r1.runs import RunDirectory
from tests.command import facial_r1, run_directory
from tests.data.owners import SMALL, owners

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, face_cache: Path, cold_start: Path) -> Path:
    """One step over 16 of the 57 rows of the fake mix, then an evaluation of all its test rows."""
    folder = tmp_path_factory.mktemp("mix_run")
    owners(folder / "datasets")
    done = facial_r1(
        "stage=grpo", "model=tiny", "data=facial_r1_stage2", f"data.root={folder}/datasets", *SMALL, f"init_from={cold_start}",
        "stage.max_steps=1", "stage.prompts_per_step=16", "stage.num_generations=2", "stage.max_completion_length=24",
        f"run_dir={folder}/run", cache=face_cache,
    )  # fmt: skip
    return run_directory(done)


def test_rewards_apply_where_the_dataset_has_the_annotation(trained: Path):
    rows = [row for file in sorted((trained / "rollouts").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    assert len(rows) == 32
    for row in rows:
        name = row["record_id"].split("/")[0]
        assert (row["reward/accuracy"] is None) == (name in ("disfa", "bp4d")), row["record_id"]
        assert (row["reward/au"] is None) == (name in ("affectnet", "raf_db")), row["record_id"]
        assert ("anger" in row["prompt"]) == (name not in ("disfa", "bp4d")), row["record_id"]
        assert ("contempt" in row["prompt"]) == (name == "affectnet"), row["record_id"]


def test_the_test_side_is_scored_dataset_by_dataset(trained: Path):
    summary = RunDirectory(trained).read_summary()
    (part,) = summary["by"]
    groups = {name: group["rows"] for name, group in part["groups"].items()}
    assert part["field"] == "dataset"
    assert groups == {"AffectNet": 8, "BP4D": 2, "DISFA": 2, "FABA-Instruct": 4, "FER2013": 7, "RAF-AU": 6, "RAF-DB": 7}
    assert "emotion/accuracy" not in part["groups"]["DISFA"]["metrics"]
    assert "au/macro_f1" not in part["groups"]["RAF-DB"]["metrics"]


def test_samples_show_the_prompt_of_their_dataset(trained: Path):
    samples = {
        row["id"].split("/")[0]: row["prompt"] for row in map(json.loads, (trained / "samples.jsonl").read_text().splitlines())
    }
    assert "codes" in samples["disfa"] and "anger" not in samples["disfa"]
    assert "surprise, fear, disgust, happiness, sadness, anger, neutral" in samples["raf_db"]
