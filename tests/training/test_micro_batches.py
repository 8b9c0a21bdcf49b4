"""Cutting generation batches."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1.training.micro_batches import cut, equal_groups, group_order


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**16))
def test_an_order_is_a_permutation(groups: int, size: int, windows: int, seed: int) -> None:
    torch.manual_seed(seed)
    rows = groups * size
    group = torch.arange(groups).repeat_interleave(size)
    order = group_order(group, torch.randint(1, 50, (rows,)), torch.rand(rows) < 0.5, max(1, rows // windows))
    assert sorted(order.tolist()) == list(range(rows))


def test_groups_stay_whole_and_long_ones_come_first() -> None:
    torch.manual_seed(0)
    group = torch.tensor([0, 0, 1, 1, 2, 2])
    length = torch.tensor([3, 5, 9, 1, 4, 4])
    order = group_order(group, length, torch.zeros(6, dtype=torch.bool), window=6)
    assert order.tolist() == [2, 3, 1, 0, 4, 5]


def test_dead_groups_end_up_together() -> None:
    torch.manual_seed(0)
    group = torch.arange(4).repeat_interleave(2)
    dead = torch.tensor([1, 1, 0, 1, 1, 1, 0, 0]).bool()
    order = group_order(group, torch.full((8,), 7), dead, window=8)
    assert set(group[order[:4]].tolist()) == {1, 3} and set(group[order[4:]].tolist()) == {0, 2}


def test_windows_get_random_groups() -> None:
    """Which groups an optimizer step sees does not depend on their length."""
    group = torch.arange(4).repeat_interleave(2)
    length = torch.arange(8)
    seen = set()
    for seed in range(40):
        torch.manual_seed(seed)
        first = group_order(group, length, torch.zeros(8, dtype=torch.bool), window=4)[:4]
        seen.add(frozenset(group[first].tolist()))
    assert len(seen) == 6, "all pairs of four groups occur"


def test_cut_shares_scalars_and_objects() -> None:
    marker = object()
    parts = cut({"x": torch.arange(4), "n": torch.tensor(9), "o": marker}, torch.tensor([3, 1, 0, 2]), 2)
    assert [part["x"].tolist() for part in parts] == [[3, 1], [0, 2]]
    assert all(int(part["n"]) == 9 and part["o"] is marker for part in parts)


def test_equal_groups_are_found_whatever_rounding_does_to_their_mean() -> None:
    nan = torch.nan
    rewards = torch.tensor([0.7] * 3 + [0.7, 0.7, 0.8] + [nan, 0.7, 0.7] + [nan] * 3)
    assert equal_groups(rewards, 3).tolist() == [True] * 3 + [False] * 3 + [True] * 6
