"""What the training passes of a generation batch need to know about its prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from facial_r1.generation.prompt_batch import PromptBatch, rotary_positions
from facial_r1.training.vision_reuse import ImageStore


@dataclass
class Rollout:
    """The distinct prompts and images of a generation batch.

    Attributes:
        ids: Token ids of each prompt.
        image_index: For each prompt the images it shows, as indices into `store`.
        store: The distinct images.
        positions: Rotary positions by prompt, computed when first asked for.
    """

    ids: list[Tensor]
    image_index: list[tuple[int, ...]]
    store: ImageStore
    positions: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def from_prompts(cls, prompts: PromptBatch, device: torch.device) -> Rollout:
        """Move encoded prompts to the device that trains."""
        prompts = prompts.to(device)
        return cls(
            [torch.tensor(ids, device=device) for ids in prompts.ids],
            list(prompts.image_index),
            ImageStore(prompts.patches(), prompts.image_grid_thw),
        )

    def prompts(self) -> PromptBatch:
        """The prompts as generation takes them."""
        pixels = torch.cat(self.store.patches) if self.store.patches else None
        return PromptBatch([ids.tolist() for ids in self.ids], self.image_index, pixels, self.store.grids)

    def prompt_positions(self, backbone: Any, prompt: int) -> Tensor:
        """Rotary positions of a prompt, shape (3, P)."""
        if prompt not in self.positions:
            images = list(self.image_index[prompt])
            grids = self.store.grids[images] if images and self.store.grids is not None else None
            self.positions[prompt] = rotary_positions(backbone, self.ids[prompt], grids)
        return self.positions[prompt]

    def images(self, prompts: list[int]) -> tuple[int, ...]:
        """Images that these prompts show, one after the other."""
        return tuple(image for prompt in prompts for image in self.image_index[prompt])

    def state(self) -> dict[str, Any]:
        """Plain tensors and containers, for a checkpoint."""
        return {
            "ids": self.ids,
            "image_index": [list(images) for images in self.image_index],
            "store": self.store.state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Rollout:
        """Inverse of `state`."""
        return cls(
            state["ids"],
            [tuple(images) for images in state["image_index"]],
            ImageStore.from_state(state["store"]),
        )
