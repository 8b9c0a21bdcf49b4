"""What vLLM is given, in training and outside: one placeholder for each image, the trainer's pixels, no vision tokens.

vLLM expands a placeholder itself when it gets an image. A prompt whose placeholders are expanded already comes out with
nearly twice as many (256 become 511) and the image's features in the wrong places, without any error; so prompts are
collapsed before they are sent, and what vLLM made of them is compared with what the trainer has.

Clips travel as our frames with their rate, and vLLM is told to take them all; sounds as our samples. A clip with its sound is
one placeholder, `use_audio_in_video` and the seconds of a grid step, from which vLLM writes the same turns as we do.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from facial_r1.errors import InputError
from facial_r1.generation.prompt_batch import supported
from facial_r1.models.media import Clip, Kind
from facial_r1.models.perception import heard, perceives

#: What vLLM needs to see of this process before it is imported, unless the user says otherwise.
_QUIET = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1"}


@dataclass(frozen=True)
class Prompt:
    """One prompt with its images.

    Attributes:
        ids: Token ids as the model sees them, placeholders expanded.
        images: Its pictures, in order, at the size the model sees.
        clips: Its clips, in order.
        sounds: Its sounds, in order, at the model's rate; those of clips too.
    """

    ids: tuple[int, ...]
    images: tuple[Image.Image, ...] = ()
    clips: tuple[Clip, ...] = ()
    sounds: tuple[np.ndarray, ...] = ()


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
    """A prompt with pictures or none as `vllm.LLM.generate` takes it."""
    sent: dict[str, Any] = {"prompt_token_ids": collapse(prompt.ids, image_token, len(prompt.images))}
    if prompt.images:
        sent["multi_modal_data"] = {"image": list(prompt.images)}
    return sent


def media_prompt(prompt: Prompt, processor: Any) -> dict[str, Any]:
    """A prompt with clips or sounds as `vllm.LLM.generate` takes it.

    Raises:
        InputError: vLLM cannot be told of what it shows in one prompt: clips with and without their sound or beside another sound,
            clips of different rates, or pictures and clips under different bounds.
    """
    ids, sounding = collapse_media(prompt.ids, processor)
    found: dict[str, int] = {kind: ids.count(token) for kind, token in placeholder_ids(processor).items()}
    shown = {"image": len(prompt.images), "video": len(prompt.clips), "audio": len(prompt.sounds) - sounding}
    if any(found.get(kind, 0) != count for kind, count in shown.items()):
        raise InputError(
            f"a prompt shows {shown['image']} pictures, {shown['video']} clips and {shown['audio']} sounds in other numbers of placeholders "
            f"({found}), which vLLM cannot be given one by one. The chat template has to set them apart; or {_INSTEAD}"
        )
    if sounding and not sounding == len(prompt.clips) == len(prompt.sounds):
        raise InputError(
            f"a prompt shows {sounding} of {len(prompt.clips)} clips with their sound, and {len(prompt.sounds)} sounds in all: vLLM takes all clips "
            f"of a prompt with their sound or none, and no other sound beside; {_INSTEAD}"
        )
    data: dict[str, Any] = {}
    if prompt.images:
        data["image"] = list(prompt.images)
    if prompt.clips:
        data["video"] = [(np.ascontiguousarray(clip.frames), _metadata(clip)) for clip in prompt.clips]
    if prompt.sounds:
        data["audio"] = [(heard(sound, processor), processor.feature_extractor.sampling_rate) for sound in prompt.sounds]
    sent: dict[str, Any] = {"prompt_token_ids": ids, "multi_modal_data": data}
    if prompt.clips:
        sent["mm_processor_kwargs"] = _clip_settings(prompt, processor, bool(sounding))
    return sent


def _clip_settings(prompt: Prompt, processor: Any, sounding: bool) -> dict[str, Any]:
    """What the processor in vLLM is told for this prompt, so that it prepares clips as `perception.clip_item` does."""
    sizes = bounds(processor.video_processor)
    if prompt.images and bounds(processor.image_processor) != sizes:
        raise InputError(
            "a prompt shows pictures and clips, whose processors have different size bounds, and vLLM takes one for both: give "
            f"model.image_size.mode=budget or square, which sets both, or {_INSTEAD}"
        )
    settings: dict[str, Any] = {"size": sizes, "do_sample_frames": False, "cap_pixels_per_frame": False}
    if "audio" not in perceives(processor):
        return settings  # Qwen2.5-VL reads the rate of each clip from its metadata
    rates = {len(clip.frames) / clip.seconds for clip in prompt.clips}
    if len(rates) > 1:
        raise InputError(
            f"a prompt shows clips at {len(rates)} frame rates, of which vLLM takes one a prompt with Qwen2.5-Omni: {_INSTEAD}"
        )
    rate = rates.pop()
    settings |= {"fps": rate, "use_audio_in_video": sounding}
    if sounding:
        step = processor.video_processor.temporal_patch_size / rate
        settings["second_per_grid_ts"] = [step] * len(prompt.clips)
    return settings


_INSTEAD = "generate with generation=transformers"


def _metadata(clip: Clip) -> dict[str, Any]:
    """What vLLM is told of frames that are chosen already."""
    count = len(clip.frames)
    return {
        "fps": count / clip.seconds,
        "duration": clip.seconds,
        "total_num_frames": count,
        "frames_indices": list(range(count)),
        "video_backend": "facial_r1",
        "do_sample_frames": False,
    }


def placeholder_ids(processor: Any) -> dict[Kind, int]:
    """The placeholder token of each kind of thing that a processor's prompts can show."""
    kinds = perceives(processor)
    tokens = processor.tokenizer.convert_tokens_to_ids([getattr(processor, f"{kind}_token") for kind in kinds])
    return dict(zip(kinds, tokens, strict=True))


