"""`python -m facial_r1 -m study=...` as a user types it: the starting run, the jobs, the table; then `facial-r1 figure` on what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from facial_r1 import app
from facial_r1.runs import RunDirectory
from facial_r1.studies.command import main as figure
from facial_r1.studies.results import START, read_csv
from tests.command import facial_r1, run_directory

#: A step of training on four faces, and an answer of six tokens to two others.
TINY = {
    "stage": "sft", "model": "tiny", "data.schematic.train": 8, "data.schematic.test": 2, "data.schematic.instructions": 4,
    "stage.max_steps": 1, "stage.per_device_batch_size": 1, "stage.max_new_tokens": 6,
}  # fmt: skip
STUDY = {
    "question": "Does a larger rate change the loss of the first step?",
    "start": TINY,
    "settings": TINY,
    "vary": {"stage.learning_rate": [1e-4, 2e-4]},
    "seeds": [0, 1],
    "figure": {
        "x_label": "rate",
        "scale": "log",
        "panels": [{"metric": "reward/mean"}, {"metric": "loss", "label": "loss", "training": True}],
    },
}


@pytest.mark.slow
def test_a_study_runs_is_found_again_and_becomes_a_figure(tmp_path: Path, face_cache: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "rates"
    folder.mkdir()
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    line = ["-m", f"study={folder}", f"output_root={tmp_path / 'out'}"]
    done = facial_r1(*line, cache=face_cache)
    sweep = run_directory(done)
    assert sweep == tmp_path / "out/sweeps/rates"
    (start,) = (tmp_path / "out").glob("start-*")
    jobs = [RunDirectory(path.parent) for path in sorted(sweep.glob("*/status.json"))]
    assert [job.state() for job in jobs] == ["finished"] * 4
    assert {job.status()["parent"] for job in jobs} == {str(start)}, "every job starts from the one run"

    assert app.main(line) == 0
    assert "starting" not in capsys.readouterr().err, "the same command runs nothing twice, not even the start"

    assert figure([str(folder), "--runs", str(sweep)]) == 0
    said = capsys.readouterr()
    assert "not in the figure" not in said.err
    rows = read_csv(folder / "results.csv")
    assert {(row.point, row.seed) for row in rows if row.metric == "reward/mean"} == {
        (START, None), ("0.0001", 0), ("0.0001", 1), ("0.0002", 0), ("0.0002", 1),
    }  # fmt: skip
    assert all(row.value > 0 for row in rows if row.metric == "training: loss")
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG") and (folder / "results.md").read_text() in said.out
