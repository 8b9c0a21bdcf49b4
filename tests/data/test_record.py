"""The published form of a record, read and written."""

from __future__ import annotations

import json
import subprocess
import sys

from facial_r1.data import Record, load_records

PUBLISHED = {
    "id": "7f1c",
    "dataset": "RAF-AU",
    "image": "face.png",
    "question": "<image>What is the emotion of this face?",
    "AUs": ["AU6", "AU12"],
    "labels": ["happiness"],
    "description": "<think>The cheeks rise (AU6).</think><answer>happiness</answer>",
    "meta_info": {"origin": "example"},
}


def test_published_record_survives_a_round_trip(folder):
    file = folder.rows("a.jsonl", [PUBLISHED])
    [record] = load_records(file, folder.images)
    assert record.to_json(relative_to=folder.images) == PUBLISHED


def test_optional_and_unknown_fields_survive_a_round_trip(folder):
    row = PUBLISHED | {
        "subject": "s1",
        "split": "train",
        "candidate_labels": ["happiness", "sadness"],
        "transcript": "well",
        "accu_reward_method": "default",
        "clip": "clip.mp4",
    }
    [record] = load_records(folder.rows("a.jsonl", [row]), folder.images)
    assert record.to_json(relative_to=folder.images) == row


def test_several_images_are_written_as_a_list(folder):
    folder.image("b.png")
    row = PUBLISHED | {"image": ["face.png", "b.png"]}
    [record] = load_records(folder.rows("a.jsonl", [row]), folder.images)
    assert record.to_json(relative_to=folder.images)["image"] == ["face.png", "b.png"]


def test_uncoded_and_inactive_faces_are_written_differently():
    face = {"id": "1", "dataset": "d", "images": ("/x.png",), "question": "", "labels": ()}
    assert Record(AUs=None, **face).to_json()["AUs"] is None
    assert Record(AUs=(), **face).to_json()["AUs"] == []


def test_records_are_equal_wherever_they_were_read():
    face = {"id": "1", "dataset": "d", "images": ("/x.png",), "question": "", "labels": (), "AUs": None}
    assert Record(source="a.jsonl:1", **face) == Record(source="b.jsonl:9", **face)
    assert len({Record(source="a.jsonl:1", **face), Record(source="b.jsonl:9", **face)}) == 1


def test_reading_data_needs_no_torch(folder):
    file = folder.rows("a.jsonl", [PUBLISHED])
    code = (
        "import sys, json\n"
        "from facial_r1.data import load_data\n"
        f"load_data({{'files': [{str(file)!r}], 'images': [{str(folder.images)!r}]}}, need=('train',))\n"
        "print(json.dumps([m for m in ('torch', 'transformers', 'trl', 'datasets') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
