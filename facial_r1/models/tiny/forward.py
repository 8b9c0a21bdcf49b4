"""The same network, written for one grid: what `Qwen2_5_VLForConditionalGeneration` computes when every image is a face.

The library's vision tower walks the images of a batch one by one and repeats each frame in time before a 3-D
convolution. For pre-training, where every image has the same grid and every row the same prompt, both can be folded
away: attention runs over the batch at once, and the two time slices of the patch kernel are added up. The parameters are the
model's own, so gradients land where they belong; a test holds both forwards to equal outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Qwen2_5_VLForConditionalGeneration

from facial_r1.models.tiny.architecture import MERGE, PATCH, SIDE, VISUAL_TOKENS

GRID = SIDE // PATCH
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
_EPSILON = 1e-6


def patches(pixels: Tensor) -> Tensor:
    """Normalise faces and cut them into patches in the processor's order.

    Args:
        pixels: ``(batch, 112, 112, 3)``, uint8.

    Returns:
        ``(batch, 64, 588)``, float32: channels first within a patch, the four patches of a merged token in a row.
    """
    mean = 255 * torch.tensor(_MEAN)
    std = 255 * torch.tensor(_STD)
    cells = GRID // MERGE
    tiled = pixels.view(-1, cells, MERGE, PATCH, cells, MERGE, PATCH, 3).permute(0, 1, 4, 2, 5, 7, 3, 6)
    values = tiled.float().sub(mean.view(3, 1, 1)).div(std.view(3, 1, 1))
    return values.reshape(len(pixels), GRID * GRID, -1)


def _rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = states.chunk(2, dim=-1)
    return states * cos + torch.cat((-right, left), dim=-1) * sin


def _norm(states: Tensor, weight: Tensor, epsilon: float = _EPSILON) -> Tensor:
    return functional.rms_norm(states, weight.shape, weight, epsilon)


class FaceForward:
    """Batched forward of one model over faces that share a prompt.

    Args:
        model: A model of the tiny architecture, float32.
    """

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration) -> None:
        self.model = model
        visual = model.model.visual
        rows, columns = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
        cells = GRID // MERGE
        order = torch.arange(GRID * GRID).view(cells, MERGE, cells, MERGE).transpose(1, 2).flatten()
        positions = torch.stack((rows.flatten()[order], columns.flatten()[order]), dim=1)
        cos, sin = visual.rotary_pos_emb(torch.zeros(1), positions)
        self._vision_rope = cos.unsqueeze(0), sin.unsqueeze(0)
        self._heads = visual.config.num_heads

    def vision(self, values: Tensor) -> Tensor:
        """Give the merged visual tokens, ``(batch, 16, hidden)``, of patches ``(batch, 64, 588)``."""
        visual = self.model.model.visual
        kernel = visual.patch_embed.proj.weight.sum(dim=2).flatten(1)
        states = functional.linear(values, kernel)
        batch, length, width = states.shape
        cos, sin = self._vision_rope
        for block in visual.blocks:
            normed = _norm(states, block.norm1.weight)
            query, key, value = block.attn.qkv(normed).view(batch, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            query, key = _rotate(query, cos, sin), _rotate(key, cos, sin)
            mixed = functional.scaled_dot_product_attention(query, key, value)
            states = states + block.attn.proj(mixed.transpose(1, 2).reshape(batch, length, width))
            normed = _norm(states, block.norm2.weight)
            mlp = block.mlp
            states = states + mlp.down_proj(functional.silu(mlp.gate_proj(normed)) * mlp.up_proj(normed))
        merger = visual.merger
        normed = _norm(states, merger.ln_q.weight)
        return merger.mlp(normed.view(batch, length // MERGE**2, -1))

    def rope(self, prompt: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Give cosine and sine of the multimodal positions of a prompt with one image, continued up to ``length``.

        Args:
            prompt: ``(prompt_length,)`` token ids with one run of image placeholders.
            length: Tokens of prompt and completion together.
        """
        language = self.model.model.language_model
        start = int((prompt == self.model.config.image_token_id).nonzero()[0])
        side = GRID // MERGE
        text = torch.arange(length).expand(3, -1).clone()
        rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        stop = start + VISUAL_TOKENS
        text[:, start:stop] = start + torch.stack((torch.zeros(VISUAL_TOKENS), rows.flatten(), columns.flatten())).long()
        text[:, stop:] = torch.arange(length - stop) + start + side
        return language.rotary_emb(torch.zeros(1), text.unsqueeze(1))

    def hidden(self, visual_tokens: Tensor, ids: Tensor, rope: tuple[Tensor, Tensor], start: int) -> Tensor:
        """Give the decoder's last hidden states.

        Args:
            visual_tokens: ``(batch, 16, hidden)``.
            ids: ``(batch, length)``; placeholders at ``start`` to ``start + 16`` in every row.
            rope: From `rope` for the same length.
            start: Index of the first placeholder.

        Returns:
            ``(batch, length, hidden)``, normalised, ready for the output layer.
        """
        language = self.model.model.language_model
        embedded = language.embed_tokens(ids)
        states = torch.cat((embedded[:, :start], visual_tokens, embedded[:, start + VISUAL_TOKENS :]), dim=1)
        batch, length, width = states.shape
        cos, sin = (table.unsqueeze(1) for table in rope)
        for layer in language.layers:
            attention = layer.self_attn
            normed = _norm(states, layer.input_layernorm.weight, layer.input_layernorm.variance_epsilon)
            query = attention.q_proj(normed).view(batch, length, -1, attention.head_dim).transpose(1, 2)
            key = attention.k_proj(normed).view(batch, length, -1, attention.head_dim).transpose(1, 2)
            value = attention.v_proj(normed).view(batch, length, -1, attention.head_dim).transpose(1, 2)
            query, key = _rotate(query, cos, sin), _rotate(key, cos, sin)
            groups = query.shape[1] // key.shape[1]
            mixed = functional.scaled_dot_product_attention(
                query, key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1), is_causal=True
            )
            states = states + attention.o_proj(mixed.transpose(1, 2).reshape(batch, length, width))
            normed = _norm(states, layer.post_attention_layernorm.weight, layer.post_attention_layernorm.variance_epsilon)
            mlp = layer.mlp
            states = states + mlp.down_proj(functional.silu(mlp.gate_proj(normed)) * mlp.up_proj(normed))
        return _norm(states, language.norm.weight, language.norm.variance_epsilon)
