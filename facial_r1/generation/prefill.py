"""Prompts into the buffers of a `State`, with what a prefill on a CPU need not compute left out.

The model's own `forward` computes the last layer for every token of a prompt, of which only the last is read; it computes the
opening of the prompts (template, system message) for every row, though it is the same; and it goes through the whole batch
layer by layer, in arrays that no cache holds. Here the common opening is computed once, the last layer's queries and feed-forward
part for the last token only, and rows in slices of about two thousand tokens.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from facial_r1.generation.decoder_step import DecoderStep, State
from facial_r1.generation.prompt_batch import PromptBatch, rotary_positions

#: Tokens, and patches of images, that are computed together: their activations of a small model stay in a core's cache.
AT_ONCE = 2048


def fits(core: Any, prompts: PromptBatch) -> bool:
    """Whether `prefill` is for this model and these prompts: on a CPU, and no prompt ends with a placeholder."""
    device = core.get_input_embeddings().weight.device
    return device.type == "cpu" and all(ids[-1] != core.config.image_token_id for ids in prompts.ids)


def prefill(core: Any, step: DecoderStep, prompts: PromptBatch, positions: list[Tensor], new_tokens: int, pad: int) -> State:
    """Forward prompts, each once.

    Args:
        core: A Qwen-VL model.
        step: Its decoder.
        prompts: On the model's device.
        positions: Rotary positions of each prompt, as `positions_of` gives them.
        new_tokens: Room to leave for completions.
        pad: Token that fills shorter prompts in `State.prompt_ids`.

    Returns:
        The state after the prompts. Columns hold the common opening, padding, and the rest of each prompt, aligned at its end.
    """
    rows, opening = len(prompts), common_opening(prompts, core.config.image_token_id)
    width = max(len(ids) for ids in prompts.ids) - opening
    ids = torch.full((rows, width), pad)
    real = torch.zeros(rows, width, dtype=torch.bool)
    places = torch.zeros(3, rows, width, dtype=torch.long)
    for row, (prompt, place) in enumerate(zip(prompts.ids, positions, strict=True)):
        start = width - len(prompt) + opening
        ids[row, start:] = torch.tensor(prompt[opening:])
        real[row, start:] = True
        places[:, row, start:] = place[:, opening:]
    cos, sin = step.rotation(places[:, :1] if bool((places == places[:, :1]).all()) else places)
    padded = not bool(real.all())
    capacity = opening + width + new_tokens

    shape = (rows, step.kv_heads, capacity, step.size)
    sample = step.layers[0].project(core.get_input_embeddings()(ids[:1, -1]))
    keys, values = ([sample.new_empty(shape) for _ in step.layers] for _ in range(2))
    if opening:
        _opening(core, step, torch.tensor(prompts.ids[0][:opening]), keys, values)
    shown = _Shown(core, prompts)
    hidden = []
    size = max(1, AT_ONCE // width)
    for start in range(0, rows, size):
        part = slice(start, start + size)
        rotation = (cos, sin) if len(cos) == 1 else (cos[part], sin[part])
        mask = _mask(opening, width, real[part] if padded else None)
        hidden.append(_rest(core, step, ids[part], shown, rotation, mask, [k[part] for k in keys], [v[part] for v in values]))
    visible = None
    if padded:
        visible = torch.ones(rows, capacity, dtype=torch.bool)
        visible[:, opening : opening + width] = real
    first = torch.tensor(prompts.ids[0][:opening], dtype=torch.long).expand(rows, -1)
    return State(
        keys=keys,
        values=values,
        visible=visible,
        prompt_ids=torch.cat([first, ids], dim=1),
        next_position=torch.stack([place.max() + 1 for place in positions]),
        hidden=step.norm(torch.cat(hidden)),
        length=opening + width,
    )


def positions_of(backbone: Any, prompts: PromptBatch) -> list[Tensor]:
    """Rotary positions of each prompt, shape (3, tokens); prompts of one layout are computed once."""
    known: dict[Any, Tensor] = {}
    found = []
    grids = None if prompts.image_grid_thw is None else prompts.image_grid_thw.tolist()
    for ids, images in zip(prompts.ids, prompts.image_index, strict=True):
        shapes = tuple(tuple(grids[image]) for image in images) if grids is not None else ()
        tokens = torch.tensor(ids)
        key = (shapes, (tokens == backbone.config.image_token_id).numpy().tobytes())
        if key not in known:
            known[key] = rotary_positions(backbone, tokens, torch.tensor(shapes) if shapes else None)
        found.append(known[key])
    return found


def common_opening(prompts: PromptBatch, image_token: int) -> int:
    """Tokens with which all prompts begin, before any image, and less than the shortest of them; 0 for a single prompt."""
    if len(prompts) < 2:
        return 0
    columns = zip(*(ids[:-1] for ids in prompts.ids), strict=False)
    return sum(1 for _ in takewhile(lambda column: column[0] != image_token and len(set(column)) == 1, columns))


class _Shown:
    """Features of the images of a batch, handed out in the order of the placeholders."""

    def __init__(self, core: Any, prompts: PromptBatch) -> None:
        self.token = core.config.image_token_id
        self._features: list[list[Tensor]] = []
        self._order = [image for images in prompts.image_index for image in images]
        self._next = 0
        if not self._order or prompts.image_grid_thw is None:
            return
        patches, grids = prompts.patches(), prompts.image_grid_thw
        start = 0
        while start < len(patches):
            stop, count = start + 1, len(patches[start])
            while stop < len(patches) and count + len(patches[stop]) <= AT_ONCE:
                count, stop = count + len(patches[stop]), stop + 1
            first = sum(len(one) for one in patches[:start])
            pixels = prompts.pixel_values
            assert pixels is not None
            found = core.model.get_image_features(pixels[first : first + count], grids[start:stop])
            sizes = [len(one) for one in found.pooler_output]
            deeper = [level.split(sizes) for level in getattr(found, "deepstack_features", None) or []]
            self._features += [[one, *(level[place] for level in deeper)] for place, one in enumerate(found.pooler_output)]
            start = stop

    def take(self, placeholders: int) -> list[Tensor]:
        """The features of the next placeholders: of the embedding, then of each decoder layer that adds some."""
        taken: list[list[Tensor]] = []
        while placeholders > 0:
            one = self._features[self._order[self._next]]
            taken.append(one)
            placeholders -= len(one[0])
            self._next += 1
        if placeholders:
            raise ValueError("a prompt holds another number of placeholders than its images have features")
        return [torch.cat(level) for level in zip(*taken, strict=True)]


def _opening(core: Any, step: DecoderStep, ids: Tensor, keys: list[Tensor], values: list[Tensor]) -> None:
    """Keys and values of tokens (opening,) that all rows begin with."""
    hidden = core.get_input_embeddings()(ids)
    cos, sin = (part[0][:, None] for part in step.rotation(torch.arange(len(ids)).expand(3, 1, -1)))
    for index, layer in enumerate(step.layers):
        query, key, value = step.attention_inputs(layer, hidden, cos, sin)
        keys[index][:, :, : len(ids)] = key.transpose(0, 1)
        values[index][:, :, : len(ids)] = value.transpose(0, 1)
        if index + 1 == len(step.layers):
            return
        attended = functional.scaled_dot_product_attention(
            query.transpose(0, 1)[None],
            key.transpose(0, 1)[None],
            value.transpose(0, 1)[None],
            is_causal=True,
            enable_gqa=True,
            scale=step.size**-0.5,
        )
        hidden = layer.finish(hidden, attended[0].transpose(0, 1).flatten(1))


def _rest(
    core: Any,
    step: DecoderStep,
    ids: Tensor,
    shown: _Shown,
    rotation: tuple[Tensor, Tensor],
    mask: Tensor,
    keys: list[Tensor],
    values: list[Tensor],
) -> Tensor:
    """The tokens (rows, width) after the opening; returns hidden states of the last, before the norm (rows, hidden)."""
    rows, width = ids.shape
    filled = mask.shape[-1]
    hidden = core.get_input_embeddings()(ids.flatten())
    placeholders = (ids.flatten() == shown.token).nonzero().squeeze(1)
    features = shown.take(len(placeholders)) if len(placeholders) else []
    if features:
        hidden[placeholders] = features[0].to(hidden.dtype)
    cos, sin = (part.expand(rows, -1, -1).flatten(0, 1)[:, None] for part in rotation)
    for index, layer in enumerate(step.layers):
        last = index + 1 == len(step.layers)
        query, key, value = (
            part.unflatten(0, (rows, width)).transpose(1, 2) for part in step.attention_inputs(layer, hidden, cos, sin)
        )
        keys[index][:, :, filled - width : filled] = key
        values[index][:, :, filled - width : filled] = value
        if last:
            query, mask, hidden = query[:, :, -1:], mask[..., -1:, :], hidden.unflatten(0, (rows, width))[:, -1]
        attended = functional.scaled_dot_product_attention(
            query,
            keys[index][:, :, :filled],
            values[index][:, :, :filled],
            attn_mask=mask,
            enable_gqa=True,
            scale=step.size**-0.5,
        )
        hidden = layer.finish(hidden, attended.transpose(1, 2).flatten(2).flatten(0, 1))
        if not last and index + 1 < len(features):
            hidden[placeholders] += features[index + 1].to(hidden.dtype)
    return hidden


def _mask(opening: int, width: int, real: Tensor | None) -> Tensor:
    """What the tokens after the opening may attend to, shape (rows or 1, 1, width, opening + width), True where they may.

    Padding attends to itself, so that it stays finite; nothing else attends to it.
    """
    causal = torch.ones(width, opening + width, dtype=torch.bool).tril(opening)
    if real is None:
        return causal[None, None]
    seen = functional.pad(real, (opening, 0), value=True)[:, None, None]
    itself = functional.pad(torch.eye(width, dtype=torch.bool), (opening, 0))
    return causal & seen | itself
