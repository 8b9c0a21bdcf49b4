r"""The prompt of a group is forwarded once and its completions branch from it, in one ordinary forward.

Layout. All groups of a micro-batch lie in one row without any padding. A prompt p_1..p_P with completions c^1..c^n of
lengths k_1..k_n becomes

    p_1 ... p_(P-1) | p_P c^1_1 ... c^1_(k_1 - 1) | ... | p_P c^n_1 ... c^n_(k_n - 1)

The prompt is kept without its last token; each branch begins with a copy of that token, whose output scores the first
token of the completion. A branch sees the prompt and its own past; positions continue after the prompt, so every token
has the same inputs, positions and visible keys as in a row of its own, and the result differs by rounding only.

Attention is computed block by block with `scaled_dot_product_attention`: prompts causally, branches over the keys of
their prompt and their own. No masked block is computed and no (length x length) mask exists. It is an attention
function registered with transformers, hence inside the decoder layer, where gradient checkpointing recomputes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

#: Decoders whose layers pass unknown keyword arguments on to the attention function.
SUPPORTED_DECODERS = ("Qwen2_5_VLTextModel", "Qwen3VLTextModel", "Qwen2_5OmniThinkerTextModel")
_PREFIX = "shared_prompt_over_"


@dataclass(frozen=True)
class Group:
    """A prompt and those of its completions that are in the micro-batch.

    Attributes:
        prompt: Token ids, shape (P,).
        positions: Rotary positions (time, height, width) of the prompt, shape (3, P).
        completions: Token ids of each completion without padding, at least one token each.
        rows: Row of the micro-batch that each completion came from.
        images: What the prompt shows, as indices into the media store.
    """

    prompt: Tensor
    positions: Tensor
    completions: list[Tensor]
    rows: list[int]
    images: tuple[int, ...] = ()


@dataclass(frozen=True)
class Bucket:
    """Groups whose prompts have one length, so that their attention needs no padding mask.

    Attributes:
        prompts: Number of prompts.
        prefix: Length of each prompt without its last token.
        start: Where the first prompt begins in the packed row.
        owner: Prompt of each branch, shape (branches,).
        gather: Packed position of each branch token, branches padded to the longest; shape (branches * longest,).
        keep: Which entries of `gather` are real, as indices; the others repeat a token and are dropped.
        longest: Length of the longest branch.
    """

    prompts: int
    prefix: int
    start: int
    owner: Tensor
    gather: Tensor
    keep: Tensor
    longest: int


@dataclass(frozen=True)
class PackedGroups:
    """One row that holds all groups of a micro-batch.

    Attributes:
        input_ids: Shape (1, L).
        positions: Shape (3, 1, L).
        scored: Positions of the branch tokens in the row, shape (T,).
        targets: The completion token that each branch token has to predict, shape (1, T).
        spans: For each completion its row in the micro-batch, its offset among the branch tokens and its length.
        buckets: The attention blocks, covering the row from left to right.
        images: What each placeholder group shows, in the order of the row.
    """

    input_ids: Tensor
    positions: Tensor
    scored: Tensor
    targets: Tensor
    spans: list[tuple[int, int, int]]
    buckets: list[Bucket]
    images: tuple[int, ...]


def pack(groups: Sequence[Group]) -> PackedGroups:
    """Lay out groups in one row, those with prompts of the same length next to each other."""
    device = groups[0].prompt.device
    by_length: dict[int, list[Group]] = {}
    for group in groups:
        by_length.setdefault(len(group.prompt), []).append(group)

    ids: list[Tensor] = []
    positions: list[Tensor] = []
    targets: list[Tensor] = []
    scored: list[Tensor] = []
    spans: list[tuple[int, int, int]] = []
    buckets: list[Bucket] = []
    images: list[int] = []
    offset = tokens = 0
    for length, members in sorted(by_length.items()):
        start = offset
        for group in members:
            ids.append(group.prompt[:-1])
            positions.append(group.positions[:, :-1])
            images.extend(group.images)
        offset += len(members) * (length - 1)
        first_branch = offset
        owner: list[int] = []
        lengths: list[int] = []
        for place, group in enumerate(members):
            for row, completion in zip(group.rows, group.completions, strict=True):
                size = len(completion)
                ids += [group.prompt[-1:], completion[:-1]]
                positions.append(group.positions[:, -1:] + torch.arange(size, device=device))
                targets.append(completion)
                spans.append((row, tokens, size))
                owner.append(place)
                lengths.append(size)
                tokens += size
                offset += size
        scored.append(torch.arange(first_branch, offset, device=device))
        gather, keep = _padded_index(lengths, device)
        buckets.append(
            Bucket(
                prompts=len(members),
                prefix=length - 1,
                start=start,
                owner=torch.tensor(owner, device=device),
                gather=gather + first_branch,
                keep=keep,
                longest=max(lengths),
            )
        )
    return PackedGroups(
        input_ids=torch.cat(ids)[None],
        positions=torch.cat(positions, dim=1)[:, None],
        scored=torch.cat(scored),
        targets=torch.cat(targets)[None],
        spans=spans,
        buckets=buckets,
        images=tuple(images),
    )


def _padded_index(lengths: list[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Indices that pad consecutive segments to the longest, and the places of the real entries among them."""
    sizes = torch.tensor(lengths, device=device)
    starts = sizes.cumsum(0) - sizes
    steps = torch.arange(max(lengths), device=device)
    gather = starts[:, None] + steps.clamp(max=sizes[:, None] - 1)
    return gather.flatten(), (steps < sizes[:, None]).flatten().nonzero().squeeze(1)


