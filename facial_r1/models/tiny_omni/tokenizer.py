"""The tokenizer of the tiny thinker: that of the tiny vision-language model, with Qwen2.5-Omni's special tokens.

The marks around pictures and their placeholders have other names in Qwen2.5-Omni; they keep the ids they have in the tiny
model, and so does every word, so that its decoder can be taken over. Three tokens for sound come after the words.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

from facial_r1.models.tiny import WEIGHTS as TINY_WEIGHTS
from facial_r1.models.tiny import tokenizer as tiny_tokenizer

RENAMED = {
    "<|vision_start|>": "<|vision_bos|>",
    "<|vision_end|>": "<|vision_eos|>",
    "<|image_pad|>": "<|IMAGE|>",
    "<|video_pad|>": "<|VIDEO|>",
}
"""Names in Qwen2.5-VL and in Qwen2.5-Omni."""

SOUND_TOKENS = ("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
"""They take the ids after the tiny model's vocabulary, in this order."""

NAMED_TOKENS = {
    "image_token": "<|IMAGE|>",
    "video_token": "<|VIDEO|>",
    "audio_token": "<|AUDIO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}
"""Attributes of the tokenizer that the library's processor reads."""

VOCABULARY = 1856
"""Rows of the embedding table: the tiny model's and the sound tokens, rounded up to a multiple of 64."""

_IMAGE = (
    "{%- elif part['type'] == 'video' or 'video' in part -%}"
    "{%- set seen.videos = seen.videos + 1 -%}"
    "{{- ('Video ' ~ seen.videos ~ ': ' if add_vision_id else '') ~ '<|vision_bos|><|VIDEO|><|vision_eos|>' -}}"
)
_SOUND = "{%- elif part['type'] == 'audio' or 'audio' in part -%}{{- '<|audio_bos|><|AUDIO|><|audio_eos|>' -}}"


def chat_template() -> str:
    """The tiny model's conversation form with Qwen2.5-Omni's marks, and a placeholder for sound."""
    text = tiny_tokenizer.CHAT_TEMPLATE
    for old, new in RENAMED.items():
        text = text.replace(old, new)
    assert _IMAGE in text, "the branch for sound goes after the one for clips"
    return text.replace(_IMAGE, _IMAGE + _SOUND)


def special_ids() -> dict[str, int]:
    """Give the id of each special token."""
    ids = {RENAMED.get(token, token): index for token, index in tiny_tokenizer.special_ids().items()}
    return ids | {token: tiny_tokenizer.VOCABULARY + place for place, token in enumerate(SOUND_TOKENS)}


def derive(folder: Path = TINY_WEIGHTS) -> PreTrainedTokenizerFast:
    """Make the tokenizer from the tiny model's, which lies in `folder`."""
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    for old, new in RENAMED.items():
        text = text.replace(json.dumps(old), json.dumps(new))
    core = Tokenizer.from_str(text)
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SOUND_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={"im_start_token": "<|im_start|>", **NAMED_TOKENS},
        padding_side="left",
        truncation_side="left",
        model_max_length=tiny_tokenizer.MAX_LENGTH,
        clean_up_tokenization_spaces=False,
        chat_template=chat_template(),
    )


def load(folder: Path | None = None) -> PreTrainedTokenizerFast:
    """Load the shipped tokenizer, or one from another folder."""
    from facial_r1.models.tiny_omni import WEIGHTS

    return PreTrainedTokenizerFast.from_pretrained(folder or WEIGHTS)
