"""The shape of the tiny model: the classes of Qwen2.5-VL, scaled down until a laptop core can train them.

A face of 112 x 112 pixels becomes 8 x 8 patches of 14 pixels; merging 2 x 2 of them leaves 16 visual tokens.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
)
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

from facial_r1.models.tiny import tokenizer as tiny_tokenizer

SIDE = 112
"""Pixels of an image's side."""

PATCH = 14
MERGE = 2

VISUAL_TOKENS = (SIDE // PATCH // MERGE) ** 2
"""Placeholders of one face in the prompt: 16."""

MAX_PARAMETERS = 4_000_000
MAX_POSITIONS = 2048


def config() -> Qwen2_5_VLConfig:
    """Give the configuration, with the ids of our own tokenizer.

    Every vision block attends fully: at 112 pixels the whole face is a single attention window anyway, so windowed
    blocks would change nothing but the bookkeeping. Rotary sections sum to half of the head width (16), split between
    time, height and width in the proportion of the published models.
    """
    ids = tiny_tokenizer.special_ids()
    depth = 4
    vision = {
        "depth": depth,
        "hidden_size": 160,
        "num_heads": 5,
        "intermediate_size": 400,
        "out_hidden_size": 192,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "window_size": SIDE,
        "fullatt_block_indexes": list(range(depth)),
        "hidden_act": "silu",
    }
    text = {
        "vocab_size": tiny_tokenizer.VOCABULARY,
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": MAX_POSITIONS,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
        "bos_token_id": None,
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def generation_config() -> GenerationConfig:
    """Give greedy decoding that ends at the end of a turn or of a text."""
    ids = tiny_tokenizer.special_ids()
    return GenerationConfig(
        do_sample=False,
        max_new_tokens=128,
        eos_token_id=[ids["<|im_end|>"], ids["<|endoftext|>"]],
        pad_token_id=ids["<|endoftext|>"],
    )


def processor(tokenizer: PreTrainedTokenizerFast | None = None) -> Qwen2_5_VLProcessor:
    """Give the processor: every image is taken to the area of 112 x 112 pixels, padding is on the left.

    Args:
        tokenizer: Defaults to the shipped one.
    """
    tokenizer = tokenizer or tiny_tokenizer.load()
    pixels = {"shortest_edge": SIDE * SIDE, "longest_edge": SIDE * SIDE}
    grid = {"patch_size": PATCH, "temporal_patch_size": 2, "merge_size": MERGE}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=dict(pixels), **grid),
        video_processor=Qwen2VLVideoProcessor(size=dict(pixels), **grid),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )


def random_model(seed: int = 0) -> Qwen2_5_VLForConditionalGeneration:
    """Give an untrained model in evaluation mode; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration._from_config(config(), attn_implementation="sdpa", dtype=torch.float32)
    model.generation_config = generation_config()
    return model.eval()


def shipped(folder: Path) -> tuple[Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor]:
    """Load model (float32) and processor from a folder written by `facial_r1.models.tiny.pretrain`."""
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa", use_safetensors=True
    )
    return model.eval(), Qwen2_5_VLProcessor.from_pretrained(folder)


def parameters(model: torch.nn.Module) -> int:
    """Count the parameters, the tied output layer once."""
    return sum(parameter.numel() for parameter in model.parameters())
