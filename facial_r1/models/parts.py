"""The parts of a vision-language model, and which of them learn."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from facial_r1.errors import InputError

_TOWERS = ("visual", "vision_tower", "vision_model")
_PROJECTORS = ("multi_modal_projector", "merger", "deepstack_merger_list")
_LANGUAGE = ("language_model",)


@dataclass(frozen=True)
class Parts:
    """Modules of a model by role, with their names below the model.

    Attributes:
        tower: The vision tower; in Qwen models it contains the projector.
        projector: What maps visual features into the language model.
        language: The language model without its output layer.
    """

    tower: dict[str, nn.Module]
    projector: dict[str, nn.Module]
    language: dict[str, nn.Module]

    def vision_parameters(self) -> list[nn.Parameter]:
        """Give the tower's parameters without those of the projector."""
        theirs = {id(parameter) for parameter in self.projector_parameters()}
        return [p for module in self.tower.values() for p in module.parameters() if id(p) not in theirs]

    def projector_parameters(self) -> list[nn.Parameter]:
        """Give the projector's parameters."""
        return [parameter for module in self.projector.values() for parameter in module.parameters()]


def parts(model: PreTrainedModel) -> Parts:
    """Find the parts of a model.

    Raises:
        InputError: The model has no vision tower or language model under a known name.
    """
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
            "take a checkpoint of Qwen2.5-VL, Qwen3-VL or InternVL3 (hf)"
        )
    return Parts(tower, projector, language)


def freeze(model: PreTrainedModel, *, vision: bool, projector: bool) -> None:
    """Stop the vision tower (without its projector) or the projector from learning."""
    if not vision and not projector:
        return
    found = parts(model)
    chosen = [*(found.vision_parameters() if vision else []), *(found.projector_parameters() if projector else [])]
    for parameter in chosen:
        parameter.requires_grad_(False)
