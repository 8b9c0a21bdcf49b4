"""The vision tower runs once per distinct image and pass, and once per step while it is frozen.

The model's own `get_image_features` is wrapped: a forward that carries a `VisionPlan` gets the features of the distinct
images, encoded together, repeated in the order in which the placeholders occur. Repeating is indexing, so a frozen tower
gives the same bits; a trained one sums the same gradients in another order. The features of a frozen tower are
constants of the step, so those that the prefill of the generation encoded also serve the old, reference and training
passes. Everything happens inside the wrapped model's ordinary `forward`, which DDP, ZeRO and PEFT rely on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

#: Model classes whose `get_image_features(pixel_values, image_grid_thw)` returns one tensor per image in
#: `pooler_output`, and whose extra `deepstack_features`, if any, are ordered like the placeholders.
SUPPORTED_MODELS = ("Qwen2_5_VLModel", "Qwen3VLModel")


@dataclass
class EncodedImage:
    """Features of one image: `embeddings` (tokens, hidden) and one (tokens, hidden) tensor per deepstack layer."""

    embeddings: Tensor
    deepstack: tuple[Tensor, ...] = ()


@dataclass
class ImageStore:
    """Pixels of the distinct images of a generation batch and, for frozen towers, their features.

    Attributes:
        patches: One tensor (patches, features) per image.
        grids: Patch grid of each image, shape (images, 3).
        encoded: Features by (tower, image); only towers whose plan says `keep` enter.
    """

    patches: list[Tensor]
    grids: Tensor | None
    encoded: dict[tuple[str, int], EncodedImage] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """Plain tensors and containers, for a checkpoint."""
        return {
            "patches": self.patches,
            "grids": self.grids,
            "encoded": [
                [tower, index, image.embeddings, list(image.deepstack)] for (tower, index), image in self.encoded.items()
            ],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> ImageStore:
        """Inverse of `state`."""
        encoded = {
            (tower, index): EncodedImage(embeddings, tuple(deepstack)) for tower, index, embeddings, deepstack in state["encoded"]
        }
        return cls(state["patches"], state["grids"], encoded)


@dataclass(frozen=True)
class VisionPlan:
    """Which images the placeholders of one forward show.

    Attributes:
        store: The distinct images.
        order: Image index of every occurrence, in the order of the placeholders in the batch.
        tower: Which weights encode: two models with equal frozen towers may share a name.
        keep: Whether features stay valid after this pass, i.e. no weight of the tower can change.
    """

    store: ImageStore
    order: tuple[int, ...]
    tower: str = "policy"
    keep: bool = False

    def forward_arguments(self) -> dict[str, Any]:
        """Arguments that hand this plan to the model's forward; empty when there is nothing to look at."""
        if not self.order or self.store.grids is None:
            return {}
        return {
            # The forward only tests `pixel_values` for None; the wrapper reads the pixels from the store.
            "pixel_values": self.store.patches[self.order[0]],
            "image_grid_thw": self.store.grids[list(self.order)],
            "vision_plan": self,
        }


def supports(backbone: object) -> bool:
    """Whether the features of this model's images can be shared."""
    return type(backbone).__name__ in SUPPORTED_MODELS


def install(backbone: Any) -> None:
    """Let `backbone.get_image_features` follow a `VisionPlan`; without one it does what it did before."""
    original = backbone.get_image_features
    if getattr(original, "follows_vision_plan", False):
        return

    def get_image_features(
        pixel_values: Tensor,
        image_grid_thw: Tensor | None = None,
        vision_plan: VisionPlan | None = None,
        **kwargs: Any,
    ) -> Any:
        if vision_plan is None:
            return original(pixel_values, image_grid_thw, **kwargs)
        return planned_features(original, vision_plan, kwargs)

    get_image_features.follows_vision_plan = True  # type: ignore[attr-defined]
    backbone.get_image_features = get_image_features


@dataclass
class PlannedFeatures:
    """What the forward of a Qwen-VL model reads from the output of `get_image_features`."""

    pooler_output: list[Tensor]
    deepstack_features: list[Tensor]


def planned_features(encode: Callable[..., Any], plan: VisionPlan, kwargs: dict[str, Any]) -> PlannedFeatures:
    """Encode the distinct images of a plan that have no kept features, and repeat all in the plan's order."""
    store = plan.store
    distinct = sorted(set(plan.order))
    kept = store.encoded if plan.keep else {}
    found = {index: kept[plan.tower, index] for index in distinct if (plan.tower, index) in kept}
    missing = [index for index in distinct if index not in found]
    if missing:
        assert store.grids is not None
        output = encode(torch.cat([store.patches[index] for index in missing]), store.grids[missing], **kwargs)
        sizes = [embeddings.shape[0] for embeddings in output.pooler_output]
        stacks = [features.split(sizes) for features in getattr(output, "deepstack_features", None) or []]
        for place, index in enumerate(missing):
            image = EncodedImage(output.pooler_output[place], tuple(stack[place] for stack in stacks))
            found[index] = image
            if plan.keep:
                store.encoded[plan.tower, index] = image
    images = [found[index] for index in plan.order]
    depth = len(images[0].deepstack)
    return PlannedFeatures(
        pooler_output=[image.embeddings for image in images],
        deepstack_features=[torch.cat([image.deepstack[level] for image in images]) for level in range(depth)],
    )


def frozen(tower: nn.Module) -> bool:
    """Whether no parameter of the tower is trained, adapters included."""
    return not any(parameter.requires_grad for parameter in tower.parameters())


def equal_weights(first: nn.Module, second: nn.Module) -> bool:
    """Whether two towers hold the same numbers."""
    left, right = first.state_dict(), second.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
