"""Random two-layer Qwen2.5-VL, Qwen3-VL and Qwen2.5-Omni models with a byte tokenizer and a processor, built without network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2_5OmniProcessor,
    Qwen2_5OmniThinkerConfig,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    WhisperFeatureExtractor,
)

from facial_r1.models.media import KINDS, towers
from facial_r1.models.thinker import Thinker, as_thinker, backbone_of

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif part['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ARCHITECTURES = ("qwen2_5_vl", "qwen3_vl", "qwen2_5_omni")
OMNI = {
    "<|vision_start|>": "<|vision_bos|>",
    "<|vision_end|>": "<|vision_eos|>",
    "<|image_pad|>": "<|IMAGE|>",
    "<|video_pad|>": "<|VIDEO|>",
}
SOUND = ("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
NAMED = {
    "image_token": "<|IMAGE|>",
    "video_token": "<|VIDEO|>",
    "audio_token": "<|AUDIO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}


def special(architecture: str) -> tuple[str, ...]:
    """Special tokens by name; their ids follow those of the bytes."""
    return SPECIAL if architecture != "qwen2_5_omni" else tuple(OMNI.get(token, token) for token in SPECIAL) + SOUND


def template(architecture: str) -> str:
    """The chat template with the architecture's marks."""
    text = CHAT_TEMPLATE
    for old, new in OMNI.items() if architecture == "qwen2_5_omni" else ():
        text = text.replace(old, new)
    return text


def tokenizer(architecture: str = "qwen2_5_vl") -> PreTrainedTokenizerFast:
    """A byte-level tokenizer without merges: 256 byte tokens and Qwen's special tokens."""
    marks = special(architecture)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(list(marks))
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        **(
            {"extra_special_tokens": NAMED}
            if architecture == "qwen2_5_omni"
            else {"additional_special_tokens": [token for token in marks if token not in ("<|im_end|>", "<|endoftext|>")]}
        ),
        padding_side="left",
    )


def processor(architecture: str) -> Qwen2_5_VLProcessor | Qwen3VLProcessor | Qwen2_5OmniProcessor:
    """The architecture's own processor around the byte tokenizer; images of 56 px give four placeholders."""
    size = {"shortest_edge": 28 * 28, "longest_edge": 112 * 112}
    if architecture == "qwen2_5_omni":
        return Qwen2_5OmniProcessor(
            image_processor=Qwen2VLImageProcessor(patch_size=14, merge_size=2, size=size),
            video_processor=Qwen2VLVideoProcessor(patch_size=14, merge_size=2, size=size),
            feature_extractor=WhisperFeatureExtractor(feature_size=20, return_attention_mask=True),
            tokenizer=tokenizer(architecture),
            chat_template=template(architecture),
        )
    kind = Qwen2_5_VLProcessor if architecture == "qwen2_5_vl" else Qwen3VLProcessor
    return kind(
        image_processor=Qwen2VLImageProcessor(patch_size=14, merge_size=2, size=size),
        tokenizer=tokenizer(),
        video_processor=Qwen2VLVideoProcessor(patch_size=14, merge_size=2, size=size),
        chat_template=CHAT_TEMPLATE,
    )


def model(
    architecture: str, seed: int = 0, hidden: int = 64, layers: int = 2
) -> Qwen2_5_VLForConditionalGeneration | Qwen3VLForConditionalGeneration | Thinker:
    """A randomly initialised model whose special token ids match `tokenizer`."""
    ids = {token: 256 + i for i, token in enumerate((*SPECIAL, *SOUND))}
    shared = {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "tie_word_embeddings": False,
    }
    text = {
        "vocab_size": 256 + len(special(architecture)),
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": None,
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    torch.manual_seed(seed)
    if architecture == "qwen2_5_vl":
        sections = [hidden // 32, hidden // 32, hidden // 8 - 2 * (hidden // 32)]
        config = Qwen2_5_VLConfig(
            text_config=text | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": sections}},
            vision_config={
                "depth": 2,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_heads": 2,
                "out_hidden_size": hidden,
                "patch_size": 14,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "window_size": 56,
                "fullatt_block_indexes": [1],
            },
            **shared,
        )
        built = Qwen2_5_VLForConditionalGeneration(config)
    elif architecture == "qwen2_5_omni":
        sections = [hidden // 32, hidden // 32, hidden // 8 - 2 * (hidden // 32)]
        text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": sections}
        built = Thinker(
            Qwen2_5OmniThinkerConfig(
                text_config=text | {"tie_word_embeddings": False},
                vision_config={
                    "depth": 2,
                    "hidden_size": 32,
                    "intermediate_size": 64,
                    "num_heads": 2,
                    "out_hidden_size": hidden,
                    "window_size": 56,
                    "fullatt_block_indexes": [1],
                },
                audio_config={
                    "num_mel_bins": 20,
                    "d_model": 32,
                    "encoder_layers": 2,
                    "encoder_attention_heads": 2,
                    "encoder_ffn_dim": 48,
                    "output_dim": hidden,
                },
                image_token_index=shared["image_token_id"],
                video_token_index=shared["video_token_id"],
                audio_token_index=ids["<|AUDIO|>"],
                vision_start_token_id=shared["vision_start_token_id"],
                vision_end_token_id=shared["vision_end_token_id"],
                audio_start_token_id=ids["<|audio_bos|>"],
                audio_end_token_id=ids["<|audio_eos|>"],
                pad_token_id=ids["<|endoftext|>"],
            )
        )
    else:
        head = hidden // 4
        sections = [head // 2 - 2 * (head // 6), head // 6, head // 6]
        config = Qwen3VLConfig(
            text_config=text
            | {
                "head_dim": head,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": sections},
            },
            vision_config={
                "depth": 2,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_heads": 2,
                "out_hidden_size": hidden,
                "patch_size": 14,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "num_position_embeddings": 64,
                "deepstack_visual_indexes": [0, 1],
            },
            **shared,
        )
        built = Qwen3VLForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3.0)  # larger weights, so that attention is far from uniform and errors cannot hide
    built.generation_config.eos_token_id = ids["<|im_end|>"]
    built.generation_config.pad_token_id = ids["<|endoftext|>"]
    return built


def loaded(architecture: str, folder: Path, dtype: torch.dtype, frozen: bool) -> Any:
    """The model that `saved` wrote, its towers frozen or trained."""
    built = as_thinker(model(architecture).__class__.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa"))
    for tower in towers(backbone_of(built), KINDS).values():
        for parameter in tower.parameters():
            parameter.requires_grad_(not frozen)
    if architecture == "qwen2_5_omni":
        built.audio_tower.audio_bos_eos_token.requires_grad_(False)  # in no sum
    return built


def saved(architecture: str, folder: Path, dtype: torch.dtype = torch.float32, seed: int = 0) -> Path:
    """Write the tiny model to `folder` (the reference model of TRL is loaded from there) and return the folder."""
    model(architecture, seed).to(dtype).save_pretrained(folder)
    return folder


def image(seed: int, width: int = 56, height: int = 56) -> Image.Image:
    """A random picture; 56 px square gives a 4x4 patch grid and four placeholders."""
    pixels = np.random.default_rng(seed).integers(0, 256, size=(height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
