"""Rewards whose credit goes to the reasoning only (`stage.reasoning_rewards`): for example the action units, which are named there.

In GRPO every token of a completion gets the completion's advantage, whatever earned it: a right list of action units also
pulls the emotion in the answer towards where it is, right or wrong. Here tokens of the reasoning get the advantage of all
rewards, as ever, and the other tokens that of the rewards that are not credited to the reasoning: what GRPO would give them
if those rewards did not exist. Both are normalised in their group by the same formula (Shao et al. 2024, arXiv:2402.03300,
equation 4). Tokens are told apart by character offsets (`facial_r1.rewards.spans`).

An experiment: neither the Facial-R1 paper nor its code trains like this; its code had such a mask, which was always empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from trl.trainer.utils import nanstd

from facial_r1.errors import InputError
from facial_r1.rewards.spans import byte_pieces, thinking_mask
from facial_r1.training.micro_batches import equal_groups, total_reward

#: What TRL adds to a standard deviation before dividing by it.
_EPSILON = 1e-4


def group_advantages(total: Tensor, size: int, scale: str) -> Tensor:
    """Advantages of completions from their summed rewards.

    Args:
        total: Shape (groups * size,), NaN where no reward applies.
        size: Completions per group.
        scale: What they are divided by, as `scale_rewards` of TRL: "group", "batch" or "none".

    Returns:
        Shape (groups * size,); 0 in groups whose rewards are all equal and where no reward applies.
    """
    grouped = total.view(-1, size)
    centred = grouped - grouped.nanmean(1, keepdim=True)
    if scale == "group":
        centred = centred / (nanstd(grouped, dim=1).unsqueeze(1) + _EPSILON)
    elif scale == "batch":
        centred = centred / (nanstd(total) + _EPSILON)
    return centred.reshape(-1).nan_to_num(nan=0.0).masked_fill(equal_groups(total, size), 0.0)


def outside_advantages(rewards: Tensor, weights: Tensor, credited: Sequence[bool], size: int, scale: str) -> Tensor:
    """Advantages of the tokens outside of the reasoning.

    Args:
        rewards: Of all completions of the batch, shape (rows, reward functions), NaN where a reward does not apply.
        weights: Shape (reward functions,).
        credited: For each reward function whether it is credited to the reasoning only.
        size: Completions per group.
        scale: See `group_advantages`.

    Returns:
        Shape (rows,).
    """
    rest = [column for column, only in enumerate(credited) if not only]
    return group_advantages(total_reward(rewards[:, rest], weights[rest]), size, scale)


def reasoning_tokens(tokenizer: Any, completion_ids: Tensor, completion_mask: Tensor) -> Tensor:
    """Which tokens lie in the reasoning.

    Args:
        tokenizer: Of byte-level BPE.
        completion_ids: Shape (rows, tokens).
        completion_mask: 1 for tokens of the completion, shape (rows, tokens).

    Returns:
        Boolean, shape (rows, tokens).

    Raises:
        InputError: The tokenizer is not of a byte-level BPE.
    """
    found = torch.zeros_like(completion_mask, dtype=torch.bool)
    lengths = completion_mask.sum(1).tolist()
    for row, (ids, length) in enumerate(zip(completion_ids.tolist(), lengths, strict=True)):
        try:
            pieces = byte_pieces(tokenizer.convert_ids_to_tokens(ids[:length]), tokenizer.all_special_tokens)
        except ValueError as error:
            raise InputError(
                f"stage.reasoning_rewards needs a byte-level tokenizer to find the reasoning ({error}): set stage.reasoning_rewards=[]"
            ) from None
        text = b"".join(pieces).decode("utf-8", errors="replace")
        found[row, :length] = torch.tensor(thinking_mask(text, pieces), dtype=torch.bool, device=found.device)
    return found


def credited_advantages(inside: Tensor, outside: Tensor, reasoning: Tensor) -> Tensor:
    """An advantage per token: `inside` where `reasoning`, else `outside`.

    Args:
        inside, outside: Shape (rows,).
        reasoning: Boolean, shape (rows, tokens).

    Returns:
        Shape (rows, tokens).
    """
    return torch.where(reasoning, inside[:, None], outside[:, None])
