"""English words to their stems: Porter's algorithm, in the form that the ``rouge_score`` package compares words in.

Porter 1980, *An algorithm for suffix stripping*, Program 14(3), with the departures that NLTK's stemmer makes by default and
``rouge_score`` inherits: a short list of irregular words, ``ies`` and ``ied`` keep their e in words of four letters
(ties, tie), a final y turns to i behind a consonant only, and ``bli``, ``fulli`` and ``logi`` are suffixes of the second step.

Written here because the library costs 0.3 s of import and four packages for one function; that it stems as NLTK 3.10 does was
checked on 199,000 words of source code and prose and 200,000 random ones; a part of them is a test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

_IRREGULAR = {
    word: stem
    for stem, words in {
        "sky": ("sky", "skies"),
        "die": ("dying",),
        "lie": ("lying",),
        "tie": ("tying",),
        "news": ("news",),
        "inning": ("innings", "inning"),
        "outing": ("outings", "outing"),
        "canning": ("cannings", "canning"),
        "howe": ("howe",),
        "proceed": ("proceed",),
        "exceed": ("exceed",),
        "succeed": ("succeed",),
    }.items()
    for word in words
}

Condition = Callable[[str], bool]
Rule = tuple[str, str]


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """The stem of a word in lower case.

    >>> [stem(word) for word in ("raised", "wrinkles", "ties", "happily", "tightening")]
    ['rais', 'wrinkl', 'tie', 'happili', 'tighten']
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 2:
        return word
    for step in (_plural, _past, _final_y, _double_suffix, _single_suffix, _bare_suffix, _final_e, _final_ll):
        word = step(word)
    return word


# --- conditions --------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=65_536)
def _shape(word: str) -> str:
    """Consonants as c, vowels as v; y is a vowel behind a consonant."""
    shape = ""
    for letter in word:
        consonant = letter not in "aeiou" and not (letter == "y" and shape.endswith("c"))
        shape += "c" if consonant else "v"
    return shape


def _measure(word: str) -> int:
    """Porter's m: how often a vowel is followed by a consonant."""
    return _shape(word).count("vc")


def _measured(word: str) -> bool:
    return _measure(word) > 0


def _long(word: str) -> bool:
    return _measure(word) > 1


def _has_vowel(word: str) -> bool:
    return "v" in _shape(word)


def _doubled(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _shape(word)[-1] == "c"


def _short_syllable(word: str) -> bool:
    """Porter's *o: ends in consonant, vowel, consonant other than w, x, y; two letters "vc" count too."""
    shape = _shape(word)
    return (shape.endswith("cvc") and word[-1] not in "wxy") or shape == "vc"


# --- steps -------------------------------------------------------------------------------------------------------------------


def _replaced(word: str, rules: Sequence[Rule], condition: Condition) -> str:
    """The word with the first suffix that it ends in replaced, where the rest meets the condition."""
    for suffix, replacement in rules:
        if word.endswith(suffix):
            rest = word[: len(word) - len(suffix)]
            return rest + replacement if condition(rest) else word
    return word


def _plural(word: str) -> str:
    if word.endswith("ies") and len(word) == 4:
        return word[:-1]
    return _replaced(word, (("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")), lambda rest: True)


def _past(word: str) -> str:
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measured(word[:-3]) else word
    ending = re.search("(?:ed|ing)$", word)
    if ending is None or not _has_vowel(word[: ending.start()]):
        return word
    rest = word[: ending.start()]
    if rest.endswith(("at", "bl", "iz")):
        return rest + "e"
    if _doubled(rest):
        return rest if rest[-1] in "lsz" else rest[:-1]
    return rest + "e" if _measure(rest) == 1 and _short_syllable(rest) else rest


def _final_y(word: str) -> str:
    return word[:-1] + "i" if word.endswith("y") and len(word) > 2 and _shape(word[:-1])[-1] == "c" else word


_DOUBLE: tuple[Rule, ...] = (
    ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("bli", "ble"), ("alli", "al"),
    ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate"), ("ator", "ate"), ("alism", "al"),
    ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"), ("iviti", "ive"), ("biliti", "ble"),
    ("fulli", "ful"),
)  # fmt: skip
_SINGLE: tuple[Rule, ...] = (
    ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", ""),
)  # fmt: skip
_BARE = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti", "ous",
    "ive", "ize",
)  # fmt: skip


def _double_suffix(word: str) -> str:
    if word.endswith("alli") and _measured(word[:-4]):
        return _double_suffix(word[:-2])
    if word.endswith("logi"):
        return word[:-1] if _measured(word[:-3]) else word
    return _replaced(word, _DOUBLE, _measured)


def _single_suffix(word: str) -> str:
    return _replaced(word, _SINGLE, _measured)


def _bare_suffix(word: str) -> str:
    for suffix in _BARE:
        if word.endswith(suffix):
            rest = word[: len(word) - len(suffix)]
            return rest if _long(rest) and (suffix != "ion" or rest[-1] in "st") else word
    return word


def _final_e(word: str) -> str:
    if not word.endswith("e"):
        return word
    rest = word[:-1]
    return rest if _measure(rest) > 1 or (_measure(rest) == 1 and not _short_syllable(rest)) else word


def _final_ll(word: str) -> str:
    return word[:-1] if word.endswith("ll") and _long(word[:-1]) else word
