"""Each rule of EmoLA's released scorer, the surprising ones first."""

from __future__ import annotations

import pytest

from facial_r1.affect.emola import EMOTION_IDS
from facial_r1.affect.emola_released import SCORED_UNITS, WORDS, emotion_of_text, units_of_text

CASES = [
    ("a sentence with no in its letters is dropped", "The nose shows anger. The eyes show fear.", "fear"),
    ("not in the letters", "A noticeable smile. It is anger.", "anger"),
    ("all dropped: the whole text is read", "There is no anger.", "anger"),
    ("isn't counts only before a blank", "It isn't, in anger. It is fear.", "anger"),
    ("the first word of the first sentence decides", "Sadness and fear mix. Anger, anger, anger.", None),
    ("the lower id wins for a word of two emotions", "Signs of discomfort.", "sadness"),
    ("curiosity is surprise before fear", "Curiosity.", "surprise"),
    ("displeased is anger before disgust", "A displeased face.", "anger"),
    ("else the rest votes", "The brows are low. Fear, anger and anger.", "anger"),
    ("a word of two emotions votes for both", "The brows are low. Discomfort and disgust.", "disgust"),
    ("the lower id wins a tie", "The brows are low. Fear and anger.", "anger"),
    ("a text without an emotion word is called happiness", "The brows are low.", "happiness"),
    ("nothing at all too", "", "happiness"),
    ("the first sentence ends inside a number", "About 3.5 mm of calm. Fear.", "neutral"),
    ("abbreviations end no sentence", "Seen, e.g. in anger, not here. Fear is there.", "fear"),
    ("words count whole", "Unhappy fearsome angers. Panic.", "fear"),
    ("case does not matter", "ANGER.", "anger"),
    ("shock is fear, not surprise", "In shock.", "fear"),
    ("contempt is disgust", "In contempt.", "disgust"),
    ("without a sentence end the text is one sentence", "fear and anger", "fear"),
]


@pytest.mark.parametrize(("rule", "text", "emotion"), CASES, ids=[case[0] for case in CASES])
def test_emotion(rule: str, text: str, emotion: str | None) -> None:
    assert emotion_of_text(text) == (emotion or "sadness"), rule


def test_units_are_read_anywhere_and_as_written() -> None:
    assert units_of_text("AU4, no AU1 (au6), AU 9, AU012") == {"AU4", "AU1", "AU012"}


def test_seven_lists_in_the_order_of_the_ids() -> None:
    assert tuple(WORDS) == EMOTION_IDS and sum(map(len, WORDS.values())) == 84


@pytest.mark.parametrize(("dataset", "count"), [("faba", 12), ("disfa", 8), ("bp4d", 12), ("gft", 10)])
def test_scored_units(dataset: str, count: int) -> None:
    assert len(SCORED_UNITS[dataset]) == count
