"""Rotary positions of prompts with pictures, clips and sounds: three coordinates (time, height, width) for each token.

The rules of Qwen2-VL (arXiv:2409.12191, section 2.1), Qwen2.5-VL (arXiv:2502.13923, section 2.1.2: time in absolute seconds)
and Qwen2.5-Omni (arXiv:2503.20215, section 2.1: time-aligned positions). Text counts on in all three. A picture's placeholders
lie on its grid; a clip's move along time with its seconds; a sound counts on as text does, and in a clip with its sound both
start at the same position. What comes after goes on one above the last placeholder.

For a clip, transformers 5.17 rounds the seconds of Qwen2.5-VL's grid down to whole ones before they are multiplied (at four
frames a second all steps then lie at the same time; mended upstream in pull request 48669), and lets the text after a clip
start within the clip. Both are done here as the model was trained and as vLLM does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from facial_r1.models.media import Item


@dataclass(frozen=True)
class PositionRule:
    """What positions depend on besides the prompt.

    Attributes:
        image, video, audio: Placeholder tokens; None where the model has none.
        audio_start: Token that opens a sound; None where the model has none.
        merge: Patches of a placeholder along height and width.
        per_second: Positions in a second of a clip.
    """

    image: int
    video: int
    audio: int | None
    audio_start: int | None
    merge: int
    per_second: float


def rule_of(config: Any) -> PositionRule:
    """The rule of a model, from its configuration (of the backbone or of the whole)."""
    vision = config.vision_config
    per_second = getattr(config, "position_id_per_seconds", None) or getattr(vision, "tokens_per_second", None) or 1
    return PositionRule(
        image=config.image_token_id,
        video=config.video_token_id,
        audio=getattr(config, "audio_token_id", None),
        audio_start=getattr(config, "audio_start_token_id", None),
        merge=vision.spatial_merge_size,
        per_second=per_second,
    )


def rotary_positions(rule: PositionRule, ids: Tensor, items: Sequence[Item] = ()) -> Tensor:
    """Positions of one unpadded prompt.

    Args:
        rule: The model's.
        ids: Token ids, shape (P,).
        items: What the prompt shows, in the order of the placeholders; the sound of a clip comes right after the clip.

    Returns:
        Positions along time, height and width, shape (3, P), on the device of `ids`.
    """
    device = ids.device
    if not items:
        return torch.arange(len(ids), device=device).expand(3, -1)
    tokens: Any = ids.cpu()
    pieces: list[Tensor] = []
    place = position = 0

    def text(stop: int) -> None:
        nonlocal place, position
        pieces.append((torch.arange(stop - place) + position).expand(3, -1))
        position += stop - place
        place = stop

    left = list(items)
    while left:
        item = left.pop(0)
        token = {"image": rule.image, "video": rule.video, "audio": rule.audio}[item.kind]
        start = place + int((tokens[place:] == token).nonzero()[0])
        if item.kind == "audio":  # counts on as text
            text(start + sound_tokens(item))
            continue
        sound = left.pop(0) if _carries_sound(rule, tokens, start, left) else None
        if sound is not None:  # the two marks before share a position, and so do the two after
            text(start - 2)
            pieces.append(torch.full((3, 2), position))
            position += 1
        else:
            text(start)
        run = tokens[start : start + visual_tokens(item, rule.merge) + (0 if sound is None else sound_tokens(sound))]
        where = torch.zeros((3, len(run)), dtype=torch.long)
        where[:, run == token] = _grid(item, rule)
        if sound is not None:
            where[:, run == rule.audio] = torch.arange(sound_tokens(sound))
        pieces.append(where + position)
        position += int(where[:, -1].max()) + 1
        place = start + len(run)
        if sound is not None:
            pieces.append(torch.full((3, 2), position))
            position += 1
            place += 2
    text(len(tokens))
    return torch.cat(pieces, dim=1).to(device)


def visual_tokens(item: Item, merge: int) -> int:
    """Placeholders of a picture or clip."""
    assert item.grid is not None
    return int(item.grid.prod()) // merge**2


def sound_tokens(item: Item) -> int:
    """Placeholders of a sound: a convolution of stride two and a pooling of pairs."""
    return ((item.values.shape[1] - 1) // 2 + 1 - 2) // 2 + 1


def _carries_sound(rule: PositionRule, tokens: Tensor, start: int, left: list[Item]) -> bool:
    opens = rule.audio_start is not None and start > 1 and int(tokens[start - 1]) == rule.audio_start
    return opens and bool(left) and left[0].kind == "audio"


def _grid(item: Item, rule: PositionRule) -> Tensor:
    """Coordinates of the placeholders of a picture or clip, from 0: shape (3, tokens)."""
    assert item.grid is not None
    steps, height, width = item.grid.tolist()
    times = torch.arange(steps)
    if item.kind == "video":
        times = (times * torch.tensor(item.seconds, dtype=torch.float32) * rule.per_second).long()
    axes = (times, torch.arange(height // rule.merge), torch.arange(width // rule.merge))
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(3, -1)
