"""Emotion words and label spaces."""

from __future__ import annotations

import pytest

from facial_r1.affect import ACTION_UNITS, ALIASES, EMOTIONS, LABEL_SPACES, PROTOTYPES, SEVEN_EMOTIONS, normalise_label


def test_prompt_order_of_the_seven_classes() -> None:
    assert SEVEN_EMOTIONS == ("anger", "happiness", "sadness", "neutral", "disgust", "surprise", "fear")


def test_label_spaces_hold_canonical_nouns_once() -> None:
    for name, labels in LABEL_SPACES.items():
        assert len(set(labels)) == len(labels), name
        assert set(labels) <= set(EMOTIONS), name


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("happy", "happiness"),
        (" Angry.", "anger"),
        ("FEARFUL", "fear"),
        ("surprised!", "surprise"),
        ("sad", "sadness"),
        ("disgusted", "disgust"),
        ("contemptuous", "contempt"),
        ("calm", "neutral"),
        ('"neutral"', "neutral"),
        ("no  emotion", "neutral"),
    ],
)
def test_aliases(text: str, label: str) -> None:
    assert normalise_label(text) == label


@pytest.mark.parametrize("text", ["", "hungry", "the face is happy", "happiness, sadness"])
def test_other_texts_are_no_label(text: str) -> None:
    assert normalise_label(text) is None


def test_each_canonical_noun_is_its_own_alias() -> None:
    assert all(ALIASES[emotion] == emotion for emotion in EMOTIONS)


def test_prototypes_cover_all_emotions_with_known_units() -> None:
    assert set(PROTOTYPES) == set(EMOTIONS)
    assert all(units <= set(ACTION_UNITS) for variants in PROTOTYPES.values() for units in variants)
