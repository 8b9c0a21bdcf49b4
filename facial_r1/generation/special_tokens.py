"""Tokens with a meaning of their own: those that end an answer, and those that must never be in one."""

from __future__ import annotations

from typing import Any

PLACEHOLDERS = (
    "<|image_pad|>",
    "<|video_pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<IMG_CONTEXT>",
    "<|IMAGE|>",
    "<|VIDEO|>",
    "<|AUDIO|>",
    "<|vision_bos|>",
    "<|vision_eos|>",
    "<|audio_bos|>",
    "<|audio_eos|>",
)
"""A sampled placeholder would ask the next forward pass for pictures or sounds that are not there."""


def end_tokens(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Ids of the tokens that end an answer, sorted: the tokenizer's own and those of the model's generation settings."""
    named = model.generation_config.eos_token_id
    others = named if isinstance(named, list) else [] if named is None else [named]
    return tuple(sorted({tokenizer.eos_token_id, *others}))


def placeholder_tokens(tokenizer: Any) -> tuple[int, ...]:
    """Ids of the placeholders that the tokenizer knows, sorted."""
    known = tokenizer.get_vocab()
    return tuple(sorted(known[name] for name in PLACEHOLDERS if name in known))
