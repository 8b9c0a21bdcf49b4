"""Prompts into the buffers of a `State`, with what a prefill on a CPU need not compute left out.

The model's own `forward` computes the last layer for every token of a prompt, of which only the last is read; it computes the
opening of the prompts (template, system message) for every row, though it is the same; and it goes through the whole batch
layer by layer, in arrays that no cache holds. Here the common opening is computed once, the last layer's queries and feed-forward
part for the last token only, and rows in slices of about two thousand tokens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from itertools import accumulate, takewhile
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from facial_r1.generation.decoder_step import DecoderStep, State
from facial_r1.generation.prompt_batch import PromptBatch
from facial_r1.models.media import Item, Kind, forward_arguments
from facial_r1.models.positions import rotary_positions, rule_of
from facial_r1.models.thinker import backbone_of

#: Tokens, patches of pictures and clips, and frames of sounds that are computed together: their activations of a small model stay in a core's cache.
AT_ONCE = 2048


def fits(core: Any, prompts: PromptBatch) -> bool:
    """Whether `prefill` is for this model and these prompts: on a CPU, and no prompt ends with a placeholder."""
    device = core.get_input_embeddings().weight.device
    tokens = placeholders(core.config).values()
    return device.type == "cpu" and all(ids[-1] not in tokens for ids in prompts.ids)


def placeholders(config: Any) -> dict[Kind, int]:
    """The token that stands for what is shown, of each kind that a model with this configuration can be shown."""
    rule = rule_of(config)
    tokens: dict[Kind, int | None] = {"image": rule.image, "video": rule.video, "audio": rule.audio}
    return {kind: token for kind, token in tokens.items() if token is not None}


def prefill(core: Any, step: DecoderStep, prompts: PromptBatch, positions: list[Tensor], new_tokens: int, pad: int) -> State:
    """Forward prompts, each once.

    Args:
        core: A Qwen-VL model or Qwen2.5-Omni's thinker.
        step: Its decoder.
        prompts: On the model's device.
        positions: Rotary positions of each prompt, as `positions_of` gives them.
        new_tokens: Room to leave for completions.
        pad: Token that fills shorter prompts in `State.prompt_ids`.

    Returns:
        The state after the prompts. Columns hold the common opening, padding, and the rest of each prompt, aligned at its end.
    """
    rows, opening = len(prompts), common_opening(prompts, placeholders(core.config).values())
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
        _opening(core, step, torch.tensor(prompts.ids[0][:opening]), positions[0][:, :opening], keys, values)
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


def positions_of(config: Any, prompts: PromptBatch) -> list[Tensor]:
    """Rotary positions of each prompt, shape (3, tokens); prompts of one layout are computed once.

    Args:
        config: Of the model or its backbone.
        prompts: On the CPU.
    """
    rule = rule_of(config)
    marks = torch.tensor([*placeholders(config).values(), *([] if rule.audio_start is None else [rule.audio_start])])
    known: dict[Any, Tensor] = {}
    found = []
    for row, ids in enumerate(prompts.ids):
        items = prompts.items_of(row)
        tokens = torch.tensor(ids)
        layout = torch.where(torch.isin(tokens, marks), tokens, -1).numpy().tobytes()
        key = (layout, tuple((item.kind, _grid(item), item.seconds, item.values.shape[-1]) for item in items))
        if key not in known:
            known[key] = rotary_positions(rule, tokens, items)
        found.append(known[key])
    return found


def _grid(item: Item) -> tuple[int, ...] | None:
    return None if item.grid is None else tuple(item.grid.tolist())


def common_opening(prompts: PromptBatch, tokens: Collection[int]) -> int:
    """Tokens with which all prompts begin, before any placeholder, and less than the shortest of them; 0 for a single prompt."""
    if len(prompts) < 2:
        return 0
    columns = zip(*(ids[:-1] for ids in prompts.ids), strict=False)
    return sum(1 for _ in takewhile(lambda column: column[0] not in tokens and len(set(column)) == 1, columns))


class _Shown:
    """Features of what a batch shows, handed out kind by kind in the order of the placeholders."""

    def __init__(self, core: Any, prompts: PromptBatch) -> None:
        self.tokens = placeholders(core.config)
        backbone = backbone_of(core)
        features: dict[int, list[Tensor]] = {}
        self._left: dict[Kind, deque[list[Tensor]]] = {}
        for kind in self.tokens:
            own = [index for index, item in enumerate(prompts.items) if item.kind == kind]
            while own:
                sizes = accumulate(_length(prompts.items[index]) for index in own)
                together = max(1, sum(1 for size in sizes if size <= AT_ONCE))
                features.update(_features(backbone, kind, prompts, own[:together]))
                own = own[together:]
            order = [index for row in prompts.shown for index in row if prompts.items[index].kind == kind]
            self._left[kind] = deque(features[index] for index in order)

    def take(self, kind: Kind, count: int) -> list[Tensor]:
        """The features of the next placeholders of a kind: of the embedding, then of each decoder layer that adds some."""
        taken: list[list[Tensor]] = []
        while count > 0 and self._left[kind]:
            taken.append(self._left[kind].popleft())
            count -= len(taken[-1][0])
        if count:
            raise ValueError(f"a prompt holds another number of placeholders ({kind}) than there are features of what it shows")
        return [torch.cat(level) for level in zip(*taken, strict=True)]


def _length(item: Item) -> int:
    """Patches of a picture or clip, frames of a sound."""
    return int(item.values.shape[1] if item.kind == "audio" else item.values.shape[0])


def _features(backbone: Any, kind: Kind, prompts: PromptBatch, indices: list[int]) -> Iterator[tuple[int, list[Tensor]]]:
    values, sizes = forward_arguments([prompts.items[index] for index in indices]).values()
    found = getattr(backbone, f"get_{kind}_features")(values, sizes)
    counts = [len(one) for one in found.pooler_output]
    deeper = [level.split(counts) for level in getattr(found, "deepstack_features", None) or []]
    for place, (index, one) in enumerate(zip(indices, found.pooler_output, strict=True)):
        yield index, [one, *(level[place] for level in deeper)]


def _opening(core: Any, step: DecoderStep, ids: Tensor, positions: Tensor, keys: list[Tensor], values: list[Tensor]) -> None:
    """Keys and values of tokens (opening,) at positions (3, opening) that all rows begin with."""
    hidden = core.get_input_embeddings()(ids)
    cos, sin = (part[0][:, None] for part in step.rotation(positions[:, None]))
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
    features: list[tuple[Tensor, list[Tensor]]] = []
    for kind, token in shown.tokens.items():
        places = (ids.flatten() == token).nonzero().squeeze(1)
        if len(places):
            features.append((places, shown.take(kind, len(places))))
            hidden[places] = features[-1][1][0].to(hidden.dtype)
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
        for places, levels in features:
            if not last and index + 1 < len(levels):
                hidden[places] += levels[index + 1].to(hidden.dtype)
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
