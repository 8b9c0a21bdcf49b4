"""The towers of Qwen-VL and Qwen2.5-Omni with less waiting: the same products and sums, in fewer and larger calls.

Two things in transformers' towers cost more than their arithmetic. Patches are embedded by a three-dimensional convolution
whose stride is its kernel, which is a matrix product, and ten times as slow as one on a CPU. And without FlashAttention each
window of each image is attended to in a call of its own (a batch of 64 images at 448 pixels: 1,024 calls a layer), and so is each
two seconds of a sound; windows of one length are a batch.

Weights keep their names and modules their places, so that checkpoints, adapters, hooks of DeepSpeed and gradient checkpointing
see nothing. Results differ from transformers' by rounding only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.models.qwen2_5_omni import modeling_qwen2_5_omni as qwen2_5_omni
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen2_5_vl
from transformers.models.qwen3_vl import modeling_qwen3_vl as qwen3_vl


class PatchProjection(nn.Conv3d):
    """A convolution over single patches as a matrix product; anything else is left to the convolution."""

    def forward(self, input: Tensor) -> Tensor:
        """Shape (patches, channels, frames, height, width), each patch as large as the kernel, to (patches, features, 1, 1, 1)."""
        if tuple(input.shape[2:]) != self.kernel_size or self.padding != (0, 0, 0) or self.groups != 1:
            return super().forward(input)
        return functional.linear(input.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None, None]


class _Windows(nn.Module):
    """Attention within windows of a tower, windows of equal length in one call."""

    def forward(
        self,
        hidden_states: Tensor,
        cu_seqlens: Tensor,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        max_seqlen: int | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """See transformers. `hidden_states` has shape (patches, hidden), `cu_seqlens` (windows + 1,) holds the windows' bounds."""
        own: Any = self
        lengths = (cu_seqlens[1:] - cu_seqlens[:-1]).tolist()
        if own.config._attn_implementation != "sdpa" or len(lengths) < 2:
            positions = {} if position_embeddings is None else {"position_embeddings": position_embeddings}
            return super().forward(  # type: ignore[no-any-return,misc]
                hidden_states, cu_seqlens=cu_seqlens, max_seqlen=max_seqlen, **positions, **kwargs
            )
        query, key, value = self.projected(own, hidden_states)
        if position_embeddings is not None and _inference(hidden_states):
            query, key = (_rotated(part, *position_embeddings) for part in (query, key))
        elif position_embeddings is not None:
            query, key = self.rotate(query, key, *position_embeddings)
        dropout = own.attention_dropout if own.training else 0.0

        def attend(rows: Any, length: int) -> Tensor:
            q, k, v = (part[rows].unflatten(0, (-1, length)).transpose(1, 2) for part in (query, key, value))
            found = functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=own.scaling)
            return found.transpose(1, 2).flatten(0, 1)

        if len(set(lengths)) == 1:
            attended = attend(slice(None), lengths[0])
        else:
            known = torch.tensor(lengths, device=query.device)
            length_of = known.repeat_interleave(known)
            places = {length: (length_of == length).nonzero().squeeze(1) for length in dict.fromkeys(lengths)}
            order = torch.cat(list(places.values())).argsort()
            attended = torch.cat([attend(rows, length) for length, rows in places.items()])[order]
        return getattr(own, self.out)(attended.flatten(1))  # type: ignore[no-any-return]

    rotate: Any
    projected: Any
    out = "proj"


def _fused(own: Any, states: Tensor) -> tuple[Tensor, ...]:
    """Queries, keys and values of one layer, each (patches, heads, size)."""
    return own.qkv(states).unflatten(-1, (3, own.num_heads, -1)).unbind(1)  # type: ignore[no-any-return]


def _apart(*names: str) -> Any:
    """Queries, keys and values of layers of these names."""

    def projected(own: Any, states: Tensor) -> tuple[Tensor, ...]:
        return tuple(getattr(own, name)(states).unflatten(-1, (own.num_heads, -1)) for name in names)

    return projected


def _inference(hidden: Tensor) -> bool:
    """Whether results may be written over: nobody needs gradients, and nothing is rounded on the way. For CPUs, where memory
    traffic is what these operations cost; elsewhere kernels are fused by others."""
    return hidden.device.type == "cpu" and hidden.dtype == torch.float32 and not torch.is_grad_enabled()


