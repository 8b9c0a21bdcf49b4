"""What vLLM is given, in training and outside: one placeholder for each image, the trainer's pixels, no vision tokens.

vLLM expands a placeholder itself when it gets an image. A prompt whose placeholders are expanded already comes out with
nearly twice as many (256 become 511) and the image's features in the wrong places, without any error; so prompts are
collapsed before they are sent, and what vLLM made of them is compared with what the trainer has.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from facial_r1.errors import InputError
from facial_r1.generation.prompt_batch import supported

#: What vLLM needs to see of this process before it is imported, unless the user says otherwise.
_QUIET = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1"}


@dataclass(frozen=True)
class Prompt:
    """One prompt with its images.

    Attributes:
        ids: Token ids as the model sees them, placeholders expanded.
        images: Its pictures, in order, at the size the model sees.
    """

    ids: tuple[int, ...]
    images: tuple[Image.Image, ...] = ()


def require_vllm(wanted_by: str) -> None:
    """Check that vLLM can be imported, and keep it quiet.

    Args:
        wanted_by: The setting that asks for it, for the message.

    Raises:
        InputError: vLLM is not installed.
    """
    if importlib.util.find_spec("vllm") is None:
        raise InputError(
            f"{wanted_by} needs vLLM, which is not installed: pip install 'facial_r1[vllm]' (Linux with a CUDA GPU). "
            "Without it, transformers generates: generation=transformers, stage.vllm.enabled=false"
        )
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


def collapse(ids: Sequence[int], image_token: int | None, images: int) -> list[int]:
    """Token ids with one placeholder per image.

    Args:
        ids: Token ids of a prompt, placeholders expanded.
        image_token: Id of the placeholder; None for a model without images.
        images: Images that the prompt shows.

    Returns:
        The ids with each run of placeholders replaced by a single one.

    Raises:
        InputError: The number of runs is not the number of images, so vLLM would put features in the wrong places.
    """
    if image_token is None or not images:
        return list(ids)
    kept = [token for place, token in enumerate(ids) if token != image_token or not place or ids[place - 1] != image_token]
    runs = kept.count(image_token)
    if runs != images:
        raise InputError(
            f"a prompt shows {images} images in {runs} runs of placeholders, which vLLM cannot be given one by one. "
            "The chat template has to set images apart; or set stage.vllm.enabled=false"
        )
    return kept


def vllm_prompt(prompt: Prompt, image_token: int | None) -> dict[str, Any]:
    """A prompt as `vllm.LLM.generate` takes it."""
    sent: dict[str, Any] = {"prompt_token_ids": collapse(prompt.ids, image_token, len(prompt.images))}
    if prompt.images:
        sent["multi_modal_data"] = {"image": list(prompt.images)}
    return sent


def same_prompt(sent: Prompt, seen: Sequence[int] | None) -> None:
    """Compare a prompt with what vLLM made of it.

    Args:
        sent: The prompt as the trainer has it.
        seen: Token ids that vLLM reports, placeholders expanded.

    Raises:
        InputError: They differ: vLLM would answer another question, or see another image size.
    """
    got = list(seen or ())
    if got == list(sent.ids):
        return
    place = next((i for i, (ours, theirs) in enumerate(zip(sent.ids, got, strict=False)) if ours != theirs), None)
    where = f", and they differ from token {place} on" if place is not None else ""
    raise InputError(
        f"vLLM sees a prompt of {len(got)} tokens where the model sees {len(sent.ids)}{where}. Its processor resizes images or "
        "expands placeholders in another way, so what it writes would not be what is trained or scored. Use a checkpoint "
        "folder that holds the processor's files, or generate without vLLM (stage.vllm.enabled=false, generation=transformers)"
    )


def engine_arguments(processor: Any, images: bool = True) -> dict[str, Any]:
    """Arguments of `vllm.LLM` that make its processor prepare images as ours does.

    Args:
        processor: The trainer's processor, which carries the bounds that `ImageSizer` set.
        images: False for a model that is never shown any.
    """
    if not images or not supported(processor):
        return {}
    size = processor.image_processor.size
    bounds = {name: int(size[name] if isinstance(size, dict) else getattr(size, name)) for name in _BOUNDS}
    # Without room for videos, which no prompt shows, vLLM neither profiles nor reserves memory for them.
    return {"mm_processor_kwargs": {"size": bounds}, "limit_mm_per_prompt": {"video": 0}}


_BOUNDS = ("shortest_edge", "longest_edge")


def never_sampled(tokenizer: Any, ids: Sequence[int]) -> dict[str, Any]:
    """Sampling parameters that give these tokens probability zero.

    They are bad words: `logit_bias` is cut to -100, and `allowed_token_ids` carries the rest of the vocabulary with every
    request.

    Args:
        tokenizer: Turns each of `ids` into the text of a single token and back.
        ids: Tokens that must not occur in a completion.

    Raises:
        InputError: One of them is not a token of its own in text.
    """
    words = [str(word) for word in tokenizer.convert_ids_to_tokens(list(ids))]
    for word, token in zip(words, ids, strict=True):
        if list(tokenizer.encode(word, add_special_tokens=False)) != [token]:
            raise InputError(f"vLLM cannot be kept from sampling {word!r}: its text is not token {token} alone in this tokenizer")
    return {"bad_words": words} if words else {}
