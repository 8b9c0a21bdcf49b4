"""What the training passes of a generation batch need to know about its prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from facial_r1.generation.prompt_batch import PromptBatch
from facial_r1.models.media import Item
from facial_r1.models.positions import rotary_positions, rule_of
from facial_r1.training.vision_reuse import MediaStore


@dataclass
class Rollout:
    """The distinct prompts, pictures, clips and sounds of a generation batch.

    Attributes:
        ids: Token ids of each prompt.
        shown: For each prompt what it shows, as indices into `store`; see `PromptBatch`.
        store: The distinct items.
        positions: Rotary positions by prompt, computed when first asked for.
    """

    ids: list[Tensor]
    shown: list[tuple[int, ...]]
    store: MediaStore
    positions: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def from_prompts(cls, prompts: PromptBatch, device: torch.device) -> Rollout:
        """Move encoded prompts to the device that trains."""
        prompts = prompts.to(device)
        ids = [torch.tensor(ids, device=device) for ids in prompts.ids]
        return cls(ids, list(prompts.shown), MediaStore(list(prompts.items)))

    def prompts(self) -> PromptBatch:
        """The prompts as generation takes them."""
        return PromptBatch([ids.tolist() for ids in self.ids], self.shown, tuple(self.store.items))

    def prompt_positions(self, backbone: Any, prompt: int) -> Tensor:
        """Rotary positions of a prompt, shape (3, P)."""
        if prompt not in self.positions:
            items = self.items(self.shown[prompt])
            self.positions[prompt] = rotary_positions(rule_of(backbone.config), self.ids[prompt], items)
        return self.positions[prompt]

    def shows(self, prompts: list[int]) -> tuple[int, ...]:
        """What these prompts show, one after the other, as indices into the store."""
        return tuple(index for prompt in prompts for index in self.shown[prompt])

    def items(self, indices: tuple[int, ...]) -> list[Item]:
        """The items of these indices."""
        return [self.store.items[index] for index in indices]

    def kinds(self, prompts: list[int]) -> set[str]:
        """Which of pictures, clips and sounds these prompts show."""
        return {item.kind for item in self.items(self.shows(prompts))}

    def state(self) -> dict[str, Any]:
        """Plain tensors and containers, for a checkpoint."""
        return {"ids": self.ids, "shown": [list(indices) for indices in self.shown], "store": self.store.state()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Rollout:
        """Inverse of `state`."""
        return cls(state["ids"], [tuple(indices) for indices in state["shown"]], MediaStore.from_state(state["store"]))
