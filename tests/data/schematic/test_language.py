"""Descriptions: what they may say, and that they say what is there."""

from __future__ import annotations

import re

import pytest

from facial_r1.affect import ALIASES, sort_codes
from facial_r1.data.schematic import TRAIN_PEOPLE, Face, face, neutral_description, reasoned_description
from facial_r1.data.schematic.expressions import DRAWN_UNITS
from facial_r1.data.schematic.language import PHRASES, conclusion
from facial_r1.prompts import parse


@pytest.fixture(scope="module")
def faces() -> list[Face]:
    return [face(7, index, TRAIN_PEOPLE) for index in range(2100)]


def test_every_drawn_unit_has_two_or_three_wordings_of_its_own() -> None:
    assert set(PHRASES) == set(DRAWN_UNITS)
    assert all(2 <= len(wordings) <= 3 for wordings in PHRASES.values())
    wordings = [wording for several in PHRASES.values() for wording in several]
    assert len(set(wordings)) == len(wordings)
    assert max(len(wording.split()) for wording in wordings) <= 9


def test_neutral_descriptions_have_no_code_no_tag_and_no_digit(faces: list[Face]) -> None:
    assert not [text for text in map(neutral_description, faces) if re.search(r"AU|[<>()\d]", text)]


def test_neutral_descriptions_have_no_emotion_word(faces: list[Face]) -> None:
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, ALIASES)) + r")\b", re.IGNORECASE)
    assert not [text for text in map(neutral_description, faces) if pattern.search(text)]


def test_neutral_descriptions_have_one_sentence_a_unit(faces: list[Face]) -> None:
    for one in faces:
        assert neutral_description(one).count(".") == max(1, len(one.intensities))


def test_reasoning_uses_the_sentences_of_the_neutral_description(faces: list[Face]) -> None:
    for one in faces:
        think = reasoned_description(one).removeprefix("<think>").split("</think>")[0]
        body = think.removesuffix(conclusion(one)).rstrip()
        assert re.sub(r" \(AU\d+\)", "", body) == neutral_description(one)


def test_reasoning_names_exactly_the_units_that_are_there(faces: list[Face]) -> None:
    for one in faces:
        assert tuple(sort_codes(re.findall(r"AU\d+", reasoned_description(one)))) == one.action_units


def test_reasoning_is_read_back_by_the_parser_of_completions(faces: list[Face]) -> None:
    for one in faces[:400]:
        parsed = parse(reasoned_description(one))
        assert parsed.valid
        assert (sort_codes(parsed.action_units), parsed.labels) == (list(one.action_units), (one.emotion,))
        assert not parsed.negated


def test_units_come_from_the_brows_down_to_the_chin(faces: list[Face]) -> None:
    order = list(PHRASES)
    for one in faces:
        places = [order.index(code) for code in re.findall(r"AU\d+", reasoned_description(one))]
        assert places == sorted(places)


def test_conflict_is_resolved_in_words(faces: list[Face]) -> None:
    conflicting = [one for one in faces if one.conflicting]
    assert conflicting
    assert all(re.search(r"outweighs? the .* and (suggest|point)s?\b", conclusion(one)) for one in conflicting)
    assert not [one for one in faces if not one.conflicting and "outweigh" in conclusion(one)]


def test_conclusion_names_no_other_emotion(faces: list[Face]) -> None:
    for one in faces:
        named = {ALIASES[word] for word in re.findall(r"[a-z]+", conclusion(one).lower()) if word in ALIASES}
        assert named == {one.emotion}


def test_wording_varies_with_the_record(faces: list[Face]) -> None:
    for unit, wordings in PHRASES.items():
        texts = [neutral_description(one) for one in faces if unit in one.intensities]
        shares = [sum(wording in text for text in texts) / len(texts) for wording in wordings]
        assert min(shares) > 0.3, (unit, shares)


def test_face_at_rest() -> None:
    one = next(one for one in (face(0, index, range(3)) for index in range(500)) if not one.intensities)
    assert neutral_description(one) in ("The brows, lids and lips are at rest.", "The whole face is at rest.")
    assert reasoned_description(one).endswith("This suggests neutral.</think><answer>neutral</answer>")


def test_descriptions_are_short(faces: list[Face]) -> None:
    assert max(len(reasoned_description(one)) for one in faces) < 500