def collapse_media(ids: Sequence[int], processor: Any) -> tuple[list[int], int]:
    """Token ids with one placeholder for each picture, clip and sound, and none for the sound of a clip.

    Args:
        ids: Token ids of a prompt, placeholders expanded.
        processor: The one that expanded them; its tokens are looked for.

    Returns:
        The ids, and how many clips carry their sound.
    """
    placeholders = placeholder_ids(processor)
    marks = ["audio_bos_token", "audio_eos_token"] if "audio" in placeholders else []
    opens, closes = processor.tokenizer.convert_tokens_to_ids([getattr(processor, mark) for mark in marks]) or (-1, -1)
    kept: list[int] = []
    sounding = place = 0
    while place < len(ids):
        token = ids[place]
        if token == opens and place + 1 < len(ids) and ids[place + 1] == placeholders["video"]:
            place = list(ids).index(closes, place) + 1
            kept.append(placeholders["video"])
            sounding += 1
            continue
        kept.append(token)
        place += 1
        while token in placeholders.values() and place < len(ids) and ids[place] == token:
            place += 1
    return kept, sounding


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


def engine_arguments(processor: Any, images: bool = True, media: Collection[Kind] = ()) -> dict[str, Any]:
    """Arguments of `vllm.LLM` that make its processor prepare images as ours does.

    Args:
        processor: The trainer's processor, which carries the bounds that `ImageSizer` set.
        images: False for a model that is never shown any.
        media: Clips ("video") and sounds ("audio"), where prompts show some.
    """
    if not images or not supported(processor):
        return {}
    # Without room for clips and sounds that no prompt shows, vLLM neither profiles nor reserves memory for them.
    unseen = {kind: 0 for kind in perceives(processor) if kind != "image" and kind not in media}
    return {
        "mm_processor_kwargs": {"size": bounds(processor.image_processor)},
        "limit_mm_per_prompt": unseen if "video" in perceives(processor) else {"video": 0},
    }


def bounds(owner: Any) -> dict[str, int]:
    """Area bounds in pixels of an image or video processor, as its `size` has them."""
    return {name: int(owner.size[name] if isinstance(owner.size, dict) else getattr(owner.size, name)) for name in _BOUNDS}


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
