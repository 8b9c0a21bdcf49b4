"""What is said of a face: a neutral description, and reasoning from action units to an emotion.

Both use the same sentence for a unit, one sentence a unit, from the brows down to the chin, so that whoever can write
the first has most of the second.
"""

from __future__ import annotations

from collections.abc import Iterable

from facial_r1.data.schematic.expressions import decide
from facial_r1.data.schematic.faces import Face
from facial_r1.data.schematic.stream import Stream

PHRASES: dict[str, tuple[str, ...]] = {
    "AU1": ("The inner brows are raised", "The inner ends of the brows lift"),
    "AU2": ("The outer brows are raised", "The outer ends of the brows lift"),
    "AU4": ("The brows are lowered and drawn together", "The brows are pulled down and together"),
    "AU5": ("The upper lids are raised wide", "The eyes are opened wide"),
    "AU7": ("The lower lids are tightened", "The lids are tense and narrowed"),
    "AU6": ("The cheeks are raised under the eyes", "The raised cheeks wrinkle the eye corners"),
    "AU9": ("The nose is wrinkled", "The nose wrinkles along its bridge"),
    "AU10": ("The upper lip is raised", "The upper lip is pulled up"),
    "AU12": ("The lip corners are pulled up", "The corners of the mouth turn up"),
    "AU15": ("The lip corners are pulled down", "The corners of the mouth turn down"),
    "AU20": ("The lips are stretched sideways", "The mouth is stretched to the sides"),
    "AU23": ("The lips are tightened and thin", "The lips are drawn thin and tight"),
    "AU25": ("The lips are parted", "The lips stand apart"),
    "AU26": ("The jaw is dropped", "The jaw hangs open"),
    "AU17": ("The chin is pushed up and dimpled", "The chin rises and dimples"),
}
"""Unit -> equivalent sentences without the full stop, in facial order from brows to chin."""

AT_REST: tuple[str, ...] = ("The brows, lids and lips are at rest", "The whole face is at rest")

PARTS: dict[str, str] = {
    **dict.fromkeys(("AU1", "AU2", "AU4"), "brows"),
    **dict.fromkeys(("AU5", "AU7"), "lids"),
    "AU6": "cheeks",
    "AU9": "nose",
    **dict.fromkeys(("AU10", "AU12", "AU15", "AU20", "AU23", "AU25"), "lips"),
    "AU26": "jaw",
    "AU17": "chin",
}
_SINGULAR = {"nose", "jaw", "chin"}

SUPPORT: dict[str, tuple[str, ...]] = {
    emotion: tuple(f"AU{number}" for number in numbers)
    for emotion, numbers in {
        "anger": (4, 5, 7, 23),
        "happiness": (6, 12),
        "sadness": (1, 4, 15, 17),
        "disgust": (9, 10, 17),
        "surprise": (1, 2, 5, 26),
        "fear": (1, 2, 4, 5, 20),
        "neutral": (),
    }.items()
}
"""Emotion -> the units that the closing sentence counts as evidence."""


def neutral_description(face: Face) -> str:
    """Say what the parts of the face do: no codes, no emotion words, no tags; one sentence a unit, brows to chin."""
    return " ".join(f"{sentence}." for _, sentence in _sentences(face))


def reasoned_description(face: Face) -> str:
    """Say the same with each unit's code, what the units mean together, and the answer.

    Returns:
        ``<think>The inner brows are raised (AU1). ... The brows and lips together suggest sadness.</think>``
        followed by ``<answer>sadness</answer>``. With conflicting cues the closing sentence says which part of the
        face outweighs which.
    """
    return f"<think>{coded_description(face)} {conclusion(face)}</think><answer>{face.emotion}</answer>"


def coded_description(face: Face) -> str:
    """Say what the parts of the face do, each sentence with its code."""
    return " ".join(f"{sentence} ({unit})." if unit else f"{sentence}." for unit, sentence in _sentences(face))


def conclusion(face: Face) -> str:
    """Return the sentence that leads from the units to the emotion."""
    verb = Stream(face.wording, 1).choice(("suggest", "point to"))
    if face.emotion == "neutral":
        return "This alone suggests neutral." if face.intensities else "This suggests neutral."
    if face.foreign:
        deciding = _parts(decide(face.action_units)[1])[:1]
        outweighed = [part for part in _parts(face.foreign) if part not in deciding]
        return (
            f"The {_listed(deciding)} outweigh{'s' if _is_one(deciding) else ''} the {_listed(outweighed)} "
            f"and {_agree(verb, deciding)} {face.emotion}."
        )
    parts = _parts(unit for unit in SUPPORT[face.emotion] if unit in face.intensities)
    together = " together" if len(parts) > 1 else ""
    return f"The {_listed(parts)}{together} {_agree(verb, parts)} {face.emotion}."


def _sentences(face: Face) -> list[tuple[str, str]]:
    stream = Stream(face.wording, 0)
    if not face.intensities:
        return [("", stream.choice(AT_REST))]
    return [(unit, stream.choice(wordings)) for unit, wordings in PHRASES.items() if unit in face.intensities]


def _parts(units: Iterable[str]) -> list[str]:
    present = set(units)
    return list(dict.fromkeys(PARTS[unit] for unit in PHRASES if unit in present))


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _is_one(parts: list[str]) -> bool:
    return len(parts) == 1 and parts[0] in _SINGULAR


def _agree(verb: str, parts: list[str]) -> str:
    """Put the verb into the third person when the subject is one part: suggest -> suggests, point to -> points to."""
    if not _is_one(parts):
        return verb
    first, _, rest = verb.partition(" ")
    return f"{first}s {rest}".rstrip()
