"""The embedded tiny model that hears: a real Qwen2.5-Omni thinker of under six million parameters.

Callable like `facial_r1.models.tiny`: ``facial_r1.models.tiny_omni(seed=0)`` gives a model and its processor. Nothing here
imports torch until the call.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import Qwen2_5OmniProcessor

    from facial_r1.models.thinker import Thinker

WEIGHTS = Path(__file__).parent / "weights"
"""The shipped folder, in the layout of ``save_pretrained``."""

SOURCE = "embedded:tiny_omni"
"""The value of ``model.source`` that stands for the shipped folder."""


def build(seed: int = 0, *, random: bool = False) -> tuple[Thinker, Qwen2_5OmniProcessor]:
    """Give the model in evaluation mode and its processor, both freshly made.

    Args:
        seed: Seeds the initial weights when ``random`` is set; the shipped weights do not depend on it.
        random: Take untrained weights instead of the shipped ones.

    Returns:
        The model (float32, on the CPU) and its processor (left padding).
    """
    from facial_r1.models.tiny_omni import architecture

    if random:
        return architecture.random_model(seed), architecture.processor()
    return architecture.shipped(WEIGHTS)


class _CallablePackage(ModuleType):
    """A module whose call is `build`."""

    def __call__(self, seed: int = 0, *, random: bool = False) -> tuple[Thinker, Qwen2_5OmniProcessor]:
        return build(seed, random=random)


sys.modules[__name__].__class__ = _CallablePackage
