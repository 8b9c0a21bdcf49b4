"""Emotion words, label spaces and the action units that express each emotion.

Prototypes are after EMFACS (Friesen and Ekman, *EMFACS-7: Emotional Facial Action Coding System*, 1983) and the table
of prototypes in the FACS Investigator's Guide (Ekman, Friesen and Hager, 2002, chapter 12). They say what commonly
goes together; they are not a definition of an emotion.
"""

from __future__ import annotations

import re

EMOTIONS: tuple[str, ...] = (
    "anger",
    "contempt",
    "disgust",
    "fear",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
)
"""The canonical nouns, in alphabetical order."""

SEVEN_EMOTIONS: tuple[str, ...] = ("anger", "happiness", "sadness", "neutral", "disgust", "surprise", "fear")
"""The seven classes in the order in which prompts list them."""

SIX_EMOTIONS: tuple[str, ...] = ("anger", "happiness", "sadness", "disgust", "surprise", "fear")
"""The basic emotions without neutral."""

LABEL_SPACES: dict[str, tuple[str, ...]] = {"six": SIX_EMOTIONS, "seven": SEVEN_EMOTIONS, "eight": EMOTIONS}

_SYNONYMS: dict[str, tuple[str, ...]] = {
    "anger": ("angry", "angriness", "angered", "mad", "rage"),
    "contempt": ("contemptuous", "contemptful", "scorn", "scornful", "disdain"),
    "disgust": ("disgusted", "disgusting", "revulsion", "revolted"),
    "fear": ("fearful", "afraid", "scared", "frightened", "fearfulness"),
    "happiness": ("happy", "joy", "joyful", "happily", "joyous"),
    "neutral": ("neutrality", "calm", "neutral expression", "no emotion", "expressionless"),
    "sadness": ("sad", "sorrow", "sorrowful", "unhappy"),
    "surprise": ("surprised", "surprising", "astonished", "astonishment", "suprise"),
}

ALIASES: dict[str, str] = {word: emotion for emotion, words in _SYNONYMS.items() for word in (emotion, *words)}
"""Every accepted spelling, lower case, to its canonical noun."""

PROTOTYPES: dict[str, tuple[frozenset[str], ...]] = {
    emotion: tuple(frozenset(f"AU{number}" for number in units) for units in variants)
    for emotion, variants in {
        "happiness": ((6, 12), (12,)),
        "sadness": ((1, 4, 15), (1, 4, 11), (1, 4, 15, 17), (6, 15)),
        "surprise": ((1, 2, 5, 26), (1, 2, 5, 27), (1, 2, 5), (1, 2, 26)),
        "fear": ((1, 2, 4, 5, 20, 25), (1, 2, 4, 5, 20, 26), (1, 2, 4, 5), (1, 2, 5, 20)),
        "anger": ((4, 5, 7, 23), (4, 5, 7, 10, 23, 25), (4, 5, 7, 17, 24), (4, 7, 23)),
        "disgust": ((9,), (10,), (9, 17), (10, 17), (9, 15, 16)),
        "contempt": ((12, 14), (14,)),
        "neutral": ((),),
    }.items()
}
"""Common combinations of each emotion, the most typical first (sources in the module's docstring)."""


def normalise_label(text: str) -> str | None:
    """Return the canonical noun of an emotion word, or None when it is not one we know.

    Case, surrounding blanks and punctuation are ignored: ``" Happy. "`` gives ``"happiness"``. Only whole labels are
    recognised; a sentence that contains an emotion word is not a label.
    """
    cleaned = re.sub(r"\s+", " ", text.strip().strip("\"'`.,;:!?()[]{}*").strip().lower())
    return ALIASES.get(cleaned)
