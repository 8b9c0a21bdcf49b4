"""From decoded pictures, clips and sounds to what a model takes, with the model's own processor, each thing once.

A processor called on conversations prepares a clip again for every conversation that shows it, pads every sound to its longest
(five minutes for Qwen2.5-Omni), takes the frame rate and whether clips carry their sound from one flag for the whole batch, and
cannot mix rows with and without sound. Here its parts are called on single things, and the placeholders are written for each
prompt by itself. Tokens and tensors are those of the processor (tested).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from facial_r1.errors import InputError
from facial_r1.models.media import Clip, Item, Kind
from facial_r1.models.positions import sound_tokens, visual_tokens

_SHORTEST = 0.1
"""Seconds to which shorter sounds are filled up with silence; the tower makes no token of less than two windows."""

_TOKENS: dict[str, tuple[Kind, ...]] = {
    "Qwen2_5_VLProcessor": ("image", "video"),
    "Qwen3VLProcessor": ("image",),
    "Qwen2_5OmniProcessor": ("image", "video", "audio"),
}


def perceives(processor: object) -> tuple[Kind, ...]:
    """What a processor's prompts can show, () for a processor whose placeholders we do not write ourselves."""
    return _TOKENS.get(type(processor).__name__, ())


def picture_items(processor: Any, pictures: Sequence[Image.Image]) -> list[Item]:
    """Pictures as patches; one call, since the processor works on batches."""
    if not pictures:
        return []
    prepared = processor.image_processor(images=list(pictures), return_tensors="pt")
    grids = prepared["image_grid_thw"]
    patches = prepared["pixel_values"].split(grids.prod(-1).tolist())
    return [Item("image", values, grid) for values, grid in zip(patches, grids, strict=True)]


def clip_item(processor: Any, clip: Clip) -> Item:
    """A clip as patches; an odd last frame is repeated by the processor."""
    frames = torch.from_numpy(np.array(clip.frames)).permute(0, 3, 1, 2)
    prepared = processor.video_processor(
        videos=[frames],
        return_tensors="pt",
        do_sample_frames=False,
        cap_pixels_per_frame=False,
        input_data_format="channels_first",
    )
    seconds = clip.seconds / len(clip.frames) * processor.video_processor.temporal_patch_size
    return Item("video", prepared["pixel_values_videos"], prepared["video_grid_thw"][0], float(seconds))


def sound_item(processor: Any, waveform: np.ndarray) -> Item:
    """A mono sound at the processor's rate as a log-mel spectrogram, without the padding to the longest sound.

    Two windows of silence behind it give the last frames the same numbers as that padding would.
    """
    extractor = processor.feature_extractor
    sound = heard(waveform, processor)
    frames = -(-len(sound) // extractor.hop_length)
    padded = np.pad(sound, (0, 2 * extractor.n_fft))
    mel = extractor(padded, sampling_rate=extractor.sampling_rate, padding=False, truncation=False, return_tensors="pt")
    return Item("audio", mel["input_features"][0, :, :frames].contiguous())


def heard(waveform: np.ndarray, processor: Any) -> np.ndarray:
    """The part of a sound that a processor takes, float32; a very short one with silence behind."""
    extractor = processor.feature_extractor
    sound = np.asarray(waveform, dtype=np.float32)[: extractor.n_samples]
    short = int(_SHORTEST * extractor.sampling_rate) - len(sound)
    return np.pad(sound, (0, short)) if short > 0 else sound


def expanded(processor: Any, text: str, items: Sequence[Item], sounding: Sequence[bool]) -> str:
    """Write out the placeholders of a rendered prompt.

    Args:
        processor: One that `perceives` the items.
        text: The prompt, with one placeholder for each picture, clip and sound; none for the sound of a clip.
        items: What it shows, in order; the sound of a clip comes right after the clip.
        sounding: For each placeholder whether it is a clip that carries the next sound.

    Raises:
        InputError: There are more or fewer placeholders than things to show, or of another kind.
    """
    kinds = perceives(processor)
    token_of = {kind: str(getattr(processor, f"{kind}_token")) for kind in kinds}
    kind_of = {token: kind for kind, token in token_of.items()}
    pieces = re.split("(" + "|".join(map(re.escape, kind_of)) + ")", text)
    found = [kind_of[piece] for piece in pieces[1::2]]
    shown = list(_placeholders(items, sounding))
    for kind in kinds:
        wanted = sum(first.kind == kind for first, _ in shown)
        if found.count(kind) != wanted:
            raise InputError(
                f"the rendered prompt holds {found.count(kind)} {kind} placeholders for {wanted} {_PLURAL[kind]}; "
                f"{token_of[kind]} must not be written in the text of a prompt"
            )
    out = [pieces[0]]
    for kind, (item, sound), after in zip(found, shown, pieces[2::2], strict=True):
        if item.kind != kind:
            raise InputError(f"the chat template shows a {kind} where the prompt has a {item.kind}")
        if sound is not None:
            out.append(processor.audio_bos_token + _interleaved(processor, item, sound) + processor.audio_eos_token)
        else:
            count = sound_tokens(item) if kind == "audio" else visual_tokens(item, processor.image_processor.merge_size)
            out.append(token_of[kind] * count)
        out.append(after)
    return "".join(out)


_PLURAL = {"image": "images", "video": "videos", "audio": "sounds"}


def _placeholders(items: Sequence[Item], sounding: Sequence[bool]) -> Iterable[tuple[Item, Item | None]]:
    left = iter(items)
    for carries in sounding:
        item = next(left)
        yield item, next(left) if carries else None


def _interleaved(processor: Any, clip: Item, sound: Item) -> str:
    """Placeholders of a clip and its sound, in turns of two seconds, as the processor writes them."""
    defaults = type(processor).valid_processor_kwargs._defaults["videos_kwargs"]
    per_second, chunk = defaults["position_id_per_seconds"], defaults["seconds_per_chunk"]
    assert clip.grid is not None
    steps = int(clip.grid[0])
    each = visual_tokens(clip, processor.video_processor.merge_size) // steps
    times = np.repeat(np.arange(steps) * clip.seconds * per_second, each)
    seen = processor.get_chunked_index(times, int(per_second * chunk))
    heard = processor.get_chunked_index(np.arange(sound_tokens(sound)), int(per_second * chunk))
    text = ""
    for turn in range(max(len(seen), len(heard))):
        for chunks, token in ((seen, processor.video_token), (heard, processor.audio_token)):
            if turn < len(chunks):
                text += token * (chunks[turn][1] - chunks[turn][0])
    return text
