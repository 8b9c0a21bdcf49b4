"""The tiny model's tokenizer: byte-level BPE trained on our own sentences, with Qwen's special tokens.

The split before the merges is coarser than Qwen's: a piece may hold up to three words, a tag, or a code in brackets,
so that a frequent phrase costs two or three tokens and a whole answer about thirty, which is what the time of a training
step on a CPU depends on. Tags such as ``<think>`` are ordinary text, as they are for the published checkpoints: no
special token, spelled out by ``decode`` whatever is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY = 1792
"""Rows of the embedding table; a multiple of 64. The tokenizer itself may stop short of it."""

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""Qwen's special tokens; they take the first ids, in this order."""

MAX_LENGTH = 2048

SPLIT = (
    r"</?\p{L}+>"  # a tag
    r"| ?\(\p{L}+\p{N}*\)\.?"  # a code in brackets, with the full stop after it
    r"| ?\p{L}+(?: \p{L}+){0,2}\p{N}{0,2}"  # up to three words, the last one with up to two digits
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}<]+"
    r"|<"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{%- set seen = namespace(images=0, videos=0) -%}"
    "{%- for message in messages -%}"
    "{%- if loop.first and message['role'] != 'system' -%}"
    "{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' -}}"
    "{%- endif -%}"
    "{{- '<|im_start|>' + message['role'] + '\n' -}}"
    "{%- if message['content'] is string -%}"
    "{{- message['content'] -}}"
    "{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] in ('image', 'image_url') or 'image' in part or 'image_url' in part -%}"
    "{%- set seen.images = seen.images + 1 -%}"
    "{{- ('Picture ' ~ seen.images ~ ': ' if add_vision_id else '') ~ '<|vision_start|><|image_pad|><|vision_end|>' -}}"
    "{%- elif part['type'] == 'video' or 'video' in part -%}"
    "{%- set seen.videos = seen.videos + 1 -%}"
    "{{- ('Video ' ~ seen.videos ~ ': ' if add_vision_id else '') ~ '<|vision_start|><|video_pad|><|vision_end|>' -}}"
    "{%- elif 'text' in part -%}"
    "{{- part['text'] -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{{- '<|im_end|>\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
"""Qwen2.5-VL's conversation form, in our own words.

A default system turn opens the conversation when it has none; a part of a message that is an image (or a video)
becomes one placeholder between the vision marks; ``add_vision_id`` numbers them.
"""


def special_ids() -> dict[str, int]:
    """Give the id of each special token."""
    return {token: index for index, token in enumerate(SPECIAL_TOKENS)}


def train(corpus: Iterable[str]) -> PreTrainedTokenizerFast:
    """Train the tokenizer. The same corpus in the same order gives the same tokenizer.

    Args:
        corpus: Sentences; how often a sentence is repeated is its weight.
    """
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=2,
        show_progress=False,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    core.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=[token for token in SPECIAL_TOKENS if token not in ("<|im_end|>", "<|endoftext|>")],
        padding_side="left",
        truncation_side="left",
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def load(folder: Path | None = None) -> PreTrainedTokenizerFast:
    """Load the shipped tokenizer, or one from another folder."""
    from facial_r1.models.tiny import WEIGHTS

    return PreTrainedTokenizerFast.from_pretrained(folder or WEIGHTS)
