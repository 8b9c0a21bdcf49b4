"""What vLLM is given, without vLLM."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facial_r1.errors import InputError
from facial_r1.generation.prompt_batch import encode_prompts
from facial_r1.generation.vllm_engine import shown
from facial_r1.generation.vllm_inputs import (
    Prompt,
    collapse,
    collapse_media,
    engine_arguments,
    media_prompt,
    never_sampled,
    require_vllm,
    same_prompt,
    vllm_prompt,
)
from tests.invariants import tiny_vl
from tests.models import drawn_media

PAD = 262


def test_runs_of_placeholders_become_one_each() -> None:
    assert collapse([1, PAD, PAD, PAD, 2, PAD, 3], PAD, 2) == [1, PAD, 2, PAD, 3]
    assert collapse([PAD, PAD, 5], PAD, 1) == [PAD, 5]


def test_prompts_without_images_are_left_alone() -> None:
    assert collapse([1, 2], PAD, 0) == [1, 2]
    assert collapse([1, PAD], None, 1) == [1, PAD]


def test_images_that_touch_are_refused() -> None:
    with pytest.raises(InputError, match="2 images in 1 runs"):
        collapse([1, PAD, PAD, 2], PAD, 2)


def test_images_travel_beside_the_ids() -> None:
    picture = Image.new("RGB", (28, 28))
    assert vllm_prompt(Prompt((1, PAD, PAD), (picture,)), PAD) == {
        "prompt_token_ids": [1, PAD],
        "multi_modal_data": {"image": [picture]},
    }
    assert vllm_prompt(Prompt((1, 2)), PAD) == {"prompt_token_ids": [1, 2]}


@pytest.mark.parametrize(
    ("seen", "message"),
    [([1, 2], "2 tokens where the model sees 3"), ([1, 9, 3], "differ from token 1 on"), (None, "0 tokens")],
)
def test_another_prompt_is_refused(seen: list[int] | None, message: str) -> None:
    same_prompt(Prompt((1, 2, 3)), [1, 2, 3])
    with pytest.raises(InputError, match=message):
        same_prompt(Prompt((1, 2, 3)), seen)


@pytest.mark.parametrize("architecture", tiny_vl.ARCHITECTURES)
def test_the_bounds_of_our_processor_reach_the_engine(architecture: str) -> None:
    processor = tiny_vl.processor(architecture)
    assert engine_arguments(processor) == {
        "mm_processor_kwargs": {"size": {"shortest_edge": 28 * 28, "longest_edge": 112 * 112}},
        "limit_mm_per_prompt": {"video": 0} | ({"audio": 0} if architecture == "qwen2_5_omni" else {}),
    }
    assert engine_arguments(SimpleNamespace()) == {}, "a processor we do not know keeps its own settings"


def test_tokens_that_are_never_sampled_are_words_of_one_token() -> None:
    tokenizer = tiny_vl.tokenizer()
    assert never_sampled(tokenizer, [PAD, 263]) == {"bad_words": ["<|image_pad|>", "<|video_pad|>"]}
    assert never_sampled(tokenizer, []) == {}


def test_a_missing_vllm_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"generation=vllm needs vLLM.*pip install 'facial_r1\[vllm\]'"):
        require_vllm("generation=vllm")


def prompt(processor: Any, *parts: str, seconds: float = 1.6) -> Prompt:
    """A prompt with clips of four frames and sounds of 1.6 s."""
    clips = [drawn_media.clip(place, 4, 56, seconds + place) for place, part in enumerate(parts) if part in ("clip", "video")]
    sounds = [drawn_media.sound(place, 1.6) for place, part in enumerate(parts) if part in ("clip", "audio")]
    images = [tiny_vl.image(place) for place, part in enumerate(parts) if part == "image"]
    messages = [drawn_media.asked("Who?", *parts)]
    batch = encode_prompts(processor, messages, [images], None, None, True, videos=[clips], audios=[sounds])
    return shown(batch, 0)


def test_a_clip_is_one_placeholder_and_its_frames_are_not_sampled_again() -> None:
    processor = tiny_vl.processor("qwen2_5_vl")
    sent = media_prompt(prompt(processor, "video", "image", seconds=2.0), processor)
    assert [sent["prompt_token_ids"].count(token) for token in (processor.video_token_id, processor.image_token_id)] == [1, 1]
    ((frames, about),) = sent["multi_modal_data"]["video"]
    assert frames.shape == (4, 56, 56, 3) and len(sent["multi_modal_data"]["image"]) == 1
    assert (about["fps"], about["frames_indices"], about["do_sample_frames"]) == (2.0, [0, 1, 2, 3], False)
    settings = sent["mm_processor_kwargs"]
    assert settings == {
        "size": {"shortest_edge": 784, "longest_edge": 12544},
        "do_sample_frames": False,
        "cap_pixels_per_frame": False,
    }


def test_a_clip_with_its_sound_is_one_placeholder_and_the_seconds_of_a_grid_step() -> None:
    processor = tiny_vl.processor("qwen2_5_omni")
    whole = prompt(processor, "clip")
    ids, sounding = collapse_media(whole.ids, processor)
    names = [name for name in processor.tokenizer.convert_ids_to_tokens(ids) if name.startswith("<|") and "im_" not in name]
    assert sounding == 1 and names == ["<|vision_bos|>", "<|VIDEO|>", "<|vision_eos|>"]
    sent = media_prompt(whole, processor)
    ((wave, rate),) = sent["multi_modal_data"]["audio"]
    assert rate == 16_000 and np.array_equal(wave, drawn_media.sound(0, 1.6))
    settings = sent["mm_processor_kwargs"]
    assert settings["use_audio_in_video"] and settings["second_per_grid_ts"] == [0.8] and settings["fps"] == 2.5


def test_a_clip_beside_a_sound_stays_beside_it() -> None:
    processor = tiny_vl.processor("qwen2_5_omni")
    sent = media_prompt(prompt(processor, "video", "audio"), processor)
    assert not sent["mm_processor_kwargs"]["use_audio_in_video"] and len(sent["multi_modal_data"]["audio"]) == 1
    assert "mm_processor_kwargs" not in media_prompt(prompt(processor, "audio"), processor)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (("clip", "audio"), "1 of 1 clips with their sound, and 2 sounds in all"),
        (("clip", "video"), "1 of 2 clips with their sound, and 1 sounds in all"),
        (("video", "video"), "clips at 2 frame rates"),
    ],
)
def test_what_vllm_cannot_be_told_is_refused_with_the_fix(parts: tuple[str, ...], message: str) -> None:
    processor = tiny_vl.processor("qwen2_5_omni")
    with pytest.raises(InputError, match=message + ".*generation=transformers"):
        media_prompt(prompt(processor, *parts), processor)


def test_bounds_that_differ_are_refused_where_both_are_shown() -> None:
    processor = tiny_vl.processor("qwen2_5_vl")
    whole = prompt(processor, "video", "image")
    processor.image_processor.size = type(processor.image_processor.size)(shortest_edge=784, longest_edge=784)
    with pytest.raises(InputError, match=r"different size bounds.*model\.image_size\.mode=budget or square"):
        media_prompt(whole, processor)


def test_room_is_kept_for_what_is_shown_and_nothing_else() -> None:
    processor = tiny_vl.processor("qwen2_5_omni")
    assert engine_arguments(processor, media=("video",))["limit_mm_per_prompt"] == {"audio": 0}
    assert engine_arguments(processor, media=("video", "audio"))["limit_mm_per_prompt"] == {}
