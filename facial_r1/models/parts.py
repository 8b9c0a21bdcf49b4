"""The parts of a model that sees, and may hear, and which of them learn."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn
from transformers import PreTrainedModel, Qwen2_5OmniThinkerForConditionalGeneration

from facial_r1.errors import InputError

_TOWERS = ("visual", "vision_tower", "vision_model")
_PROJECTORS = ("multi_modal_projector", "merger", "deepstack_merger_list")
_LANGUAGE = ("language_model",)


@dataclass(frozen=True)
class Parts:
    """Modules of a model by role, with their names below the model.

    Attributes:
        tower: The vision tower; in Qwen models it contains the projector.
        projector: What maps visual features, and those of sound, into the language model.
        language: The language model without its output layer.
        hearing: The audio tower, with its projection; empty in models that do not hear.
    """

    tower: dict[str, nn.Module]
    projector: dict[str, nn.Module]
    language: dict[str, nn.Module]
    hearing: dict[str, nn.Module] = field(default_factory=dict)

    def vision_parameters(self) -> list[nn.Parameter]:
        """Give the tower's parameters without those of the projector."""
        return self._without_projector(self.tower)

    def audio_parameters(self) -> list[nn.Parameter]:
        """Give the audio tower's parameters without those of its projection."""
        return self._without_projector(self.hearing)

    def _without_projector(self, modules: dict[str, nn.Module]) -> list[nn.Parameter]:
        theirs = {id(parameter) for parameter in self.projector_parameters()}
        return [p for module in modules.values() for p in module.parameters() if id(p) not in theirs]

    def projector_parameters(self) -> list[nn.Parameter]:
        """Give the projector's parameters."""
        return [parameter for module in self.projector.values() for parameter in module.parameters()]


def parts(model: PreTrainedModel) -> Parts:
    """Find the parts of a model.

    Raises:
        InputError: The model has no vision tower or language model under a known name.
    """
    if isinstance(model, Qwen2_5OmniThinkerForConditionalGeneration):
        return _of_thinker(model)
    body = model.model if isinstance(getattr(model, "model", None), nn.Module) else model
    prefix = "model." if body is not model else ""

    def named(names: tuple[str, ...], parent: nn.Module, path: str) -> dict[str, nn.Module]:
        found = {path + name: getattr(parent, name, None) for name in names}
        return {name: module for name, module in found.items() if isinstance(module, nn.Module)}

    tower = named(_TOWERS, body, prefix)
    language = named(_LANGUAGE, body, prefix)
    projector = named(_PROJECTORS, body, prefix)
    for path, module in tower.items():
        projector |= named(_PROJECTORS, module, f"{path}.")
    if not tower or not language:
        raise InputError(
            f"model.source: {type(model).__name__} has no part named {' or '.join(_TOWERS if not tower else _LANGUAGE)}; "
            "take a checkpoint of Qwen2.5-VL, Qwen2.5-Omni, Qwen3-VL or InternVL3 (hf)"
        )
    return Parts(tower, projector, language)


def _of_thinker(model: Qwen2_5OmniThinkerForConditionalGeneration) -> Parts:
    """Qwen2.5-Omni's thinker keeps its towers beside its decoder, which is named `model`."""
    towers: dict[str, nn.Module] = {"visual": model.visual}
    hearing: dict[str, nn.Module] = {"audio_tower": model.audio_tower}
    projector: dict[str, nn.Module] = {"visual.merger": model.visual.merger, "audio_tower.proj": model.audio_tower.proj}
    return Parts(towers, projector, {"model": model.model}, hearing)


def freeze(model: PreTrainedModel, *, vision: bool, projector: bool, audio: bool = False) -> None:
    """Stop the vision tower, the audio tower (both without their projectors) or the projectors from learning."""
    if not vision and not projector and not audio:
        return
    found = parts(model)
    chosen = [
        *(found.vision_parameters() if vision else []),
        *(found.audio_parameters() if audio else []),
        *(found.projector_parameters() if projector else []),
    ]
    for parameter in chosen:
        parameter.requires_grad_(False)
