"""What a model is shown besides text, after preprocessing: pictures, clips and sounds as tensors, and how a forward takes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

Kind = Literal["image", "video", "audio"]
KINDS: tuple[Kind, ...] = ("image", "video", "audio")


@dataclass(frozen=True)
class Clip:
    """Frames of a clip, evenly spaced.

    Attributes:
        frames: Shape (frames, height, width, 3), uint8.
        seconds: Time that they span, the last one's own time included.
    """

    frames: np.ndarray
    seconds: float


@dataclass(frozen=True)
class Item:
    """One picture, clip or sound as the model takes it.

    Attributes:
        kind: Which of the three.
        values: Patches (patches, features) of a picture or clip; log-mel spectrogram (bins, frames) of a sound.
        grid: Patch grid (time, height, width) of a picture or clip, shape (3,); None for a sound.
        seconds: Time between two steps of a clip's grid; 0 for the others.
    """

    kind: Kind
    values: Tensor
    grid: Tensor | None = None
    seconds: float = 0.0

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Item:
        """The same item with its tensors on `device`."""
        grid = None if self.grid is None else self.grid.to(device, non_blocking=non_blocking)
        return replace(self, values=self.values.to(device, non_blocking=non_blocking), grid=grid)

    def state(self) -> list[Any]:
        """Plain tensors and values, for a checkpoint."""
        return [self.kind, self.values, self.grid, self.seconds]


def forward_arguments(items: Sequence[Item]) -> dict[str, Tensor]:
    """Arguments of a forward that show these items, in the order of their placeholders; empty without items.

    Kinds are apart: `pixel_values, image_grid_thw`, then `pixel_values_videos, video_grid_thw`, then `input_features`
    (bins, frames of all) and `audio_feature_lengths`.
    """
    arguments: dict[str, Tensor] = {}
    for kind, values, sizes in (
        ("image", "pixel_values", "image_grid_thw"),
        ("video", "pixel_values_videos", "video_grid_thw"),
    ):
        own = [item for item in items if item.kind == kind]
        if own:
            arguments[values] = torch.cat([item.values for item in own])
            arguments[sizes] = torch.stack([item.grid for item in own if item.grid is not None])
    sounds = [item.values for item in items if item.kind == "audio"]
    if sounds:
        arguments["input_features"] = torch.cat(sounds, dim=1)
        arguments["audio_feature_lengths"] = torch.tensor([mel.shape[1] for mel in sounds], device=sounds[0].device)
    return arguments


def towers(backbone: Any, kinds: Iterable[str]) -> dict[str, nn.Module]:
    """The towers of a backbone that encode these kinds, by their names."""
    names = {"visual" if kind != "audio" else "audio_tower" for kind in kinds}
    return {name: getattr(backbone, name) for name in sorted(names) if isinstance(getattr(backbone, name, None), nn.Module)}
