"""Chat prompts with images, tokenised once: every distinct image is decoded and preprocessed a single time.

A processor called on a list of conversations prepares an image again for each conversation that shows it, and a group
of G completions shows it G times. Here the distinct images of a batch are decoded and preprocessed once, and prompts
refer to them by index. Token ids and pixels are those that `processor.apply_chat_template(..., tokenize=True)` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from trl.data_utils import prepare_multimodal_messages

from facial_r1.errors import InputError

ImageLoader = Callable[[str], Image.Image]
Messages = list[dict[str, Any]]

#: Processors whose image placeholder is one token repeated `grid.prod() / merge_size**2` times.
SUPPORTED_PROCESSORS = ("Qwen2_5_VLProcessor", "Qwen3VLProcessor")


@dataclass(frozen=True)
class PromptBatch:
    """Prompts of a batch and the distinct images that they show.

    Attributes:
        ids: Token ids of each prompt, image placeholders expanded, no padding.
        image_index: For each prompt, the images it shows, in order, as indices into the distinct images.
        pixel_values: Patches of the distinct images one after the other, shape (patches, channels * patch volume).
        image_grid_thw: Patch grid (time, height, width) of each distinct image, shape (images, 3).
        pictures: The distinct images themselves, where they were asked for.
    """

    ids: list[list[int]]
    image_index: list[tuple[int, ...]]
    pixel_values: Tensor | None = None
    image_grid_thw: Tensor | None = None
    pictures: tuple[Image.Image, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> PromptBatch:
        """The same batch with its tensors on `device` (the name accelerate's data loader looks for)."""
        if self.pixel_values is None or self.image_grid_thw is None:
            return self
        return replace(
            self,
            pixel_values=self.pixel_values.to(device, non_blocking=non_blocking),
            image_grid_thw=self.image_grid_thw.to(device, non_blocking=non_blocking),
        )

    def patches(self) -> list[Tensor]:
        """`pixel_values` cut into one tensor (patches, features) per distinct image."""
        if self.pixel_values is None or self.image_grid_thw is None:
            return []
        return list(self.pixel_values.split(self.image_grid_thw.prod(-1).tolist()))


def supported(processor: object) -> bool:
    """Whether `encode_prompts` knows how this processor expands image placeholders."""
    return type(processor).__name__ in SUPPORTED_PROCESSORS


def without_empty_fields(messages: Messages) -> Messages:
    """Messages whose content parts have lost the keys that Arrow filled with None.

    A column of dictionaries with different keys is stored as one struct, so a text part comes back with
    `image: None`, which a chat template would take for an image.
    """
    cleaned = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            content = [{key: value for key, value in part.items() if value is not None} for part in content]
        cleaned.append({key: value for key, value in message.items() if value is not None} | {"content": content})
    return cleaned


def encode_prompts(
    processor: Any,
    conversations: Sequence[Messages],
    images: Sequence[Sequence[str | Image.Image] | None] | None = None,
    image_loader: ImageLoader | None = None,
    template_kwargs: dict[str, Any] | None = None,
    keep_pictures: bool = False,
) -> PromptBatch:
    """Tokenise conversations up to the assistant's turn and preprocess their distinct images once.

    Args:
        processor: A processor for which `supported` is true.
        conversations: Chat messages; an image part without payload takes the next item of the row's `images`, and a
            string as content gets its images placed before the text.
        images: For each conversation its images, decoded or as paths; None where it has none.
        image_loader: Turns a path into an image; needed when a path occurs. A path is loaded once per call.
        template_kwargs: Passed on to the chat template.
        keep_pictures: Keep the images beside their pixels, for an engine that prepares them itself.

    Returns:
        The prompts in the given order.

    Raises:
        InputError: A path occurs but no loader was given, or the number of images and placeholders differ.
    """
    seen: dict[Hashable, int] = {}
    distinct: list[Image.Image] = []
    image_index: list[tuple[int, ...]] = []
    texts: list[str] = []
    for row, conversation in enumerate(conversations):
        row_images = list(images[row] or []) if images is not None else []
        messages = _with_payloads(conversation, row_images, row)
        payloads = [
            part["image"]
            for message in messages
            if isinstance(message["content"], list)
            for part in message["content"]
            if part["type"] == "image"
        ]
        indices = []
        for payload in payloads:
            key: Hashable = payload if isinstance(payload, str) else id(payload)
            if key not in seen:
                seen[key] = len(distinct)
                distinct.append(_decoded(payload, image_loader))
            indices.append(seen[key])
        image_index.append(tuple(indices))
        texts.append(
            processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, **(template_kwargs or {}))
        )

    if not distinct:
        return PromptBatch(processor.tokenizer(texts, add_special_tokens=False)["input_ids"], image_index)
    prepared = processor.image_processor(images=distinct, return_tensors="pt")
    grids = prepared["image_grid_thw"]
    counts = (grids.prod(-1) // processor.image_processor.merge_size**2).tolist()
    expanded = [
        _expand(text, processor.image_token, [counts[index] for index in indices])
        for text, indices in zip(texts, image_index, strict=True)
    ]
    ids = processor.tokenizer(expanded, add_special_tokens=False)["input_ids"]
    return PromptBatch(ids, image_index, prepared["pixel_values"], grids, tuple(distinct) if keep_pictures else ())


def _with_payloads(conversation: Messages, images: list[str | Image.Image], row: int) -> Messages:
    try:
        return prepare_multimodal_messages(without_empty_fields(conversation), images=images)
    except ValueError as error:
        raise InputError(f"prompt {row} of the batch: {error} Give one image part per image of the row.") from error


def _decoded(payload: str | Image.Image, image_loader: ImageLoader | None) -> Image.Image:
    if not isinstance(payload, str):
        return payload
    if image_loader is None:
        raise InputError(f"{payload}: the row names a file, but no image_loader was given to decode it")
    return image_loader(payload)


def _expand(text: str, token: str, counts: list[int]) -> str:
    """Repeat the i-th occurrence of the placeholder `token` in `text` counts[i] times."""
    pieces = text.split(token)
    if len(pieces) != len(counts) + 1:
        raise InputError(
            f"the rendered prompt holds {len(pieces) - 1} image placeholders for {len(counts)} images; "
            f"{token} must not be written in the text of a prompt"
        )
    return pieces[0] + "".join(token * count + piece for count, piece in zip(counts, pieces[1:], strict=True))


def rotary_positions(backbone: Any, ids: Tensor, grids: Tensor | None) -> Tensor:
    """Rotary positions of one unpadded prompt.

    Args:
        backbone: A Qwen-VL model with `get_rope_index`.
        ids: Token ids, shape (P,).
        grids: Patch grids of the images that the prompt shows, shape (images, 3), or None.

    Returns:
        Positions along time, height and width, shape (3, P). Text after the last image continues at the largest
        position plus one.
    """
    if grids is None or not len(grids):
        return torch.arange(len(ids), device=ids.device).expand(3, -1)
    types = (ids == backbone.config.image_token_id).int()
    positions, _ = backbone.get_rope_index(ids[None], types[None], image_grid_thw=grids)
    return positions[:, 0]
