"""FABA-Instruct: two tasks, labels of the text on the train side, labels of the owner on the test side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facial_r1.affect.emola import EMOTION_IDS, UNITS
from facial_r1.data.protocol import load_protocol
from facial_r1.data.sources.registry import Reading, read_source
from facial_r1.errors import InputError
from tests.data.sources import layouts_au as layouts
from tests.data.sources.layouts_au import HASH, faba_row

AU_TEXT = "These AUs are in play:\n\n1. AU4 - Brow Lowerer: ...\n2. AU9 - Nose Wrinkler: ..."
LISTS: dict[str, list[dict[str, Any]]] = {
    "train_au": [
        faba_row("train", 1, "In this face, what are the discernible action units?", AU_TEXT),
        faba_row("train", 2, "Which action units?", "AU12 and AU6, and AU38 at the nostrils."),
        faba_row("train", 3, "Which action units?", "The face is at rest."),
    ],
    "train_emotion": [
        faba_row("train", 1, "What is the emotion of this face?", "The wrinkled nose shows disgust."),
        faba_row("train", 2, "What is the emotion?", "A broad smile of joy."),
        faba_row("train", 4, "What is the emotion?", "The lips are parted."),
        faba_row("train", 5, "What is the emotion?", "Tears and sadness."),
    ],
    "eval_au": [
        faba_row("eval", 6, "Which action units?", "AU1", label="4, 9, 15", gpt4="AU4, AU9 and AU15."),
        faba_row("eval", 7, "Which action units?", "AU1", label="", gpt4="None."),
    ],
    "eval_emotion": [
        faba_row("eval", 6, "What is the emotion?", "Anger.", label=5, gpt4="It is disgust."),
        faba_row("eval", 7, "What is the emotion?", "Neutral.", label="4", gpt4="It is neutral."),
        faba_row("eval", 8, "What is the emotion?", "Fear.", label="Fearful", gpt4="It is fear."),
    ],
}


def read(root: Path, **options: Any) -> Reading:
    return read_source("faba", root, **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return layouts.faba(tmp_path, LISTS)


def with_row(root: Path, name: str, row: dict[str, Any]) -> Path:
    """The set with one more row at the end of a list, and the path of the list."""
    layouts.faba(root, {**LISTS, name: [*LISTS[name], row]})
    side = name.partition("_")[0]
    return root / f"FABAInstruct/{side}/{name}_anno.json"


def test_train_units_are_those_of_the_text(root: Path) -> None:
    train = [record for record in read(root, task="au").records if record.split == "train"]
    assert [(record.AUs, record.labels) for record in train] == [(("AU4", "AU9"), ()), (("AU6", "AU12"), ())]


def test_train_text_without_unit_is_left_out_and_counted(root: Path) -> None:
    assert read(root, task="au").excluded == {"no action unit is named in the text": 1}


def test_units_outside_the_twenty_are_dropped_and_counted(root: Path) -> None:
    reading = read(root, task="au")
    assert reading.records[1].meta_info["other_action_units"] == ["AU38"]
    assert any("AU38 in 1 rows" in note for note in reading.notes)


def test_test_units_are_the_owners_label(root: Path) -> None:
    test = [record for record in read(root, task="au").records if record.split == "test"]
    assert [record.AUs for record in test] == [("AU4", "AU9", "AU15"), ()]


def test_train_emotions_are_those_of_the_text(root: Path) -> None:
    reading = read(root, task="emotion")
    train = [record for record in reading.records if record.split == "train"]
    assert [(record.labels, record.AUs) for record in train] == [
        (("disgust",), None),
        (("happiness",), None),
        (("sadness",), None),
    ]
    assert reading.excluded == {"no emotion is named in the text": 1}


def test_released_words_drop_the_sentence_with_a_nose_and_name_any_text(root: Path) -> None:
    train = [record for record in read(root, task="emotion", emotion_words="released").records if record.split == "train"]
    assert [record.labels[0] for record in train] == ["disgust", "happiness", "happiness", "sadness"]


def test_test_emotions_are_ids_or_names(root: Path) -> None:
    test = [record for record in read(root, task="emotion").records if record.split == "test"]
    assert [record.labels for record in test] == [("disgust",), ("neutral",), ("fear",)]


@pytest.mark.parametrize(("number", "emotion"), list(enumerate(EMOTION_IDS)))
def test_each_id(tmp_path: Path, number: int, emotion: str) -> None:
    row = faba_row("eval", 1, "?", "Text.", label=number)
    assert read(layouts.faba(tmp_path, {"eval_emotion": [row], "train_emotion": LISTS["train_emotion"]}), task="emotion").records[
        -1
    ].labels == (emotion,)


def test_question_and_description(root: Path) -> None:
    record = read(root, task="au").records[0]
    assert (record.question, record.description) == ("In this face, what are the discernible action units?", AU_TEXT)


def test_the_reference_of_the_test_side_is_gpt4s(root: Path) -> None:
    assert read(root, task="emotion").records[-3].description == "It is disgust."


def test_both_joins_by_picture(root: Path) -> None:
    assert [(record.id, record.AUs, record.labels, record.split) for record in read(root).records] == [
        (f"faba/both/{HASH}1", ("AU4", "AU9"), ("disgust",), "train"),
        (f"faba/both/{HASH}2", ("AU6", "AU12"), ("happiness",), "train"),
        (f"faba/both/{HASH}6", ("AU4", "AU9", "AU15"), ("disgust",), "test"),
        (f"faba/both/{HASH}7", (), ("neutral",), "test"),
    ]


def test_both_counts_what_only_one_list_has(root: Path) -> None:
    excluded = read(root).excluded
    assert excluded["train: no sound row in the action unit list"] == 1
    assert excluded["test: no sound row in the action unit list"] == 1


def test_both_describes_units_first(root: Path) -> None:
    assert read(root).records[0].description == f"{AU_TEXT}\n\nThe wrinkled nose shows disgust."


def test_pictures_and_owner(root: Path) -> None:
    record = read(root, task="au").records[0]
    assert record.images == (str(root / f"FABAInstruct/train/images/AffectNet/AffectNet_v2/1/{HASH}1.jpg"),)
    assert record.meta_info["source"] == "AffectNet"
    assert record.source.endswith("train_au_anno.json:2")


def test_the_root_may_be_the_folder_itself(root: Path) -> None:
    assert len(read(root / "FABAInstruct").records) == 4


@pytest.mark.parametrize(("task", "train", "test"), [("au", 15838, 325), ("emotion", 19474, 403)])
def test_official_counts(root: Path, task: str, train: int, test: int) -> None:
    assert read(root, task=task).official == {"train": train, "test": test}


@pytest.mark.parametrize(
    ("name", "changes", "field", "shown"),
    [
        ("eval_au", {"label": "4, x"}, "label", "'4, x' names no action units"),
        ("eval_au", {}, "label", "is missing"),
        ("eval_emotion", {"label": 7}, "label", "7 is no emotion"),
        ("eval_emotion", {"label": "contempt"}, "label", "'contempt' is no emotion"),
        ("eval_emotion", {}, "label", "is missing"),
        ("train_au", {"conversations": "AU4"}, "conversations", "is no list of turns"),
        ("train_au", {"conversations": [{"from": "human", "value": "?"}]}, "conversations", "there is no text of gpt"),
        ("train_emotion", {"image": None}, "image", "is missing"),
    ],
)
def test_a_broken_row_is_a_problem(root: Path, name: str, changes: dict[str, Any], field: str, shown: str) -> None:
    side, _, task = name.partition("_")
    path = with_row(root, name, faba_row(side, 9, "?", "AU4 and anger.") | changes)
    problem = read(root, task=task).problems[0]
    assert (problem.file, problem.field) == (str(path), field)
    assert shown in problem.reason
    assert problem.line > 30


def test_a_missing_picture_is_a_problem(root: Path) -> None:
    (root / f"FABAInstruct/train/images/AffectNet/AffectNet_v2/1/{HASH}1.jpg").unlink()
    assert f"{HASH}1.jpg' is not below" in read(root, task="au").problems[0].reason


def test_a_picture_twice_is_a_problem(root: Path) -> None:
    with_row(root, "train_au", LISTS["train_au"][0])
    assert "is already at" in read(root, task="au").problems[0].reason


def test_a_broken_list_is_a_problem_of_the_whole_file(root: Path) -> None:
    path = root / "FABAInstruct/train/train_au_anno.json"
    path.write_text(json.dumps(LISTS["train_au"])[:-20])
    assert read(root, task="au").problems[0].whole_file


def test_a_missing_list_shows_the_layout(root: Path) -> None:
    (root / "FABAInstruct/eval/eval_au_anno.json").unlink()
    with pytest.raises(InputError, match=r"no file eval_au_anno.json"):
        read(root)


def test_protocol_has_the_twenty_units_and_seven_emotions() -> None:
    protocol = load_protocol("faba")
    assert (protocol.action_units, protocol.labels, protocol.counts) == (UNITS, EMOTION_IDS, {"train": 19474, "test": 403})
