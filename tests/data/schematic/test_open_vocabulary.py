"""Drawn faces with emotion words: every word is one that the wheels know, and what is written is the same every time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facial_r1.affect.wheels import load
from facial_r1.config.schema import Schematic
from facial_r1.data.drawn import drawn_faces
from facial_r1.data.schematic.faces import TRAIN_PEOPLE, face
from facial_r1.data.schematic.open_vocabulary import FITTING, WORDS, description_of, transcript_of, words_of
from facial_r1.prompts.open_vocabulary import is_formatted, mentioned_words, read_answer

FACES = [face(0, index, TRAIN_PEOPLE) for index in range(140)]


def test_every_word_reaches_a_sector():
    wheels = load()
    words = {word for pair in WORDS.values() for part in pair for word in part}
    assert not [word for word in words if not any(wheels.sectors([word], wheel=k, level=1) for k in range(1, 6))]


def test_a_face_has_one_to_four_words_and_its_expression_is_named_first():
    for one in FACES:
        words = words_of(one)
        assert 1 <= len(words) <= 4 and len(set(words)) == len(words) and words[0] in WORDS[one.emotion][0]
    assert {len(words_of(one)) for one in FACES} == {1, 2, 3, 4}


def test_reasoning_and_answer_name_the_same_words():
    wheels = load()
    for one in FACES:
        answer = read_answer(description_of(one), "think")
        assert list(answer.words) == words_of(one) and is_formatted(description_of(one), "think", "exact")
        assert set(mentioned_words(answer.thinking, wheels)) >= set(answer.words) - {"serious", "focused"}, answer.thinking


def test_transcripts_name_no_emotion():
    wheels = load()
    assert {transcript_of(one) for one in FACES} <= {text for texts in FITTING.values() for text in texts}
    assert not [text for texts in FITTING.values() for text in texts if mentioned_words(text, wheels)]


def test_the_dataset_shares_the_pictures_and_is_written_once(tmp_path: Path):
    small = {"train": 7, "test": 7, "instructions": 3, "size": 28, "folder": str(tmp_path / "faces")}
    folder = drawn_faces(Schematic(**small, vocabulary="open"))
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    assert all((folder / row["image"]).is_file() and row["transcript"] and row["labels"] for row in rows)
    assert [bool(row["description"]) for row in rows] == [True] * 3 + [False] * 4
    assert rows[0]["labels"] == words_of(FACES[0]) and rows[0]["meta_info"]["expression"] == FACES[0].emotion
    before = (folder / "train.jsonl").stat().st_mtime_ns
    assert drawn_faces(Schematic(**small, vocabulary="open")) == folder and (folder / "train.jsonl").stat().st_mtime_ns == before
    assert drawn_faces(Schematic(**small)) == tmp_path / "faces", "the nouns are still there"


@pytest.mark.parametrize("side", ["train", "test"])
def test_rows_load_with_their_words(tmp_path: Path, side: str):
    from facial_r1.config.compose import compose_tree
    from facial_r1.config.resolved import plain
    from facial_r1.config.validation import validate
    from facial_r1.data import load_data

    small = ["data.schematic.train=7", "data.schematic.test=7", "data.schematic.instructions=3", "data.schematic.size=28"]
    job = validate(plain(compose_tree(["data=schematic_open", *small, f"data.schematic.folder={tmp_path}/faces"])))
    data = load_data(job.data)
    words = {word for pair in WORDS.values() for part in pair for word in part}
    assert data.protocol.is_open and {label for record in getattr(data, side) for label in record.labels} <= words