def block_attention(query: Tensor, key: Tensor, value: Tensor, buckets: Sequence[Bucket], scale: float) -> Tensor:
    """Attention of a packed row.

    Args:
        query: Shape (1, heads, L, size).
        key: Shape (1, key-value heads, L, size).
        value: Shape (1, key-value heads, L, size).
        buckets: The blocks of the row.
        scale: Factor of the dot products.

    Returns:
        Shape (1, L, heads, size).
    """
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    shared = query.shape[1] // key.shape[1]
    size = query.shape[2]
    pieces = []
    for bucket in buckets:
        prefix = slice(bucket.start, bucket.start + bucket.prompts * bucket.prefix)
        shape = (bucket.prompts, bucket.prefix)
        prompt_key, prompt_value = (tensor[prefix].unflatten(0, shape) for tensor in (key, value))
        if bucket.prefix:
            prompt_query = query[prefix].unflatten(0, shape).transpose(1, 2)
            attended = functional.scaled_dot_product_attention(
                prompt_query,
                prompt_key.transpose(1, 2).repeat_interleave(shared, dim=1),
                prompt_value.transpose(1, 2).repeat_interleave(shared, dim=1),
                is_causal=True,
                scale=scale,
            )
            pieces.append(attended.transpose(1, 2).flatten(0, 1))

        branches = len(bucket.owner)
        longest = bucket.longest
        branch_query, branch_key, branch_value = (
            tensor.index_select(0, bucket.gather).unflatten(0, (branches, longest)) for tensor in (query, key, value)
        )
        keys = torch.cat([prompt_key.index_select(0, bucket.owner), branch_key], dim=1).transpose(1, 2)
        values = torch.cat([prompt_value.index_select(0, bucket.owner), branch_value], dim=1).transpose(1, 2)
        # Query heads that share a key head are laid out as further queries, so that keys need not be copied.
        folded = branch_query.unflatten(2, (-1, shared)).permute(0, 2, 3, 1, 4).flatten(2, 3)
        visible = torch.ones(longest, bucket.prefix + longest, dtype=torch.bool, device=query.device)
        visible = visible.tril(diagonal=bucket.prefix).repeat(shared, 1)
        attended = functional.scaled_dot_product_attention(folded, keys, values, attn_mask=visible, scale=scale)
        attended = attended.unflatten(2, (shared, longest)).permute(0, 3, 1, 2, 4).reshape(-1, query.shape[1], size)
        pieces.append(attended.index_select(0, bucket.keep))
    return torch.cat(pieces)[None]


def _attention(underlying: str) -> Any:
    """An attention function that handles packed rows itself and everything else as `underlying` does."""

    def attend(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        packed_buckets: Sequence[Bucket] | None = None,
        vision_plan: object = None,
        scaling: float | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        if packed_buckets is None:
            return ALL_ATTENTION_FUNCTIONS[underlying](module, query, key, value, attention_mask, scaling=scaling, **kwargs)
        scale = scaling if scaling is not None else query.shape[-1] ** -0.5
        return block_attention(query, key, value, packed_buckets, scale), None

    return attend


def unsupported_reason(decoder: Any) -> str | None:
    """Why a decoder cannot take packed rows, or None if it can."""
    if type(decoder).__name__ not in SUPPORTED_DECODERS:
        return f"architecture {type(decoder).__name__} (supported: {', '.join(SUPPORTED_DECODERS)})"
    if getattr(decoder, "has_sliding_layers", False):
        return "sliding-window attention layers"
    if getattr(decoder.config, "attention_dropout", 0.0):
        return "attention dropout"
    if "flash" in (decoder.config._attn_implementation or ""):
        return f"attention {decoder.config._attn_implementation}; use sdpa, which calls flash kernels where it can"
    if decoder.config._attn_implementation not in ("sdpa", "flex_attention"):
        return f"attention {decoder.config._attn_implementation}; use sdpa"
    return None


def install(decoder: Any) -> None:
    """Teach a decoder's attention to follow `packed_buckets`; other calls keep its own implementation."""
    underlying = decoder.config._attn_implementation
    if underlying.startswith(_PREFIX):
        return
    name = _PREFIX + underlying
    AttentionInterface.register(name, _attention(underlying))
    ALL_MASK_ATTENTION_FUNCTIONS.register(name, ALL_MASK_ATTENTION_FUNCTIONS[underlying])
    decoder.config._attn_implementation = name


class ScoredPositions:
    """Context in which a decoder's final norm keeps only some positions of the row.

    TRL's fused head projects every position on devices without Triton; prompts are not scored, so their hidden states
    end here.
    """

    def __init__(self, final_norm: nn.Module, positions: Tensor) -> None:
        self._norm, self._positions = final_norm, positions

    def __enter__(self) -> None:
        self._handle = self._norm.register_forward_pre_hook(lambda _, arguments: (arguments[0].index_select(1, self._positions),))

    def __exit__(self, *_: object) -> None:
        self._handle.remove()
