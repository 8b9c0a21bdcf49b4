"""Starting weights of the tiny thinker: the eyes and the language of the tiny vision-language model, and ears that know nothing.

Both towers of Qwen2.5 compute the same; the thinker keeps queries, keys and values in layers of their own. The decoders are
equal but for three tokens more. The projection of the audio tower starts at zero, so that sound says nothing before it is
learned.
"""

from __future__ import annotations

import torch
from torch import Tensor

from facial_r1.models.thinker import Thinker
from facial_r1.models.tiny import build as tiny
from facial_r1.models.tiny_omni import architecture


def taken_over(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of Qwen2.5-VL under the names of the thinker, without embeddings and output layer."""
    taken: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.startswith("model.visual."):
            own = name.removeprefix("model.")
            if ".attn.qkv." in own:
                for part, piece in zip("qkv", value.chunk(3), strict=True):
                    taken[own.replace(".qkv.", f".{part}.")] = piece
            else:
                taken[own] = value
        elif name.startswith("model.language_model.") and ".embed_tokens." not in name:
            taken[name.replace("model.language_model.", "model.", 1)] = value
    return taken


def start(seed: int = 0) -> Thinker:
    """An untrained thinker with what the tiny model has learned, in evaluation mode."""
    model = architecture.random_model(seed)
    source, _ = tiny()
    taken = taken_over(source.state_dict())
    _, unexpected = model.load_state_dict(taken, strict=False)
    assert not unexpected, unexpected
    with torch.no_grad():
        words: Tensor = source.get_input_embeddings().weight  # type: ignore[assignment]
        model.get_input_embeddings().weight[: len(words)] = words
        model.audio_tower.proj.weight.zero_()
        model.audio_tower.proj.bias.zero_()
    return model
