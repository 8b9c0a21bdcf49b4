"""Cutting a generation batch into micro-batches, and telling which completions carry no gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def group_order(group: Tensor, length: Tensor, dead: Tensor, window: int) -> Tensor:
    """An order of rows in which groups are whole, windows are random and rows of a window are sorted.

    A window is what one optimizer step sees; which groups fall into it is random. Within a window the loss is a sum over
    rows, so the order is free: live groups come first, longest first, and dead ones end up together, where they cost
    nothing.

    Args:
        group: Group of each row, shape (rows,).
        length: Tokens of each completion, shape (rows,).
        dead: Rows without gradient, shape (rows,).
        window: Rows per window.

    Returns:
        Row indices, shape (rows,).
    """
    device = group.device
    _, member = group.unique(return_inverse=True)
    rank = torch.randperm(int(member.max()) + 1).to(device)[member]
    shuffled = rank.argsort(stable=True)
    out = []
    for rows in shuffled.split(window):
        groups = member[rows]
        size = int(member.max()) + 1
        longest = torch.zeros(size, dtype=torch.long, device=device).scatter_reduce(0, groups, length[rows], "amax")
        lives = torch.zeros(size, dtype=torch.long, device=device).index_add(0, groups, (~dead[rows]).long())
        # Sort keys from the least to the most important; every sort is stable.
        rows = rows[(-length[rows]).argsort(stable=True)]
        rows = rows[rank[rows].argsort(stable=True)]
        rows = rows[(-longest[member[rows]]).argsort(stable=True)]
        out.append(rows[(lives[member[rows]] == 0).long().argsort(stable=True)])
    return torch.cat(out)


def cut(batch: dict[str, Any], order: Tensor, parts: int) -> list[dict[str, Any]]:
    """Reorder the rows of a batch and cut it into equal micro-batches; scalars and objects are shared."""
    size = len(order) // parts
    return [
        {
            key: value[order[part * size : (part + 1) * size]] if isinstance(value, Tensor) and value.ndim else value
            for key, value in batch.items()
        }
        for part in range(parts)
    ]


def total_reward(rewards: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of the rewards of each completion, as TRL takes it.

    Args:
        rewards: Shape (rows, reward functions), NaN where a reward does not apply.
        weights: Shape (reward functions,).

    Returns:
        Shape (rows,), NaN where no reward applies.
    """
    total = (rewards * weights.to(rewards.device)).nansum(1)
    total[rewards.isnan().all(1)] = torch.nan
    return total


def equal_groups(rewards: Tensor, size: int) -> Tensor:
    """Rows of groups whose rewards are all the same; rewards that are NaN (none applied) are left out.

    The advantage of such a group is zero. In float32 the mean of equal numbers need not be that number, so `r - mean`
    may leave a rounding error, which the comparison of the rewards themselves does not see.

    Args:
        rewards: Reward of every completion, groups one after the other, shape (groups * size,).
        size: Completions per group.

    Returns:
        Shape (groups * size,), boolean.
    """
    grouped = rewards.view(-1, size)
    highest = grouped.nan_to_num(nan=-torch.inf).amax(1)
    lowest = grouped.nan_to_num(nan=torch.inf).amin(1)
    return (highest <= lowest).repeat_interleave(size)
