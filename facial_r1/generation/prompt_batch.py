"""Chat prompts with pictures, clips and sounds, tokenised once: every distinct one is decoded and preprocessed a single time.

A processor called on a list of conversations prepares an image again for each conversation that shows it, and a group
of G completions shows it G times. Here the distinct images, clips and sounds of a batch are decoded and preprocessed once, and
prompts refer to them by index. Token ids and tensors are those that the processor gives (`facial_r1.models.perception`).
Training, synthesis and evaluation all make their prompts here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from trl.data_utils import prepare_multimodal_messages

from facial_r1.errors import InputError
from facial_r1.models.media import Clip, Item, Kind, forward_arguments
from facial_r1.models.perception import clip_item, expanded, perceives, picture_items, sound_item

Messages = list[dict[str, Any]]


class ImageLoader(Protocol):
    """Decodes the files behind image parts; one that has `clip` and `sound` too (`MediaLoader`) those of the other parts."""

    def __call__(self, path: str, /) -> Image.Image: ...


class MediaLoader(ImageLoader, Protocol):
    """Decodes pictures, clips and sounds, each at the size or rate that the model takes."""

    def clip(self, path: str) -> Clip: ...
    def sound(self, path: str) -> np.ndarray: ...


@dataclass(frozen=True)
class Part:
    """One thing that a prompt shows: a file or what was decoded from it, and for a clip the sound that goes with it, or None."""

    kind: Kind
    payload: Any
    sound: Any = None


@dataclass(frozen=True)
class PromptBatch:
    """Prompts of a batch and the distinct pictures, clips and sounds that they show.

    Attributes:
        ids: Token ids of each prompt, placeholders expanded, no padding.
        shown: For each prompt what it shows, in order, as indices into `items`; the sound of a clip comes right after the clip.
        items: The distinct pictures, clips and sounds.
        pictures: What `items` were made from, where it was asked for.
    """

    ids: list[list[int]]
    shown: list[tuple[int, ...]]
    items: tuple[Item, ...] = ()
    pictures: tuple[Any, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> PromptBatch:
        """The same batch with its tensors on `device` (the name accelerate's data loader looks for)."""
        return replace(self, items=tuple(item.to(device, non_blocking) for item in self.items))

    def items_of(self, prompt: int) -> list[Item]:
        """What one prompt shows, in order."""
        return [self.items[index] for index in self.shown[prompt]]

    def arguments(self) -> dict[str, Tensor]:
        """Forward arguments that show every prompt's items, one entry for each placeholder."""
        return forward_arguments([item for prompt in range(len(self)) for item in self.items_of(prompt)])


def supported(processor: object) -> bool:
    """Whether `encode_prompts` knows how this processor expands placeholders."""
    return bool(perceives(processor))


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
    *,
    videos: Sequence[Sequence[str | Clip] | None] | None = None,
    audios: Sequence[Sequence[str | np.ndarray] | None] | None = None,
) -> PromptBatch:
    """Tokenise conversations up to the assistant's turn and preprocess the distinct things they show once.

    Args:
        processor: A processor for which `supported` is true.
        conversations: Chat messages; an image part without payload takes the next item of the row's `images`, and a
            string as content gets its images placed before the text. A video part takes the next of `videos`, an audio part
            the next of `audios`, and so does a video part with `sound: true`, which is shown in turns with its sound.
        images: For each conversation its images, decoded or as paths; None where it has none.
        image_loader: Turns a path into an image, or into a clip or sound; needed when a path occurs. A path is loaded once.
        template_kwargs: Passed on to the chat template.
        keep_pictures: Keep what was decoded beside the tensors, for an engine that prepares it itself.
        videos: As `images`.
        audios: As `images`.

    Returns:
        The prompts in the given order.

    Raises:
        InputError: A path occurs but no loader was given, the number of parts and of files differ, or the processor cannot show
            what a prompt asks for.
    """
    texts: list[str] = []
    parts: list[list[Part]] = []
    for row, conversation in enumerate(conversations):
        given: list[list[Any]] = [list(rows[row] or []) if rows is not None else [] for rows in (images, videos, audios)]
        messages = _with_pictures(conversation, given[0], row)
        parts.append(parts_of(messages, given[1], given[2], row))
        texts.append(
            processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, **(template_kwargs or {}))
        )
    return encode_texts(processor, texts, parts, image_loader, keep_pictures)


