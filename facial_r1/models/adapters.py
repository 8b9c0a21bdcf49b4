"""Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): which layers take them, and how they end up in a full model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from facial_r1.config.schema import Lora
from facial_r1.models.parts import parts


def target_layers(model: PreTrainedModel, targets: str) -> list[str]:
    """Name the linear layers that take adapters: those of the language model, or ``all``, also of towers and projectors.

    The output layer never does; it is tied to the embeddings in small models and refused by TRL's fused head.
    """
    found = parts(model)
    chosen = dict(found.language)
    if targets == "all":
        chosen |= {**found.tower, **found.hearing, **found.projector}
    names = {
        f"{path}.{name}"
        for path, module in chosen.items()
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
    }
    return sorted(names)


def attach(model: PreTrainedModel, lora: Lora) -> PeftModel:
    """Freeze the model and give its target layers fresh adapters, which start without effect."""
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=target_layers(model, lora.targets),
        bias="none",
    )
    return get_peft_model(model, config)


def merged_state(model: PeftModel, state: Mapping[str, Tensor] | None = None, adapter: str = "default") -> dict[str, Tensor]:
    """Give the weights of the full model with the adapter added in: ``W + (alpha / rank) B A``.

    The adapted model itself is left as it is, so that training can go on.

    Args:
        model: The adapted model.
        state: Its state dict where that has to be gathered first (ZeRO-3); by default the model's own.
        adapter: Name of the adapter.

    Returns:
        Tensors under the names of the model before `attach`.
    """
    state = model.state_dict() if state is None else state
    config = model.peft_config[adapter]
    assert isinstance(config, LoraConfig), "attach makes no other kind"
    scale = config.lora_alpha / config.r
    outer = "base_model.model."
    merged: dict[str, Tensor] = {}
    for name, value in state.items():
        if ".lora_" in name:
            continue
        bare = name.removeprefix(outer)
        if bare.endswith(".base_layer.weight"):
            path = name.removesuffix(".base_layer.weight")
            down, up = state[f"{path}.lora_A.{adapter}.weight"], state[f"{path}.lora_B.{adapter}.weight"]
            with torch.no_grad():
                value = (value.float() + scale * (up.float() @ down.float())).to(value.dtype)
        merged[bare.replace(".base_layer.", ".")] = value.detach()
    return merged