def _rotated(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of heads (patches, heads, size); cosines and sines have shape (patches, size)."""
    cos, sin = cos[:, None], sin[:, None]
    half = heads.shape[-1] // 2
    turned = heads * cos
    turned[..., :half].addcmul_(heads[..., half:], sin[..., :half], value=-1)
    turned[..., half:].addcmul_(heads[..., :half], sin[..., half:])
    return turned


class QuickNorm(qwen2_5_vl.Qwen2_5_VLRMSNorm):
    """An RMS norm in half the passes over memory."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Shape (..., hidden) to the same."""
        if not _inference(hidden_states) or torch.is_autocast_enabled("cpu"):
            return super().forward(hidden_states)  # type: ignore[no-any-return]
        lengths = torch.linalg.vector_norm(hidden_states, dim=-1, keepdim=True)
        scales = lengths.square_().mul_(1 / hidden_states.shape[-1]).add_(self.variance_epsilon).rsqrt_()
        return (hidden_states * scales).mul_(self.weight)


class QuickMLP(qwen2_5_vl.Qwen2_5_VLMLP):
    """A gated feed-forward part that multiplies in place."""

    def forward(self, hidden_state: Tensor) -> Tensor:
        """Shape (..., hidden) to the same."""
        if not _inference(hidden_state):
            return super().forward(hidden_state)  # type: ignore[no-any-return]
        return self.down_proj(self.act_fn(self.gate_proj(hidden_state)).mul_(self.up_proj(hidden_state)))  # type: ignore[no-any-return]


class Qwen25Windows(_Windows, qwen2_5_vl.Qwen2_5_VLVisionAttention):
    """Window attention of Qwen2.5-VL."""

    projected = staticmethod(_fused)
    rotate = staticmethod(qwen2_5_vl.apply_rotary_pos_emb_vision)


class Qwen3Windows(_Windows, qwen3_vl.Qwen3VLVisionAttention):
    """Attention of Qwen3-VL's tower, where a window is an image."""

    projected = staticmethod(_fused)
    rotate = staticmethod(qwen3_vl.apply_rotary_pos_emb_vision)


class OmniWindows(_Windows, qwen2_5_omni.Qwen2_5OmniVisionAttention):
    """Window attention of Qwen2.5-Omni's vision tower."""

    projected = staticmethod(_apart("q", "k", "v"))
    rotate = staticmethod(qwen2_5_omni.apply_rotary_pos_emb_vision)


class OmniSounds(_Windows, qwen2_5_omni.Qwen2_5OmniAudioAttention):  # type: ignore[misc]
    """Attention of Qwen2.5-Omni's audio tower, where a window is two seconds of a sound."""

    projected = staticmethod(_apart("q_proj", "k_proj", "v_proj"))
    out = "out_proj"


_WINDOWS: dict[type[nn.Module], type[nn.Module]] = {
    qwen2_5_omni.Qwen2_5OmniVisionAttention: OmniWindows,
    qwen2_5_omni.Qwen2_5OmniAudioAttention: OmniSounds,
    qwen2_5_vl.Qwen2_5_VLVisionAttention: Qwen25Windows,
    qwen3_vl.Qwen3VLVisionAttention: Qwen3Windows,
}
_IN_TOWERS: dict[type[nn.Module], type[nn.Module]] = {
    qwen2_5_vl.Qwen2_5_VLRMSNorm: QuickNorm,
    qwen2_5_vl.Qwen2_5_VLMLP: QuickMLP,
}
_TOWERS = (qwen2_5_vl.Qwen2_5_VisionTransformerPretrainedModel,)
_EMBEDDINGS = (
    qwen2_5_omni.Qwen2_5_VisionPatchEmbed,
    qwen2_5_vl.Qwen2_5_VisionPatchEmbed,
    qwen3_vl.Qwen3VLVisionPatchEmbed,
)


def quicken(model: PreTrainedModel) -> int:
    """Let the towers of a model compute as described above; returns how many of its modules do (0 for other architectures)."""
    count = 0
    inside = {part for module in model.modules() if isinstance(module, _TOWERS) for part in module.modules()}
    for module in model.modules():
        if type(module) in _WINDOWS:
            module.__class__ = _WINDOWS[type(module)]
        elif type(module) in _IN_TOWERS and module in inside:
            module.__class__ = _IN_TOWERS[type(module)]
        elif type(module) in _EMBEDDINGS and type(module.proj) is nn.Conv3d:
            module.proj.__class__ = PatchProjection
        else:
            continue
        count += 1
    return count
