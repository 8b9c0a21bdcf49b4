"""Records exactly as the authors of Facial-R1 publish them: loaded, trained on and evaluated without a change.

Their loader crashed on rows without action units, indexed labels that were not there, and needed `meta_info`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from facial_r1.data import Record, load_records
from facial_r1.runs import RunDirectory
from tests.command import facial_r1, run_directory
from tests.data.owners import face

DESCRIPTION = (
    "<think>The inner corners of the eyebrows are drawn up (AU1) while the whole brow is lowered (AU4), and the corners of the "
    "lips are pulled down (AU15). Together these point to sadness.</think><answer>sadness</answer>"
)
SMILE = "<think>The cheeks are lifted (AU6) and the lip corners rise (AU12).</think>\n<answer>happiness</answer>"

FIRST: list[dict[str, Any]] = [
    {
        "id": "5d41402abc4b2a76b9719d911017c592",
        "dataset": "RAF-AU",
        "image": "0012_aligned.jpg",
        "question": "<image>What's the emotion of the face?",
        "AUs": ["AU1", "AU4", "AU15"],
        "labels": ["sadness"],
        "description": DESCRIPTION,
        "meta_info": {},
    },
    {  # only a label; the question is left to the prompt
        "id": "7d793037a0760186574b0282f2f435e7",
        "dataset": "FER2013",
        "image": "image_32301.jpg",
        "question": "",
        "AUs": [],
        "labels": ["happiness"],
        "description": SMILE,
        "meta_info": {},
        "accu_reward_method": "default",
    },
    {  # several pictures, two labels
        "id": "9b74c9897bac770ffc029102a200c5de",
        "dataset": "FABA",
        "image": ["faces/a.jpg", "faces/b.jpg"],
        "question": "Analysis the facial expression please.",
        "AUs": ["AU6", "AU12"],
        "labels": ["happiness", "surprise"],
        "description": SMILE,
        "meta_info": {"source": "AffectNet"},
    },
    {  # switched off; its picture need not exist
        "id": "8f14e45fceea167a5a36dedd4bea2543",
        "dataset": "FABA",
        "image": "gone.jpg",
        "question": "",
        "AUs": ["AU99"],
        "labels": ["boredom"],
        "description": "",
        "meta_info": {},
        "is_valid": False,
    },
]
SECOND: list[dict[str, Any]] = [
    {  # action units alone, written with an empty label; no meta_info, no description
        "id": "c9f0f895fb98ab9159f51fd0297e236d",
        "dataset": "DISFA",
        "image": "LeftVideoSN024_comp_0019.jpg",
        "question": "",
        "AUs": ["AU12", "AU25"],
        "labels": [""],
        "description": "",
    },
    {  # the same without any label
        "id": "45c48cce2e2d7fbdea1afc51c7c6ad26",
        "dataset": "BP4D",
        "image": "F004_T4_1579.jpg",
        "question": "",
        "AUs": ["AU6"],
        "labels": [],
        "description": "<think>The cheeks are lifted (AU6).</think><answer></answer>",
    },
]


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows if row.get("is_valid", True)]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.jsonl with pictures in dirA, b.jsonl with pictures in dirB."""
    folder = tmp_path_factory.mktemp("example")
    for name, images, rows in (("a", "dirA", FIRST), ("b", "dirB", SECOND)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        for row in rows:
            for image in [row["image"]] if isinstance(row["image"], str) else row["image"]:
                if row.get("is_valid", True):
                    face(folder / images / image)
    return folder


def joined(folder: Path, files: str = "files", images: str = "images") -> list[str]:
    """Files and folders joined with ":", as on the authors' command line."""
    return [f"data.{files}={folder}/a.jsonl:{folder}/b.jsonl", f"data.{images}={folder}/dirA:{folder}/dirB"]


def load(folder: Path) -> dict[str, Record]:
    records = load_records(f"{folder}/a.jsonl:{folder}/b.jsonl", f"{folder}/dirA:{folder}/dirB")
    return {record.id: record for record in records}


def test_all_valid_rows_load_under_their_own_ids(example: Path):
    assert list(load(example)) == ids(FIRST) + ids(SECOND)


def test_the_row_that_is_switched_off_is_counted(example: Path):
    records = load_records(example / "a.jsonl", example / "dirA")
    assert records.invalid == 1 and not records.skipped


def test_empty_labels_are_no_labels(example: Path):
    assert [load(example)[name].labels for name in ids(SECOND)] == [(), ()]


def test_empty_action_units_are_not_coded(example: Path):
    assert load(example)[FIRST[1]["id"]].AUs is None


def test_several_pictures_keep_their_order(example: Path):
    images = load(example)[FIRST[2]["id"]].images
    assert [Path(image).name for image in images] == ["a.jpg", "b.jpg"]


def test_keys_of_the_original_loader_are_kept(example: Path):
    assert load(example)[FIRST[1]["id"]].to_json()["accu_reward_method"] == "default"


def test_the_mark_of_the_image_is_not_printed(example: Path):
    from facial_r1.config.compose import compose_tree
    from facial_r1.config.resolved import plain
    from facial_r1.config.validation import validate
    from facial_r1.prompts import messages

    prompt = validate(plain(compose_tree(["prompt=facial_r1"]))).prompt
    content = messages(load(example)[FIRST[0]["id"]], prompt, ("sadness",))[-1]["content"]
    assert [part["type"] for part in content] == ["image", "text"]
    assert "<image>" not in content[-1]["text"] and "What's the emotion of the face?" in content[-1]["text"]


COMMON = ["model=tiny", "data=jsonl", "prompt=facial_r1", "data.split.test=0"]


@pytest.mark.slow
def test_a_step_of_sft(example: Path, tmp_path: Path, face_cache: Path):
    options = [
        "stage=sft",
        *COMMON,
        *joined(example),
        "stage.max_steps=1",
        "stage.per_device_batch_size=4",
        "stage.evaluate=false",
    ]
    run = run_directory(facial_r1(*options, f"output_root={tmp_path}", cache=face_cache))
    summary = RunDirectory(run).read_summary()
    assert summary["rows"] == 4, "the rows with a description"
    assert (run / "model" / "config.json").is_file()


@pytest.mark.slow
def test_a_step_of_grpo_scores_each_row_by_what_it_carries(example: Path, tmp_path: Path, face_cache: Path, cold_start: Path):
    """One group of each kind of row: both, a label alone, several pictures, action units alone with [""] and with []."""
    options = [
        "stage=grpo", *COMMON, *joined(example), f"init_from={cold_start}", "stage.max_steps=1", "stage.prompts_per_step=5",
        "stage.num_generations=2", "stage.max_completion_length=24", "stage.evaluate=false",
    ]  # fmt: skip
    run = run_directory(facial_r1(*options, f"output_root={tmp_path}", cache=face_cache))
    rows = [row for file in sorted((run / "rollouts").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    assert {row["record_id"] for row in rows} == {*ids(FIRST), *ids(SECOND)}
    for row in rows:
        assert (row["reward/au"] is None) == (row["record_id"] == FIRST[1]["id"]), row["record_id"]
        assert (row["reward/accuracy"] is None) == (row["record_id"] in ids(SECOND)), row["record_id"]
        assert row["reward"] is not None


@pytest.mark.slow
def test_evaluation_takes_the_same_command_line(example: Path, tmp_path: Path, face_cache: Path, cold_start: Path):
    options = [
        "stage=eval",
        *COMMON,
        *joined(example, "test_files", "test_images"),
        f"init_from={cold_start}",
        "stage.compat=true",
    ]
    run = run_directory(facial_r1(*options, "stage.max_new_tokens=24", f"output_root={tmp_path}", cache=face_cache))
    summary = RunDirectory(run).read_summary()
    metrics = summary["metrics"]
    assert (summary["rows"], metrics["emotion/accuracy"]["n"], metrics["au/micro_f1"]["n"]) == (5, 3, 4)
    assert metrics["text/rouge_l"]["n"] == 4
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    assert [sample["id"] for sample in samples] == ids(FIRST) + ids(SECOND)
