"""`stage=prepare` and other stages on sets in their owners' folders, through the command line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facial_r1.data import Record, load_data, load_protocol
from facial_r1.metrics.evaluate import evaluate
from facial_r1.prompts import render
from facial_r1.stages.prepare import sample_faces
from tests.command import SMALL, facial_r1, refused, run_directory
from tests.data.sources import emotion_sets as owners


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# --- stage=prepare --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of `facial-r1 prepare` on a small FER2013 table with one bad row."""
    folder = tmp_path_factory.mktemp("prepare")
    good = owners.fer2013_rows()
    owners.fer2013_csv(folder / "fer", [*good[:3], ("9", owners.pixels(1), "Training"), *good[3:]])
    return run_directory(
        facial_r1("prepare", "data=fer2013", f"data.root={folder}/fer", "data.on_error=skip", "stage.faces=3",
                  f"output_root={folder}/out", cache=folder / "cache")
    )  # fmt: skip


def test_writes_the_owners_sides(prepared):
    found = {file.name: len(rows(file)) for file in prepared.glob("*.jsonl")}
    assert found == {"train.jsonl": 14, "validation.jsonl": 7, "test.jsonl": 7, "skipped.jsonl": 1}
    data = load_data(
        {"files": [str(prepared / "train.jsonl")], "test_files": [str(prepared / "test.jsonl")], "protocol": {"name": "fer2013"}}
    )
    assert (len(data.train), len(data.test)) == (14, 7), "what is written is data=jsonl for everyone"


def test_the_summary_counts_hashes_and_names_everything(prepared):
    summary = json.loads((prepared / "summary.json").read_text())
    assert (summary["stage"], summary["rows"], summary["protocol"]) == ("prepare", 28, "fer2013")
    assert summary["sides"]["test"]["labels"] == dict.fromkeys(sorted(owners.FER_NOUNS), 1)
    assert summary["failures"] == {"bad_rows": 1} and summary["licence"] == load_protocol("fer2013").licence
    text = (prepared / "train.jsonl").read_bytes()
    assert summary["files"]["train.jsonl"] == {"rows": 14, "sha256": hashlib.sha256(text).hexdigest()}
    table = Path(summary["root"]) / "fer2013.csv"
    assert summary["label_files"] == {"fer2013.csv": hashlib.sha256(table.read_bytes()).hexdigest()}
    assert summary["counts"]["train"]["official"]["happiness"] == 7215 and summary["pictures"]["written"] == 28
    assert any("where the owner's lists hold 28709" in note for note in summary["notes"])


def test_bad_rows_are_listed_with_the_owners_file_and_line(prepared):
    [problem] = rows(prepared / "skipped.jsonl")
    assert problem["file"].endswith("fer/fer2013.csv") and problem["line"] == 5 and "'9'" in problem["reason"]


def test_the_contact_sheet_has_a_row_a_class(prepared):
    with Image.open(prepared / "contact_sheet.png") as sheet:
        assert sheet.size == (3 * 120 + 8, 7 * 150 + 8)


def test_the_run_is_reported_and_finished(prepared):
    status = json.loads((prepared / "status.json").read_text())
    assert status["state"] == "finished" and (status["data"]["train"], status["data"]["skipped"]) == (14, 1)
    assert "Preparation" in (prepared / "report.html").read_text()


def test_bad_rows_are_refused_by_default(tmp_path):
    labels = owners.raf_db(tmp_path / "raf")
    labels.write_text(labels.read_text() + "train_00099.jpg 8\n")
    done = facial_r1(
        "stage=prepare", "data=raf_db", f"data.root={tmp_path}/raf", f"output_root={tmp_path}/out", cache=tmp_path / "c"
    )
    refused(done, f"{labels}:22: class: unknown class id '8'", "the ids are 1 surprise", "data.on_error=skip")
    assert not list((tmp_path / "out").rglob("*.json*"))


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["data=raf_db"], ["data.root=/path/to/raf_db"]),
        (["data=source", "data.source=raf-db", "data.root=/x"], ["data.source=raf-db: no such source; did you mean 'raf_db'"]),
        (["data=expw", "data.root=/x", "data.options.margn=1"], ["data.options.margn: no such key; did you mean 'margin'?"]),
        (["data=expw", "data.root=/x", "data.options.margin=wide"], ["data.options.margin=wide: input should be a valid number"]),
        (["data=expw", "data.root=/x", "data.fold=0"], ["data.fold=0: the protocol has no folds"]),
        (["data=expw", "data.root=/x", "init_from=latest"], ["stage=prepare uses no model"]),
    ],
)
def test_settings_are_refused_with_the_fix(arguments, parts, tmp_path):
    refused(facial_r1("prepare", *arguments, f"output_root={tmp_path}"), *parts)


