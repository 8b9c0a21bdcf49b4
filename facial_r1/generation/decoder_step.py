"""One token of every sequence, or whole prompts, through a Qwen decoder without the bookkeeping of its `forward`.

The projections, norms and feed-forward parts are the decoder's own modules, adapters included. Models up to `FUSE_BELOW`
parameters get their projections side by side, with the weight of the norm before them multiplied in, for the life of a `DecoderStep`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Models up to this many decoder parameters get their projections concatenated for the time of a call.
FUSE_BELOW = 32_000_000

Linear = Callable[[Tensor], Tensor]


@dataclass
class State:
    """Static buffers of a batch of sequences.

    Attributes:
        keys: Per layer, shape (rows, key-value heads, prompt + new tokens, head size).
        values: Like `keys`.
        visible: Which positions are not padding, shape (rows, prompt + new tokens), or None if all are.
        prompt_ids: Padded prompts, shape (rows, prompt).
        next_position: Rotary position of the next token, shape (rows,).
        hidden: Final hidden state of the last token, shape (rows, hidden).
        length: Filled part of the buffers.
    """

    keys: list[Tensor]
    values: list[Tensor]
    visible: Tensor | None
    prompt_ids: Tensor
    next_position: Tensor
    hidden: Tensor
    length: int

    def drop(self, done: Tensor) -> Tensor:
        """Give up the rows where `done` (rows,) is true. The last rows take their places, so that few are copied.

        Returns:
            Where each row that is left was before, shape (rows left,).
        """
        count = len(done) - int(done.sum())
        holes = done[:count].nonzero().squeeze(1)
        movers = (~done[count:]).nonzero().squeeze(1) + count
        order = torch.arange(count, device=done.device).index_copy(0, holes, movers)
        for buffers in (self.keys, self.values):
            for layer, buffer in enumerate(buffers):
                filled = buffer[:, :, : self.length]
                filled[holes] = filled[movers]
                buffers[layer] = buffer[:count]
        self.visible = None if self.visible is None else self.visible[order]
        self.prompt_ids = self.prompt_ids[order]
        self.next_position = self.next_position[order]
        self.hidden = self.hidden[order]
        return order


class DecoderStep:
    """A decoder that works on the buffers of a `State`.

    Args:
        decoder: A decoder listed in `prefix_decode.SUPPORTED_DECODERS`.
        positions: Number of rotary positions that can occur.
    """

    def __init__(self, decoder: Any, positions: int) -> None:
        config = decoder.config
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._rotary = decoder.rotary_emb
        self._embedding = decoder.embed_tokens.weight
        table = torch.arange(positions, device=self._embedding.device)
        self._cos, self._sin = (part[0] for part in self.rotation(table.expand(3, 1, -1)))
        fuse = small(decoder)
        self.layers = [Layer(layer, fuse) for layer in decoder.layers]
        self.norm = norm(decoder.norm)

    def __call__(self, embedded: Tensor, state: State) -> Tensor:
        """Append one token per row to the buffers of `state` and return the final hidden states (rows, hidden)."""
        place = state.length
        hidden = embedded
        cos = self._cos[state.next_position][:, None]
        sin = self._sin[state.next_position][:, None]
        mask = None if state.visible is None else state.visible[:, None, None, : place + 1]
        for layer, keys, values in zip(self.layers, state.keys, state.values, strict=True):
            query, key, value = self.attention_inputs(layer, hidden, cos, sin)
            keys[:, :, place] = key
            values[:, :, place] = value
            # Query heads that share a key head are the "length" of the query: keys are read once for all of them.
            attended = functional.scaled_dot_product_attention(
                query.unflatten(1, (self.kv_heads, -1)),
                keys[:, :, : place + 1],
                values[:, :, : place + 1],
                attn_mask=mask,
                scale=self.size**-0.5,
            )
            hidden = layer.finish(hidden, attended.flatten(1))
        return self.norm(hidden)

    def rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines of positions (3, rows, length), each of shape (rows, length, head size).

        The sign of the rotated half lies in the sines, so that a step exchanges the halves of a head without negating one.
        """
        cos, sin = self._rotary(self._embedding[:1, None], positions)
        half = cos.shape[-1] // 2
        return cos, torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)

    def attention_inputs(self, layer: Layer, hidden: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries and keys, and values, of tokens (tokens, hidden): shapes (tokens, heads, head size).

        `cos` and `sin` have shape (tokens or 1, 1, head size).
        """
        heads = layer.project(hidden).unflatten(-1, (-1, self.size))
        turning = self.heads + self.kv_heads
        unturned = heads[:, :turning]
        if layer.norm_heads is not None:
            unturned = layer.norm_heads(unturned, self.heads)
        turned = unturned * cos
        half = self.size // 2
        turned[..., :half].addcmul_(unturned[..., half:], sin[..., :half])
        turned[..., half:].addcmul_(unturned[..., :half], sin[..., half:])
        return turned[:, : self.heads], turned[:, self.heads :], heads[:, turning:]


class Layer:
    """The parts of a decoder layer, fused where that is allowed.

    Attributes:
        project: Hidden states (tokens, hidden) to queries, keys and values side by side, norm included.
        norm_heads: The norms of queries and keys, called with both and the number of queries, or None.
    """

    def __init__(self, layer: Any, fuse: bool) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.norm_heads: Callable[[Tensor, int], Tensor] | None = None
        if hasattr(attention, "q_norm"):
            norm_query, norm_key = norm(attention.q_norm), norm(attention.k_norm)
            self.norm_heads = lambda heads, queries: torch.cat(
                [norm_query(heads[:, :queries]), norm_key(heads[:, queries:])], dim=1
            )
        self.project = _after_norm(layer.input_layernorm, [attention.q_proj, attention.k_proj, attention.v_proj], fuse)
        self._add_out = _adding(attention.o_proj, fuse)
        if fuse and plain(mlp.gate_proj, mlp.up_proj):
            self._both: Linear | None = _after_norm(layer.post_attention_layernorm, [mlp.gate_proj, mlp.up_proj], True)
            self._act, self._add_down = mlp.act_fn, _adding(mlp.down_proj, True)
        else:
            self._both, self._mlp, self._norm_between = None, mlp, norm(layer.post_attention_layernorm)

    def finish(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """The layer's output from its input (tokens, hidden) and what its heads attended to (tokens, heads * head size).

        `hidden` may be written over.
        """
        hidden = self._add_out(hidden, attended)
        if self._both is None:
            return hidden + self._mlp(self._norm_between(hidden))
        gate, up = self._both(hidden).chunk(2, dim=-1)
        return self._add_down(hidden, self._act(gate).mul_(up))


def small(decoder: Any) -> bool:
    """Whether copies of a decoder's weights cost less than they save."""
    return sum(parameter.numel() for parameter in decoder.layers.parameters()) <= FUSE_BELOW


def plain(*linears: nn.Module) -> bool:
    """Whether these are linear layers without adapters, and without a forward of their own (`cast_lm_head_to_fp32`)."""
    return all(type(linear) is nn.Linear and "forward" not in vars(linear) for linear in linears)


def joined(linears: list[Any], fuse: bool, scale: Tensor | None = None) -> Linear:
    """A function that applies several linear layers to one input and concatenates their outputs.

    Args:
        linears: Linear layers of one input size.
        fuse: Whether their weights may be copied.
        scale: Numbers (input size,) that the input is multiplied with first; only with `fuse` and plain layers.
    """
    if not (fuse and plain(*linears)):
        return lambda hidden: torch.cat([linear(hidden) for linear in linears], dim=-1)
    weight = torch.cat([linear.weight for linear in linears])
    if scale is not None:
        weight = weight * scale
    # Transposed: with a few rows, reading the weight along its rows took two thirds of the time on one core.
    weight = weight.t().contiguous()
    if linears[0].bias is None:
        return lambda hidden: hidden @ weight
    bias = torch.cat([linear.bias for linear in linears])
    return lambda hidden: torch.addmm(bias, hidden, weight)


def norm(module: Any) -> Linear:
    """An RMS norm as one operation in float32, and as the module computes it in other precisions."""
    if not _in_float32(module.weight):
        return module  # type: ignore[no-any-return]
    shape, weight, epsilon = tuple(module.weight.shape), module.weight, module.variance_epsilon
    return lambda hidden: functional.rms_norm(hidden, shape, weight, epsilon)


def _after_norm(module: Any, linears: list[Any], fuse: bool) -> Linear:
    """An RMS norm followed by linear layers side by side."""
    if not (fuse and plain(*linears) and _in_float32(module.weight)):
        normed, product = norm(module), joined(linears, fuse)
        return lambda hidden: product(normed(hidden))
    size, epsilon = module.weight.numel(), module.variance_epsilon
    product = joined(linears, True, module.weight)
    if module.weight.device.type != "cpu":
        return lambda hidden: product(functional.rms_norm(hidden, (size,), None, epsilon))

    def after(hidden: Tensor) -> Tensor:
        lengths = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        return product(hidden * lengths.square_().mul_(1 / size).add_(epsilon).rsqrt_())

    return after


def _adding(linear: Any, fuse: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """A function of (sum, input) that adds a linear layer of the input to the sum, in place where one product can do it."""
    weight = getattr(linear, "weight", None)
    if not (fuse and plain(linear) and linear.bias is None) or weight is None or not _in_float32(weight):
        return lambda total, hidden: total + linear(hidden)
    turned = weight.t().contiguous()
    return lambda total, hidden: total.addmm_(hidden, turned)


def _in_float32(weight: Tensor) -> bool:
    return weight.dtype == torch.float32 and not torch.is_autocast_enabled(weight.device.type)
