"""How EmoLA's released scorer reads a description: its lists of words and its rules, kept as they are because the figure REGE
depends on them. `facial_r1.affect.emola` reads descriptions by the same idea without the accidents.

The lists are data of the released code (EmoLA, MIT licence, copyright 2024 EmoLA). What may surprise:

* a sentence with a denying word anywhere in its letters is dropped ("nose", "noticeable", "another"), unless all are;
* sentences end at a full stop or question mark before a blank, but not behind abbreviations ("e.g. ", "Mr. ");
* the first sentence of what is left ends at the first ``.``, ``!`` or ``?``, so also inside a number or an abbreviation;
* its first emotion word decides. Some words belong to two emotions ("discomfort", "curiosity"): the one with the lower id wins;
* without one, the words of the rest vote, a word of two emotions for both; the lower id wins a tie, so that a text without any
  emotion word is called happiness.
"""

from __future__ import annotations

import re

from facial_r1.affect.emola import EMOTION_IDS

WORDS: dict[str, frozenset[str]] = {
    emotion: frozenset(words.split())
    for emotion, words in {
        "happiness": "happiness happy smiling smile pleasant content contentment relaxed relaxation cheerful joy amusement amused "
        "positivity positive lightheartedness joyful friendly warmth bright",
        "sadness": "sadness crying distress concern discomfort anguish somber",
        "surprise": "surprise surprised startled puzzled astonishment disbelief wonder curiosity curious confusion bewilderment "
        "skepticism excitement uncertainty",
        "anger": "anger mad irate outraged agitation irritated enraged annoyed incensed serious frustration displeased stern",
        "neutral": "neutral neutrality calm contemplative concerned thoughtful focused solemn mild",
        "disgust": "disgust distaste disgusted discomfort displeasure displeased disapproval disdain contempt",
        "fear": "fear shock anxiety apprehension tension panic alertness focus worry alarm curiosity contemplation",
    }.items()
}
"""The words of each emotion, in the order of the ids."""

SCORED_UNITS: dict[str, tuple[str, ...]] = {
    name: tuple(f"AU{number}" for number in numbers)
    for name, numbers in {
        "faba": (1, 2, 4, 5, 6, 10, 12, 17, 24, 25, 26, 43),
        "disfa": (1, 2, 4, 6, 9, 12, 25, 26),
        "bp4d": (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24),
        "gft": (1, 2, 4, 6, 10, 12, 14, 15, 23, 24),
        "emotionet": (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43),
    }.items()
}
"""The action units that the mean F1 runs over, by dataset."""

_DENIALS = ("not", "no", "isn't ", "nothing", "cannot", "won't", "shouldn't", "neither", "nor")
_SENTENCE_END = re.compile(r"(?<=[.?])(?<!\w\.\w.)(?<![A-Z][a-z]\.)\s")
_FIRST = re.compile(r"[^\n]*?[.!?]")
_WORD = re.compile(r"\w+")
_UNIT = re.compile(r"AU(\d+)")
_OF_WORD = {
    word: tuple(emotion for emotion in EMOTION_IDS if word in WORDS[emotion]) for words in WORDS.values() for word in words
}


def emotion_of_text(text: str) -> str:
    """The emotion that the released scorer finds in a description, one of `EMOTION_IDS`.

    A text without a sentence end in its first line stopped the released scorer; here such a text is one first sentence.
    """
    kept = " ".join(part for part in _SENTENCE_END.split(text) if not _denies(part)) or text
    first = _FIRST.match(kept)
    end = first.end() if first else len(kept)
    for word in _WORD.findall(kept[:end].lower()):
        if word in _OF_WORD:
            return _OF_WORD[word][0]
    votes = dict.fromkeys(EMOTION_IDS, 0)
    for word in _WORD.findall(kept[end:].lower()):
        for emotion in _OF_WORD.get(word, ()):
            votes[emotion] += 1
    return max(votes, key=votes.__getitem__)


def units_of_text(text: str) -> frozenset[str]:
    """Codes that the released scorer finds: the letters ``AU`` directly followed by digits, leading zeros kept (``AU012``)."""
    return frozenset(f"AU{digits}" for digits in _UNIT.findall(text))


def _denies(sentence: str) -> bool:
    lower = sentence.lower()
    return any(word in lower for word in _DENIALS)