def encode_texts(
    processor: Any,
    texts: Sequence[str],
    parts: Sequence[Sequence[Part]],
    loader: ImageLoader | None = None,
    keep_pictures: bool = False,
) -> PromptBatch:
    """Tokenise prompts that are rendered already, with what each of them shows in order. See `encode_prompts`."""
    store = _Store(processor, loader)
    shown = [tuple(index for part in row for index in store.indices(part)) for row in parts]
    items = store.items()
    written = [
        expanded(processor, text, [items[index] for index in indices], [part.sound is not None for part in row])
        if any(row) or items
        else text
        for text, indices, row in zip(texts, shown, parts, strict=True)
    ]
    ids = processor.tokenizer(written, add_special_tokens=False)["input_ids"]
    return PromptBatch(ids, shown, tuple(items), tuple(store.decoded) if keep_pictures else ())


class _Store:
    """The distinct things of a batch, decoded when first seen."""

    def __init__(self, processor: Any, loader: ImageLoader | None) -> None:
        self._processor, self._loader = processor, loader
        self._kinds: list[Kind] = []
        self._places: dict[Hashable, int] = {}
        self.decoded: list[Any] = []

    def indices(self, part: Part) -> Iterator[int]:
        """The place of a part among the items, and of its sound."""
        yield self._place(part.kind, part.payload)
        if part.sound is not None:
            yield self._place("audio", part.sound)

    def _place(self, kind: Kind, payload: Any) -> int:
        key = (kind, payload if isinstance(payload, str) else id(payload))
        if key not in self._places:
            if kind not in perceives(self._processor):
                raise InputError(
                    f"{type(self._processor).__name__} shows no {_NAMES[kind]}: take a model that does (model=qwen2_5_omni_7b, "
                    f"model=tiny_omni), or leave it out of data.modalities"
                )
            self._places[key] = len(self.decoded)
            self._kinds.append(kind)
            self.decoded.append(_decoded(kind, payload, self._loader))
        return self._places[key]

    def items(self) -> list[Item]:
        """What was seen, preprocessed; pictures in one call."""
        pictures = iter(
            picture_items(self._processor, [one for kind, one in zip(self._kinds, self.decoded, strict=True) if kind == "image"])
        )
        make = {
            "image": lambda _: next(pictures),
            "video": lambda clip: clip_item(self._processor, clip),
            "audio": lambda sound: sound_item(self._processor, sound),
        }
        return [make[kind](one) for kind, one in zip(self._kinds, self.decoded, strict=True)]


_NAMES = {"image": "pictures", "video": "clips", "audio": "sound"}


def parts_of(messages: Messages, videos: Sequence[Any], audios: Sequence[Any], row: int = 0) -> list[Part]:
    """What a conversation shows, in order, with the files behind its video and audio parts.

    Raises:
        InputError: There are more or fewer files than parts.
    """
    left = {"video": list(videos), "audio": list(audios)}
    counts = dict.fromkeys(left, 0)

    def taken(kind: str, part: dict[str, Any]) -> Any:
        if part["type"] == kind and part.get(kind) is not None:
            return part[kind]
        counts[kind] += 1
        return left[kind].pop(0) if left[kind] else None

    found: list[Part] = []
    for message in messages:
        for part in message["content"] if isinstance(message["content"], list) else []:
            kind = part["type"]
            if kind == "image":
                found.append(Part("image", part["image"]))
            elif kind == "video":
                found.append(Part("video", taken("video", part), taken("audio", part) if part.get("sound") else None))
            elif kind == "audio":
                found.append(Part("audio", taken("audio", part)))
    for kind, given in (("video", videos), ("audio", audios)):
        if counts[kind] != len(given):
            raise InputError(
                f"prompt {row} of the batch: {len(given)} {_NAMES[kind]} for {counts[kind]} parts that show one. Give one {kind} part "
                "for each"
            )
    return found


def _with_pictures(conversation: Messages, images: list[str | Image.Image], row: int) -> Messages:
    try:
        return prepare_multimodal_messages(without_empty_fields(conversation), images=images)
    except ValueError as error:
        raise InputError(f"prompt {row} of the batch: {error} Give one image part per image of the row.") from error


def _decoded(kind: Kind, payload: Any, loader: Any) -> Any:
    if not isinstance(payload, str):
        return payload
    if loader is None:
        raise InputError(f"{payload}: the row names a file, but no image_loader was given to decode it")
    if kind == "image":
        return loader(payload)
    open_it = getattr(loader, "clip" if kind == "video" else "sound", None)
    if open_it is None:
        raise InputError(f"{payload}: the row names a {kind} file, and what opens files here opens pictures alone")
    return open_it(payload)
