"""3,589 rows in the shape of FER2013's test side are loaded and scored in seconds, from the command line to the report.

The bounds are on processor seconds and generous, so that a busy machine does not fail them: 3.6 were measured on one core.
"""

from __future__ import annotations

import json
import random
import resource
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facial_r1.app import main
from facial_r1.runs import RunDirectory
from tests.command import facial_r1, run_directory

ROWS = 3589
SECONDS = 8.0
LABELS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


@pytest.fixture(scope="module")
def fer2013(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """rows.jsonl with pictures of 48 x 48 grey pixels, and answers.jsonl, of which seven in ten are right."""
    folder = tmp_path_factory.mktemp("fer2013")
    (folder / "images").mkdir()
    noise, choice = np.random.default_rng(0), random.Random(0)
    rows, answers = [], []
    for number in range(32298, 32298 + ROWS):
        name = f"images/image_{number}.png"
        Image.fromarray(noise.integers(0, 256, (48, 48), dtype=np.uint8)).save(folder / name, compress_level=1)
        label = choice.choice(LABELS)
        said = label if choice.random() < 0.7 else choice.choice(LABELS)
        row = {"id": f"image_{number}", "dataset": "FER2013", "image": name, "question": "", "AUs": [], "labels": [label]}
        rows.append(row | {"description": "", "meta_info": {}})
        text = f"<think>The brows are lowered (AU4) and the lips are pressed together (AU24).</think><answer>{said}</answer>"
        answers.append({"id": f"image_{number}", "completion": text})
    for name, lines in (("rows", rows), ("answers", answers)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def options(folder: Path, tmp_path: Path) -> list[str]:
    return [
        "experiment=facial_r1/eval", "data=jsonl", "data.protocol.name=fer2013", f"data.test_files=[{folder}/rows.jsonl]",
        f"output_root={tmp_path}",
    ]  # fmt: skip


def check(run: Path) -> None:
    summary = RunDirectory(run).read_summary()
    accuracy = summary["metrics"]["emotion/accuracy"]
    assert (summary["rows"], accuracy["n"]) == (ROWS, ROWS)
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert summary["metrics"]["compat/emotion/accuracy"]["value"] == pytest.approx(accuracy["value"])
    assert (run / "report.html").is_file()


def test_given_answers_are_scored_by_a_process_of_their_own(fer2013: Path, tmp_path: Path, face_cache: Path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = facial_r1(*options(fer2013, tmp_path), f"stage.predictions={fer2013}/answers.jsonl", cache=face_cache)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    check(run_directory(done))
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < SECONDS, f"{seconds:.1f} processor seconds for {ROWS} rows"


def test_answers_of_an_engine_are_scored_as_fast(
    fer2013: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The same without a file of answers: what is measured is everything but the model."""
    answers = {line["id"]: line["completion"] for line in map(json.loads, (fer2013 / "answers.jsonl").read_text().splitlines())}

    class FakeEngine:
        """Answers at once."""

        def generate(self, requests: Any, sampling: Any, seed: int) -> list[Any]:
            return [SimpleNamespace(text=answers[request.key], finish_reason="stop", length=30) for request in requests]

    monkeypatch.setattr("facial_r1.stages.evaluation.load_for_generation", lambda context: SimpleNamespace(source="fake"))
    monkeypatch.setattr("facial_r1.stages.scoring.engine_of", lambda context, loaded: FakeEngine())
    monkeypatch.setattr("facial_r1.stages.evaluation.penalty_of", lambda context, loaded: 1.0)
    began = time.process_time()
    assert main(options(fer2013, tmp_path)) == 0
    seconds = time.process_time() - began
    check(Path(capsys.readouterr().out.strip().splitlines()[-1].removeprefix("run: ")))
    assert seconds < SECONDS, f"{seconds:.1f} processor seconds for {ROWS} rows"
