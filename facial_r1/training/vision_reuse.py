"""A tower runs once per distinct picture, clip or sound and pass, and once per step while it is frozen.

The model's own `get_image_features`, `get_video_features` and `get_audio_features` are wrapped: a forward that carries a
`VisionPlan` gets the features of the distinct things, encoded together, repeated in the order in which the placeholders occur.
Repeating is indexing, so a frozen tower gives the same bits; a trained one sums the same gradients in another order. The
features of a frozen tower are constants of the step, so those that the prefill of the generation encoded also serve the old,
reference and training passes. Everything happens inside the wrapped model's ordinary `forward`, which DDP, ZeRO and PEFT rely on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from facial_r1.models.media import KINDS, Item, Kind, forward_arguments

#: Model classes whose `get_<kind>_features(values, sizes)` return one tensor per picture, clip or sound in `pooler_output`,
#: and whose extra `deepstack_features`, if any, are ordered like the placeholders.
SUPPORTED_MODELS = ("Qwen2_5_VLModel", "Qwen3VLModel", "Backbone")


@dataclass
class Encoded:
    """Features of one item: `embeddings` (tokens, hidden) and one (tokens, hidden) tensor per deepstack layer."""

    embeddings: Tensor
    deepstack: tuple[Tensor, ...] = ()


@dataclass
class MediaStore:
    """The distinct pictures, clips and sounds of a generation batch and, for frozen towers, their features.

    Attributes:
        items: The tensors of each.
        encoded: Features by (weights, item); only items of kinds whose plan says `keep` enter.
    """

    items: list[Item] = field(default_factory=list)
    encoded: dict[tuple[str, int], Encoded] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """Plain tensors and containers, for a checkpoint."""
        return {
            "items": [item.state() for item in self.items],
            "encoded": [
                [tower, index, found.embeddings, list(found.deepstack)] for (tower, index), found in self.encoded.items()
            ],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> MediaStore:
        """Inverse of `state`."""
        encoded = {(tower, index): Encoded(embeddings, tuple(deep)) for tower, index, embeddings, deep in state["encoded"]}
        return cls([Item(*values) for values in state["items"]], encoded)


@dataclass(frozen=True)
class VisionPlan:
    """What the placeholders of one forward show.

    Attributes:
        store: The distinct items.
        order: Item index of every occurrence, in the order of the placeholders in the batch.
        tower: Which weights encode: two models with equal frozen towers may share a name.
        keep: Kinds whose features stay valid after this pass, i.e. no weight of their tower can change.
    """

    store: MediaStore
    order: tuple[int, ...]
    tower: str = "policy"
    keep: frozenset[str] = frozenset()

    def forward_arguments(self) -> dict[str, Any]:
        """Arguments that hand this plan to the model's forward; empty when there is nothing to show.

        The forward only tests the values for None and reads the sizes; the wrappers read the values from the store.
        """
        if not self.order:
            return {}
        shown = [self.store.items[index] for index in self.order]
        firsts = [next(item for item in shown if item.kind == kind) for kind in KINDS if any(item.kind == kind for item in shown)]
        arguments: dict[str, Any] = dict(forward_arguments(firsts))
        for kind, name in (("image", "image_grid_thw"), ("video", "video_grid_thw")):
            if name in arguments:
                arguments[name] = torch.stack([item.grid for item in shown if item.kind == kind and item.grid is not None])
        return {**arguments, "vision_plan": self}


def supports(backbone: object) -> bool:
    """Whether the features of this model's pictures, clips and sounds can be shared."""
    return type(backbone).__name__ in SUPPORTED_MODELS


def install(backbone: Any) -> None:
    """Let the feature methods of `backbone` follow a `VisionPlan`; without one they do what they did before."""
    for kind in KINDS:
        original = getattr(backbone, f"get_{kind}_features", None)
        if original is not None and not getattr(original, "follows_vision_plan", False):
            setattr(backbone, f"get_{kind}_features", _following(original, kind))


def _following(original: Callable[..., Any], kind: Kind) -> Callable[..., Any]:
    def features(values: Tensor, sizes: Tensor | None = None, vision_plan: VisionPlan | None = None, **kwargs: Any) -> Any:
        if vision_plan is None:
            return original(values, sizes, **kwargs)
        return planned_features(original, vision_plan, kwargs, kind)

    features.follows_vision_plan = True  # type: ignore[attr-defined]
    return features


@dataclass
class PlannedFeatures:
    """What the forward of a model reads from the output of a feature method."""

    pooler_output: list[Tensor]
    deepstack_features: list[Tensor]


def planned_features(
    encode: Callable[..., Any], plan: VisionPlan, kwargs: dict[str, Any], kind: Kind = "image"
) -> PlannedFeatures:
    """Encode the distinct items of a kind that have no kept features, and repeat all in the plan's order."""
    store = plan.store
    order = [index for index in plan.order if store.items[index].kind == kind]
    distinct = sorted(set(order))
    keep = kind in plan.keep
    kept = store.encoded if keep else {}
    found = {index: kept[plan.tower, index] for index in distinct if (plan.tower, index) in kept}
    missing = [index for index in distinct if index not in found]
    if missing:
        values, sizes = forward_arguments([store.items[index] for index in missing]).values()
        output = encode(values, sizes, **kwargs)
        lengths = [embeddings.shape[0] for embeddings in output.pooler_output]
        stacks = [features.split(lengths) for features in getattr(output, "deepstack_features", None) or []]
        for place, index in enumerate(missing):
            one = Encoded(output.pooler_output[place], tuple(stack[place] for stack in stacks))
            found[index] = one
            if keep:
                store.encoded[plan.tower, index] = one
    repeated = [found[index] for index in order]
    depth = len(repeated[0].deepstack)
    return PlannedFeatures(
        pooler_output=[one.embeddings for one in repeated],
        deepstack_features=[torch.cat([one.deepstack[level] for one in repeated]) for level in range(depth)],
    )


def frozen(tower: nn.Module) -> bool:
    """Whether no parameter of the tower is trained, adapters included."""
    return not any(parameter.requires_grad for parameter in tower.parameters())


def equal_weights(first: nn.Module, second: nn.Module) -> bool:
    """Whether two towers hold the same numbers."""
    left, right = first.state_dict(), second.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
