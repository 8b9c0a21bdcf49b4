"""The shape of the tiny thinker: the classes of Qwen2.5-Omni, scaled down until a laptop core can train them.

Vision tower and decoder have the shape of the tiny vision-language model (`facial_r1.models.tiny.architecture`), whose weights
they can take over (`facial_r1.models.tiny_omni.transplant`). A clip of eight frames becomes 4 x 16 visual tokens and, as in the
published models, a second of sound becomes 25 tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5OmniProcessor,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    WhisperFeatureExtractor,
)
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

from facial_r1.models.thinker import Thinker, as_thinker
from facial_r1.models.tiny import architecture as tiny
from facial_r1.models.tiny_omni import tokenizer as omni_tokenizer

MAX_PARAMETERS = 6_000_000

MEL_BINS = 80
"""Bins of the spectrogram; the published models have 128."""

SAMPLE_RATE = 16_000

LONGEST_SOUND = 60
"""Seconds of sound beyond which the feature extractor cuts."""


def config() -> Qwen2_5OmniThinkerConfig:
    """Give the configuration, with the ids of our own tokenizer."""
    ids = omni_tokenizer.special_ids()
    seeing: Any = tiny.config()
    shape = seeing.vision_config.to_dict()
    vision = {
        name: shape[name]
        for name in (
            "depth",
            "hidden_size",
            "num_heads",
            "intermediate_size",
            "out_hidden_size",
            "patch_size",
            "spatial_merge_size",
            "temporal_patch_size",
            "window_size",
            "fullatt_block_indexes",
            "hidden_act",
        )
    }
    text = seeing.text_config.to_dict()
    kept = (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "max_position_embeddings",
        "rope_parameters",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
    )
    audio = {
        "num_mel_bins": MEL_BINS,
        "d_model": 160,
        "encoder_layers": 3,
        "encoder_attention_heads": 5,
        "encoder_ffn_dim": 512,
        "output_dim": text["hidden_size"],
    }
    settings: dict[str, Any] = {
        "vision_start_token_id": ids["<|vision_bos|>"],
        "vision_end_token_id": ids["<|vision_eos|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    return Qwen2_5OmniThinkerConfig(
        audio_config=audio,
        vision_config=vision,
        text_config={name: text[name] for name in kept} | {"vocab_size": omni_tokenizer.VOCABULARY, "tie_word_embeddings": True},
        image_token_index=ids["<|IMAGE|>"],
        video_token_index=ids["<|VIDEO|>"],
        audio_token_index=ids["<|AUDIO|>"],
        audio_start_token_id=ids["<|audio_bos|>"],
        audio_end_token_id=ids["<|audio_eos|>"],
        tie_word_embeddings=True,
        **settings,
    )


def generation_config() -> GenerationConfig:
    """Give greedy decoding that ends at the end of a turn or of a text."""
    return tiny.generation_config()


def processor(tokenizer: PreTrainedTokenizerFast | None = None) -> Qwen2_5OmniProcessor:
    """Give the processor: pictures and frames are taken to the area of 112 x 112 pixels, sound to a log-mel spectrogram.

    Args:
        tokenizer: Defaults to the shipped one.
    """
    tokenizer = tokenizer or omni_tokenizer.load()
    pixels = {"shortest_edge": tiny.SIDE**2, "longest_edge": tiny.SIDE**2}
    grid = {"patch_size": tiny.PATCH, "temporal_patch_size": 2, "merge_size": tiny.MERGE}
    return Qwen2_5OmniProcessor(
        image_processor=Qwen2VLImageProcessor(size=dict(pixels), **grid),
        video_processor=Qwen2VLVideoProcessor(size=dict(pixels), **grid),
        feature_extractor=WhisperFeatureExtractor(
            feature_size=MEL_BINS, sampling_rate=SAMPLE_RATE, chunk_length=LONGEST_SOUND, return_attention_mask=True
        ),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )


def random_model(seed: int = 0) -> Thinker:
    """Give an untrained model in evaluation mode; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5OmniThinkerForConditionalGeneration._from_config(config(), attn_implementation="sdpa", dtype=torch.float32)
    model.generation_config = generation_config()
    return as_thinker(model.eval())


def shipped(folder: Path) -> tuple[Thinker, Qwen2_5OmniProcessor]:
    """Load model (float32) and processor from a folder written by `facial_r1.models.tiny_omni.pretrain`."""
    model = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa", use_safetensors=True
    )
    return as_thinker(model.eval()), Qwen2_5OmniProcessor.from_pretrained(folder)
