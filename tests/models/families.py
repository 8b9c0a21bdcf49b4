"""Checkpoints of every supported family with random weights of a few 100,000 parameters, and batches for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

from facial_r1.models.tiny import architecture
from facial_r1.models.tiny import tokenizer as tiny_tokenizer
from facial_r1.models.tiny_omni import architecture as omni_architecture
from facial_r1.models.tiny_omni import tokenizer as omni_tokenizer

INTERNVL_TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}


def _text(tokenizer: PreTrainedTokenizerFast) -> dict:
    return {
        "vocab_size": 1856,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 4096,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _marks(tokenizer: PreTrainedTokenizerFast) -> dict:
    ids = tiny_tokenizer.special_ids()
    return {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def qwen2_5_vl() -> tuple[PreTrainedModel, ProcessorMixin]:
    """Qwen2.5-VL with untied embeddings and a windowed block."""
    tokenizer = tiny_tokenizer.load()
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 48,
        "out_hidden_size": 32,
        "window_size": 56,
        "fullatt_block_indexes": [1],
    }
    text = _text(tokenizer) | {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]}}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **_marks(tokenizer))
    processor = architecture.processor(tokenizer)
    processor.image_processor.size = {"shortest_edge": 56 * 56, "longest_edge": 448 * 448}
    return Qwen2_5_VLForConditionalGeneration(config), processor


def qwen3_vl() -> tuple[PreTrainedModel, ProcessorMixin]:
    """Qwen3-VL: patches of 16 pixels and deep visual features."""
    tokenizer = tiny_tokenizer.load()
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 48,
        "out_hidden_size": 32,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    text = _text(tokenizer) | {
        "head_dim": 16,
        "rope_parameters": {"rope_type": "default", "mrope_section": [4, 2, 2], "mrope_interleaved": True},
    }
    config = Qwen3VLConfig(text_config=text, vision_config=vision, **_marks(tokenizer))
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            patch_size=16, merge_size=2, size={"shortest_edge": 64 * 64, "longest_edge": 512 * 512}
        ),
        video_processor=Qwen3VLVideoProcessor(),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )
    return Qwen3VLForConditionalGeneration(config), processor


def internvl() -> tuple[PreTrainedModel, ProcessorMixin]:
    """InternVL3: tiles of 56 pixels, four tokens each."""
    tokenizer = tiny_tokenizer.load()
    tokenizer.add_special_tokens({"extra_special_tokens": list(INTERNVL_TOKENS.values())})
    tokenizer.init_kwargs.update(INTERNVL_TOKENS)
    for name, token in INTERNVL_TOKENS.items():
        tokenizer._set_model_specific_special_tokens({name: token})
        setattr(tokenizer, f"{name}_id", tokenizer.convert_tokens_to_ids(token))
    config = InternVLConfig(
        vision_config={
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 48,
            "image_size": 56,
            "patch_size": 14,
        },
        text_config=_text(tokenizer) | {"model_type": "qwen2"},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size={"height": 56, "width": 56}, crop_to_patches=True),
        video_processor=InternVLVideoProcessor(),
        tokenizer=tokenizer,
        image_seq_length=4,
        chat_template=tokenizer.chat_template.replace("<|vision_start|><|image_pad|><|vision_end|>", "<IMG_CONTEXT>"),
    )
    return InternVLForConditionalGeneration(config), processor


def qwen2_5_omni_thinker() -> tuple[PreTrainedModel, ProcessorMixin]:
    """Qwen2.5-Omni's thinker: untied embeddings, a windowed block, an audio tower of two layers."""
    tokenizer = omni_tokenizer.load()
    ids = omni_tokenizer.special_ids()
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 48,
        "out_hidden_size": 32,
        "window_size": 56,
        "fullatt_block_indexes": [1],
    }
    audio = {"num_mel_bins": 80, "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 48}
    text = _text(tokenizer) | {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]}}
    config = Qwen2_5OmniThinkerConfig(
        audio_config=audio | {"output_dim": 32},
        vision_config=vision,
        text_config=text | {"tie_word_embeddings": False},
        image_token_index=ids["<|IMAGE|>"],
        video_token_index=ids["<|VIDEO|>"],
        audio_token_index=ids["<|AUDIO|>"],
        vision_start_token_id=ids["<|vision_bos|>"],
        audio_start_token_id=ids["<|audio_bos|>"],
        audio_end_token_id=ids["<|audio_eos|>"],
        pad_token_id=tokenizer.pad_token_id,
    )
    processor = omni_architecture.processor(tokenizer)
    processor.image_processor.size = {"shortest_edge": 56 * 56, "longest_edge": 448 * 448}
    return Qwen2_5OmniThinkerForConditionalGeneration(config), processor


FAMILIES: dict[str, Callable[[], tuple[PreTrainedModel, ProcessorMixin]]] = {
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "internvl": internvl,
    "qwen2_5_omni_thinker": qwen2_5_omni_thinker,
}


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Give an RGB image of random pixels."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def batch(processor: ProcessorMixin, images: list[Image.Image], texts: list[str]) -> dict[str, torch.Tensor]:
    """Prepare one-image prompts of different lengths as a padded batch."""
    prompts = [
        processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}],
            tokenize=False,
            add_generation_prompt=True,
        )
        for text in texts
    ]
    return processor(text=prompts, images=images, padding=True, return_tensors="pt")