def test_faces_are_drawn_by_class_then_by_unit():
    def record(number: int, labels: tuple[str, ...], units: tuple[str, ...] | None) -> Record:
        return Record(id=str(number), dataset="x", images=("x.png",), question="", AUs=units, labels=labels)

    emotions = [record(number, (("anger", "fear")[number % 2],), None) for number in range(5)]
    grid = [[item and item.labels[0] for item in row] for row in sample_faces(emotions, 3)]
    assert grid == [["anger"] * 3, ["fear", "fear", None]]
    coded = [record(1, (), ("AU12", "AU2")), record(2, (), ()), record(3, (), ("AU12",))]
    assert [[item and item.id for item in row] for row in sample_faces(coded, 2)] == [["2", None], ["1", None], ["1", "3"]]


# --- other stages ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_set_is_trained_on_without_preparing_it_first(tmp_path):
    owners.raf_db(tmp_path / "raf")
    common = ["data=raf_db", f"data.root={tmp_path}/raf", "debug=dry_run", f"output_root={tmp_path}/out"]
    written = [
        {"id": f"raf_db/train_{number:05d}", "description": "<think>The brows are up (AU1).</think><answer>surprise</answer>"}
        for number in range(1, 9)
    ]
    (tmp_path / "accepted.jsonl").write_text("".join(json.dumps(row) + "\n" for row in written))
    done = facial_r1("stage=sft", *common, f"data.descriptions=[{tmp_path}/accepted.jsonl]", cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert "8 rows of 14 (6 without a description" in done.stderr
    done = facial_r1("stage=grpo", *common, "stage.prompts_per_step=2", cache=tmp_path / "cache")
    assert done.returncode == 0 and "over 14 rows" in done.stderr, done.stderr
    done = facial_r1("stage=sft", *common, cache=tmp_path / "cache")
    refused(done, "none of the 14 rows of data=raf_db has a description", "data.descriptions=[<run>]")


# --- sets without emotions ------------------------------------------------------------------------------------


def test_labels_are_left_out_where_no_emotion_is_asked_for(tmp_path):
    owners.picture(tmp_path / "a.png")
    row = {"id": "a", "image": "a.png", "AUs": [], "labels": ["happiness"], "candidate_labels": ["happiness", "fear"]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    settings = {"test_files": [str(tmp_path / "rows.jsonl")], "protocol": {"name": "action_units"}}
    data = load_data(settings, need=("test",))
    assert (data.test[0].labels, data.test[0].candidate_labels, data.test[0].AUs) == ((), (), ())
    assert "rows.jsonl: 1 rows have labels; protocol action_units asks for no emotion: left out" in data.notes


def test_figures_leave_emotions_out():
    found = evaluate(
        ["<think>The lip corners rise (AU12).</think><answer>AU12</answer>"],
        [{"id": "a", "AUs": ["AU12"], "labels": []}],
        ["AU6", "AU12"],
        [],
    )
    assert found.metrics["au/f1/AU12"]["value"] == 1.0 and not [name for name in found.metrics if name.startswith("emotion/")]
    assert found.confusion is None and "majority" not in found.baselines


@pytest.mark.slow
def test_a_job_asks_for_units_alone(tmp_path, face_cache):
    run = run_directory(
        facial_r1("stage=eval", "protocol=action_units", *SMALL, "data.test_amount=8", "stage.max_new_tokens=24",
                  "stage.resamples=50", f"run_dir={tmp_path}/run", cache=face_cache)
    )  # fmt: skip
    summary = json.loads((run / "summary.json").read_text())
    assert not [name for name in summary["metrics"] if name.startswith("emotion/")] and "au/macro_f1" in summary["metrics"]
    sample = rows(run / "samples.jsonl")[0]
    # The drawn faces bring a question of their own, which stays; the answer that is asked for is the codes.
    assert "the codes of the action units, separated by commas" in sample["prompt"] and "one of:" not in sample["prompt"]
    assert sample["labels"] == [] and not (run / "confusion.csv").exists()


def test_prompts_ask_for_units_alone(root):
    from facial_r1.config.compose import compose_tree
    from facial_r1.config.resolved import plain
    from facial_r1.config.validation import validate

    prompt = validate(plain(compose_tree([]))).prompt
    record = {"id": "a", "image": "a.png", "question": "", "AUs": ["AU12"], "labels": []}
    text = render(prompt, record, load_protocol("action_units").labels)
    assert "Which action units are active in this face?" in text and "happiness" not in text
