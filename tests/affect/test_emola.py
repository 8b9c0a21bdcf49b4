"""Emotions and action units from free text, by EmoLA's rules."""

from __future__ import annotations

import pytest

from facial_r1.affect import emola
from facial_r1.affect.emola import emotion_of_text, units_of_text


def test_ids_are_the_published_ones() -> None:
    assert list(emola.EMOTION_IDS) == ["happiness", "sadness", "surprise", "anger", "neutral", "disgust", "fear"]


def test_no_word_names_two_emotions() -> None:
    words = [word for listed in emola.WORDS.values() for word in listed]
    assert sorted(words) == sorted(set(words))


@pytest.mark.parametrize("emotion", emola.EMOTION_IDS)
def test_each_noun_is_found(emotion: str) -> None:
    assert emotion_of_text(f"The face shows {emotion}.") == emotion


def test_first_word_of_the_first_sentence_decides() -> None:
    assert emotion_of_text("Sadness rather than joy. Joy. Joy.") == "sadness"


def test_else_the_most_frequent_of_the_others() -> None:
    assert emotion_of_text("The lips are parted. It may be fear. It is surprise. Surprise!") == "surprise"


def test_denying_sentences_are_dropped() -> None:
    assert emotion_of_text("There is not a trace of anger. The face is calm.") == "neutral"


def test_all_denying_falls_back_to_the_whole_text() -> None:
    assert emotion_of_text("It is not calm. It cannot be other than fear.") == "neutral"


def test_a_nose_denies_nothing() -> None:
    assert emotion_of_text("A wrinkled nose shows disgust. The eyes show anger.") == "disgust"


def test_unhappy_is_not_happy() -> None:
    assert emotion_of_text("She looks unhappy.") == "sadness"


def test_text_without_emotion_is_none() -> None:
    assert emotion_of_text("The lips are parted.") is None


def test_empty_text_is_none() -> None:
    assert emotion_of_text(" \n") is None


def test_units_in_order_without_duplicates() -> None:
    assert units_of_text("AU12, AU6 (AU012) and AU 4, au25, no AU99") == ["AU12", "AU6", "AU99"]
