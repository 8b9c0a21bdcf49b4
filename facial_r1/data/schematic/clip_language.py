"""What is said of a drawn clip: face, voice and words, one after the other, and which of them decides."""

from __future__ import annotations

from facial_r1.data.schematic.clip_words import KINDS
from facial_r1.data.schematic.clips import ClipSpec
from facial_r1.data.schematic.language import coded_description
from facial_r1.data.schematic.stream import Stream
from facial_r1.data.schematic.voice import SOUNDS

MODALITIES = ("face", "voice", "words")


def clip_description(spec: ClipSpec) -> str:
    """``<think>The brows are pulled down and together (AU4). ... The voice is loud, sharp and fast. The words are a reproach. Face, voice
    and words together point to anger.</think><answer>anger</answer>``
    """
    stream = Stream(spec.wording, 0xC0)
    sound = stream.choice(SOUNDS[spec.shows("voice")])
    words = stream.choice(KINDS[spec.shows("words")])
    return (
        f"<think>{coded_description(spec.face)} {sound}. {words}. {clip_conclusion(spec)}</think><answer>{spec.emotion}</answer>"
    )


def clip_conclusion(spec: ClipSpec) -> str:
    """The sentence that leads from face, voice and words to the emotion."""
    verb = Stream(spec.wording, 0xC1).choice(("suggest", "point to"))
    if spec.emotion == "neutral":
        return f"None of the three stands out; they {verb} neutral."
    if spec.carrier == "all":
        return f"Face, voice and words together {verb} {spec.emotion}."
    if spec.carrier == "words":
        return f"Only the words stand out and {verb} {spec.emotion}."
    first, _, rest = verb.partition(" ")
    return f"Only the {spec.carrier} stands out and {f'{first}s {rest}'.rstrip()} {spec.emotion}."
