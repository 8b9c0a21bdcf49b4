"""How well the tiny thinker describes drawn clips of persons it was never trained on, with all and with a part of what they show."""

from __future__ import annotations

from typing import Any

import numpy as np

from facial_r1.config.schema import Sampling
from facial_r1.data.schematic.language import PHRASES, neutral_description
from facial_r1.generation.engine import Request
from facial_r1.generation.transformers_engine import TransformersEngine
from facial_r1.models.media import Clip
from facial_r1.models.tiny.faces import sentence_bits
from facial_r1.models.tiny.scoring import f1_by_sentence
from facial_r1.models.tiny_omni import clips

SUBSETS = {"all": (True, True, True), "video": (True, False, False), "audio": (False, True, False), "words": (False, False, True)}
"""What is seen, heard and read."""


class HeldOut:
    """Opens the held-out clips by their numbers."""

    def __init__(self, count: int) -> None:
        self.drawn = [clips.drawn(index, held_out=True) for index in range(count)]

    def __call__(self, name: str) -> Any:
        """No pictures here."""
        raise KeyError(name)

    def clip(self, name: str) -> Clip:
        """Frames of a clip."""
        return Clip(self.drawn[int(name)].frames, clips.SECONDS)

    def sound(self, name: str) -> np.ndarray:
        """Its sound."""
        return self.drawn[int(name)].sound


def evaluate(model: Any, processor: Any, count: int) -> tuple[dict[str, float], list[str]]:
    """Score greedy descriptions of held-out clips.

    Returns:
        For each subset of `SUBSETS` the mean F1 of the sentences about the face (``face_<subset>``), and the accuracy of those about
        voice and words (``voice_<subset>``, ``words_<subset>``), where they are shown; and the descriptions with everything shown.
    """
    held_out = HeldOut(count)
    engine = TransformersEngine(model, processor, held_out, batch_size=32)
    scores: dict[str, float] = {}
    examples: list[str] = []
    for name, (seen, heard, read) in SUBSETS.items():
        requests = [_request(index, one, seen, heard, read) for index, one in enumerate(held_out.drawn)]
        texts = [one.text for one in engine.generate(requests, Sampling(max_new_tokens=80), 0)]
        examples = examples or texts
        if seen:
            truth = np.stack([sentence_bits(neutral_description(one.spec.face)) for one in held_out.drawn])
            found = f1_by_sentence(truth, np.stack([sentence_bits(text) for text in texts]))
            scores[f"face_{name}"] = round(float(found.mean()), 3)
            assert len(found) == len(PHRASES)
        named = [clips.said(text) for text in texts]
        for place, (kind, wanted) in enumerate((("voice", heard), ("words", read))):
            if wanted:
                hits = [pair[place] == one.spec.shows(kind) for pair, one in zip(named, held_out.drawn, strict=True)]
                scores[f"{kind}_{name}"] = round(float(np.mean(hits)), 3)
    return scores, examples


def _request(index: int, one: clips.Drawn, seen: bool, heard: bool, read: bool) -> Request:
    content: list[dict[str, Any]] = [{"type": "video", "sound": True} if heard else {"type": "video"}] if seen else []
    if heard and not seen:
        content = [{"type": "audio"}]
    words = f'The person says: "{one.spec.sentence}"\n' if read else ""
    messages = [{"role": "user", "content": [*content, {"type": "text", "text": words + clips.QUESTIONS[0]}]}]
    return Request(str(index), messages, (), videos=(str(index),) * seen, audios=(str(index),) * heard)
