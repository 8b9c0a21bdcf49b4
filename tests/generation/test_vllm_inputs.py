"""What vLLM is given, without vLLM."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest
from PIL import Image

from facial_r1.errors import InputError
from facial_r1.generation.vllm_inputs import (
    Prompt,
    collapse,
    engine_arguments,
    never_sampled,
    require_vllm,
    same_prompt,
    vllm_prompt,
)
from tests.invariants import tiny_vl

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
        "limit_mm_per_prompt": {"video": 0},
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
