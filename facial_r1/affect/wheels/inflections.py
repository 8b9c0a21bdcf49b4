"""Inflected forms of English emotion words, by rule.

Rules follow the ending of the word (adjectives in -y, -ful, -less, -ous, -ent, -able, ...; participles in -ed and -ing). What no rule can
know (irregular verbs, nouns like *anger* beside *angry*) is written down in ``words/inflections.txt``.
"""

from __future__ import annotations

from collections.abc import Collection

_VOWELS = "aeiou"


def adjective(word: str) -> list[str]:
    """Adverb, noun, comparative and superlative of an adjective: calm, calmly, calmness, calmer, calmest."""
    if word.endswith("y") and word[-2] not in _VOWELS:
        stem = word[:-1] + "i"
        return [f"{stem}ly", f"{stem}ness", f"{stem}er", f"{stem}est"]
    if word.endswith("le") and word[-3] not in _VOWELS:
        return [f"{word[:-1]}y", f"{word}ness", f"{word}r", f"{word}st"]
    stem = word[:-1] if word.endswith("e") else word + word[-1] if _closed(word) and len(word) <= 4 else word
    return [f"{word}ly", f"{word}ness", f"{stem}er", f"{stem}est"]


def verb(word: str) -> list[str]:
    """The regular forms of a verb: annoy, annoys, annoyed, annoying."""
    if word.endswith("y") and word[-2] not in _VOWELS:
        return [f"{word[:-1]}ies", f"{word[:-1]}ied", f"{word}ing"]
    third = f"{word}es" if word.endswith(("s", "x", "z", "ch", "sh")) else f"{word}s"
    stem = word[:-1] if word.endswith("e") and not word.endswith("ee") else word
    if _closed(word) and len(word) <= 4:
        stem = word + word[-1]
    return [third, f"{stem}ed", f"{stem}ing"]


def noun(word: str) -> list[str]:
    """The plural of a noun."""
    if word.endswith("y") and word[-2] not in _VOWELS:
        return [f"{word[:-1]}ies"]
    return [f"{word}es" if word.endswith(("s", "x", "z", "ch", "sh")) else f"{word}s"]


def by_ending(word: str, infinitives: Collection[str] = ()) -> list[str]:
    """Further forms of a single word of unknown kind, as far as its ending tells; the word itself is not among them.

    Args:
        word: A base word. Words with a blank or hyphen, and participles in un-, have no further forms.
        infinitives: Verbs that cannot be guessed from their participles.
    """
    if " " in word or "-" in word or not word.isascii() or len(word) < 4:
        return []
    if word.endswith(("ed", "ing")) and not word.endswith("eed"):
        return [] if word.startswith("un") else _participle(word, infinitives)
    for ending, rule in _RULES:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return rule(word)
    return noun(word)


def _closed(word: str) -> bool:
    """Whether the last consonant is doubled before an ending, as in sad, sadder; stun, stunned."""
    last, vowel, first = word[-1], word[-2], word[-3] if len(word) > 2 else "a"
    return last not in _VOWELS + "wxy" and vowel in _VOWELS and first not in _VOWELS


def _participle(word: str, infinitives: Collection[str]) -> list[str]:
    """annoyed: annoy, annoys, annoying, annoyedly; thrilling: thrill, thrills, thrilled, thrillingly."""
    ending = "ed" if word.endswith("ed") else "ing"
    stem = word.removesuffix(ending)
    infinitive = _infinitive(stem, infinitives)
    # What stands before another ending: worr-y keeps its y before -ing only, stun doubles its n.
    root = infinitive if infinitive.endswith(("y", "ee")) else stem
    forms = [infinitive, verb(infinitive)[0], f"{word}ly"]
    if ending == "ing":
        return [*forms, f"{root[:-1]}ied" if infinitive.endswith("y") and stem[-2] not in _VOWELS else f"{stem}ed"]
    forms += [f"{root}ing", f"{root}ingly", f"{word}ness"]
    if infinitive.endswith("ate"):
        forms += [f"{infinitive[:-1]}ion", f"{infinitive[:-1]}ions"]
    return forms


_SILENT_E = (
    *(
        "v",
        "c",
        "z",
        "u",
        "ag",
        "eg",
        "dg",
        "rg",
        "ieg",
        "at",
        "cit",
        "vit",
        "nit",
        "uad",
        "cid",
        "ud",
        "ok",
        "us",
        "as",
        "os",
        "is",
    ),
    *("ns", "rs", "ps", "ls", "ir", "ur", "uar", "scar", "dar", "bor", "plor", "tam", "ham", "som", "erm", "ooth", "eath"),
    *("gin", "min", "clin", "fin", "id", "ap", "op", "yp"),
)
_NO_E = ("ss", "ious", "aid", "oid", "eap", "oop", "eep", "elop", "eat", "air", "ook", "foc", "focus")


def _infinitive(stem: str, infinitives: Collection[str]) -> str:
    """The verb of a participle without its ending: annoy, excit(e), startl(e), stun(n), worr(i)."""
    for known in (stem, stem + "e"):
        if known in infinitives:
            return known
    if stem.endswith("i"):
        return stem[:-1] + "y"
    if stem.endswith("ick"):
        return stem[:-1] if stem.endswith("nick") else stem
    if len(stem) > 3 and stem[-1] == stem[-2] and (stem[-1] not in "lsfze" or stem.endswith(("pell", "troll"))):
        return stem[:-1]
    if stem.endswith("l") and len(stem) > 2 and stem[-2] not in _VOWELS + "lrw":
        return stem + "e"
    return stem + "e" if stem.endswith(_SILENT_E) and not stem.endswith(_NO_E) else stem


_RULES = (
    *((ending, noun) for ending in ("ity", "ety", "pathy", "acy", "ency", "ancy", "azy")),
    ("less", lambda word: [f"{word}ly", f"{word}ness"]),
    ("ness", noun),
    ("ment", noun),
    ("tion", noun),
    ("sion", noun),
    ("ful", lambda word: [f"{word}ly", f"{word}ness", word[:-3], *noun(word[:-3])]),
    ("ous", lambda word: [f"{word}ly", f"{word}ness"]),
    ("ive", lambda word: [f"{word}ly", f"{word}ness"]),
    ("ent", lambda word: [f"{word}ly", f"{word[:-1]}ce"]),
    ("ant", lambda word: [f"{word}ly", f"{word[:-1]}ce"]),
    ("able", lambda word: [f"{word[:-1]}y", f"{word[:-2]}ility"]),
    ("ible", lambda word: [f"{word[:-1]}y", f"{word[:-2]}ility"]),
    ("ic", lambda word: [f"{word}ally"]),
    ("al", lambda word: [f"{word}ly"]),
    ("ate", lambda word: [f"{word}ly"]),
    ("ish", lambda word: [f"{word}ly", f"{word}ness"]),
    ("some", lambda word: [f"{word}ly", f"{word}ness"]),
    ("y", adjective),
)
"""The first ending that fits decides."""
