"""What a free description of a face says, by the idea of EmoLA's scorer and without its accidents.

The idea (Li et al., *Facial Affective Behavior Analysis with Instruction Tuning*, ECCV 2024, and its released code):

* Emotion: sentences that deny something are dropped, unless all do. The first emotion word of the first sentence left
  decides; when it has none, the emotion named most often in the others.
* Action units: every ``AU`` followed by digits.

`facial_r1.affect.emola_released` keeps the scorer as it was released, for figures that have to agree with it. Here a word denies
only as a whole word (there "nose" does), a word belongs to one emotion only, and a text without an emotion word names none. The
words were chosen for this project from the emotions' names, their word families and common synonyms; they are not the released
ones.
"""

from __future__ import annotations

import re
from collections import Counter

from facial_r1.affect.emotions import ALIASES

EMOTION_IDS: tuple[str, ...] = ("happiness", "sadness", "surprise", "anger", "neutral", "disgust", "fear")
"""The seven emotions by FABA-Instruct's class id, 0 to 6."""

UNITS: tuple[str, ...] = tuple(f"AU{n}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 20, 23, 24, 25, 26, 27, 43))
"""FABA-Instruct's label space of action units."""

_FURTHER: dict[str, str] = {
    "happiness": "happier amused amusement cheer cheerful cheerfulness cheery contentment delight delighted elated elation "
    "enjoyment glad gladness glee gleeful jovial jubilant merriment merry pleased pleasure smiling",
    "sadness": "sadly saddened dejected dejection depressed despair despondency despondent disheartened downcast forlorn gloom "
    "gloomy grief grieving heartbroken melancholic melancholy miserable misery mournful somber sombre tearful unhappiness",
    "surprise": "surprises surprisingly amazed amazement astounded awe shock shocked startle startled startlement stunned",
    "anger": "angrily aggravated aggression aggressive annoyance annoyed enraged exasperated exasperation frustrated frustration "
    "furious fury hostile hostility indignant indignation irate irritated irritation outrage outraged wrath",
    "neutral": "neutrally calmness composed composure emotionless impassive indifference indifferent relaxed serene serenity stoic "
    "unemotional",
    "disgust": "disgusts aversion averse distaste distasteful loathing nausea nauseated repelled repugnance repulsed repulsion "
    "revolting",
    "fear": "fears fearfully alarm alarmed anxiety anxious apprehension apprehensive dread fright frightening horrified horror "
    "nervous nervousness panic panicked panicking scare scary terrified terror worried worry",
}

WORDS: dict[str, tuple[str, ...]] = {
    emotion: (*(word for word, noun in ALIASES.items() if noun == emotion), *_FURTHER[emotion].split()) for emotion in EMOTION_IDS
}
"""The words that name each emotion, lower case."""

_EMOTIONS = {word: emotion for emotion, words in WORDS.items() for word in words}
_WORD = re.compile(r"\b(?:" + "|".join(sorted(map(re.escape, _EMOTIONS), key=len, reverse=True)) + r")\b")
_DENIAL = re.compile(r"\b(?:not|no|nothing|cannot|neither|nor|without|never|\w+n't)\b")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_UNIT = re.compile(r"AU(\d+)")


def emotion_of_text(text: str) -> str | None:
    """The emotion that a description names, one of `EMOTION_IDS`, or None when it names none.

    Args:
        text: any description, "The raised lip corners (AU12) suggest happiness. ...".
    """
    sentences = [part for part in _SENTENCE_END.split(text.lower().replace("\u2019", "'")) if part.strip()]
    kept = [sentence for sentence in sentences if not _DENIAL.search(sentence)] or sentences
    if not kept:
        return None
    first = _WORD.search(kept[0])
    if first is not None:
        return _EMOTIONS[first.group()]
    counts = Counter(_EMOTIONS[word] for sentence in kept[1:] for word in _WORD.findall(sentence))
    return counts.most_common(1)[0][0] if counts else None


def units_of_text(text: str) -> list[str]:
    """Codes of the action units that a description names, in the order of their first mention.

    As released, only the letters ``AU`` directly followed by digits count, in this case of letters, and a unit counts
    wherever it is named, also in "no AU4". Numbers that FACS does not have are kept; leading zeros are not.
    """
    return list(dict.fromkeys(f"AU{int(digits)}" for digits in _UNIT.findall(text)))
