"""Log-probabilities of completions, with prompts forwarded once per group or row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from facial_r1.models.media import forward_arguments
from facial_r1.models.thinker import Backbone
from facial_r1.training.rollout import Rollout
from facial_r1.training.shared_prompt import Group, ScoredPositions, pack
from facial_r1.training.vision_reuse import VisionPlan

Forward = Callable[..., Any]


@dataclass(frozen=True)
class Rows:
    """Completions to be scored.

    Attributes:
        rollout: Their prompts.
        prompt: Index of each row's prompt.
        completion: Token ids, right-padded, shape (rows, T).
        mask: 1 for tokens and 0 for padding, shape (rows, T).
    """

    rollout: Rollout
    prompt: list[int]
    completion: Tensor
    mask: Tensor

    def lengths(self) -> list[int]:
        """Tokens of each completion."""
        return self.mask.sum(1).tolist()

    def select(self, rows: list[int]) -> Rows:
        """These rows only."""
        return Rows(self.rollout, [self.prompt[row] for row in rows], self.completion[rows], self.mask[rows])


@dataclass(frozen=True)
class Vision:
    """How pictures, clips and sounds reach a forward.

    Attributes:
        share: Encode a distinct one once per pass; otherwise once per placeholder group.
        tower: See `VisionPlan`.
        keep: See `VisionPlan`.
    """

    share: bool
    tower: str = "policy"
    keep: frozenset[str] = frozenset()

    def arguments(self, rollout: Rollout, shown: tuple[int, ...]) -> dict[str, Any]:
        """Forward arguments that show these items; empty when there are none."""
        if self.share:
            return VisionPlan(rollout.store, shown, self.tower, self.keep).forward_arguments()
        return dict(forward_arguments(rollout.items(shown)))


def packed(forward: Forward, backbone: Any, rows: Rows, vision: Vision) -> tuple[Tensor, Tensor | None]:
    """Score rows with each prompt forwarded once (see `shared_prompt`).

    Args:
        forward: The wrapped model.
        backbone: The Qwen model inside it, whose final norm and position rule are needed.
        rows: At least one of them with at least one token.
        vision: How pictures, clips and sounds reach the forward.

    Returns:
        Log-probabilities and entropies (None if the head does not give them), shape (rows, T), 0 at padding.
    """
    lengths = rows.lengths()
    members: dict[int, list[int]] = {}
    for row, prompt in enumerate(rows.prompt):
        if lengths[row]:
            members.setdefault(prompt, []).append(row)
    groups = [
        Group(
            prompt=rows.rollout.ids[prompt],
            positions=rows.rollout.prompt_positions(backbone, prompt),
            completions=[rows.completion[row, : lengths[row]] for row in own],
            rows=own,
            images=rows.rollout.shown[prompt],
        )
        for prompt, own in members.items()
    ]
    line = pack(groups)
    with ScoredPositions(backbone.language_model.norm, line.scored):
        output = forward(
            input_ids=line.input_ids,
            position_ids=line.positions,
            shift_labels=line.targets,
            fused_lm_head=True,
            packed_buckets=line.buckets,
            **vision.arguments(rows.rollout, line.images),
        )
    device = rows.completion.device
    row_of = torch.cat([torch.full((size,), row, device=device) for row, _, size in line.spans])
    column_of = torch.cat([torch.arange(size, device=device) for _, _, size in line.spans])

    def spread(values: Tensor | None) -> Tensor | None:
        if values is None:
            return None
        return values.new_zeros(rows.completion.shape).index_put((row_of, column_of), values[0])

    log_probs = spread(output.log_probs)
    assert log_probs is not None
    return log_probs, spread(output.entropy)


def padded(
    forward: Forward,
    rows: Rows,
    vision: Vision,
    pad_token: int,
    backbone: Any,
    width: tuple[int, int] | None,
) -> tuple[Tensor, Tensor | None]:
    """Score rows one by one in a left- and right-padded batch, as TRL lays it out.

    Args:
        forward: The wrapped model.
        rows: What to score.
        vision: How pictures, clips and sounds reach the forward.
        pad_token: Fills the prompts.
        backbone: The Qwen model inside, whose placeholders and position rule are needed.
        width: Columns for prompts and completions; None pads to the longest of these rows.

    Returns:
        Log-probabilities and entropies (None if the head does not give them), shape (rows, T), 0 at padding.
    """
    prompts = [rows.rollout.ids[prompt] for prompt in rows.prompt]
    full = rows.completion.shape[1]
    before, after = width or (max(len(ids) for ids in prompts), max(1, max(rows.lengths())))
    ids = rows.completion.new_full((len(prompts), before + after), pad_token)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, before - len(prompt) : before] = prompt
        mask[row, before - len(prompt) : before] = 1
    ids[:, before:] = rows.completion[:, :after]
    mask[:, before:] = rows.mask[:, :after]
    shown = vision.arguments(rows.rollout, rows.rollout.shows(rows.prompt))
    if isinstance(backbone, Backbone) or rows.rollout.kinds(rows.prompt) - {"image"}:
        shown["position_ids"] = _padded_positions(backbone, rows, before, after)
    elif shown:
        shown["mm_token_type_ids"] = ((ids == backbone.config.image_token_id) & (mask == 1)).int()
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :before] = -100
    output = forward(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True, **shown)

    def widen(values: Tensor | None) -> Tensor | None:
        return None if values is None else nn.functional.pad(values[:, -after:], (0, full - after))

    log_probs = widen(output.log_probs)
    assert log_probs is not None
    return log_probs, widen(output.entropy)


def _padded_positions(backbone: Any, rows: Rows, before: int, after: int) -> Tensor:
    """Rotary positions of rows padded on both sides, shape (3, rows, before + after); 0 at the padding before."""
    device = rows.completion.device
    positions = torch.zeros((3, len(rows.prompt), before + after), dtype=torch.long, device=device)
    for row, prompt in enumerate(rows.prompt):
        own = rows.rollout.prompt_positions(backbone, prompt)
        positions[:, row, before - own.shape[1] : before] = own
        positions[:, row, before:] = int(own.max()) + 1 + torch.arange(after, device=device)
    return positions


def zero_gradients(parameters: list[nn.Parameter]) -> Tensor:
    """A zero whose backward gives each of these parameters a gradient of zeros.

    A micro-batch without live rows must leave the same trace as one whose gradient happens to vanish: an optimizer
    skips parameters without gradient, but decays and applies momentum to those whose gradient is zero.
    """
    return torch.stack([parameter.flatten()[0].float() * 0.0 for parameter in parameters]).sum()
