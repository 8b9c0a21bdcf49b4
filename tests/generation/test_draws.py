"""What chooses a token follows from what is asked for and nothing else."""

from __future__ import annotations

import torch

from facial_r1.generation.draws import seed_of, uniform


def test_a_row_does_not_depend_on_the_others_or_on_the_global_generator():
    torch.manual_seed(1)
    together = uniform([seed_of(0, "a"), seed_of(0, "b")], 5)
    torch.manual_seed(2)
    assert torch.equal(uniform([seed_of(0, "b")], 5)[0], together[1])
    assert not torch.equal(together[0], together[1])


def test_every_part_matters_and_parts_do_not_run_together():
    seeds = {seed_of(*parts) for parts in ((0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2), (0, "a1"), (0, "a", 1, 0))}
    assert len(seeds) == 6


def test_numbers_are_shares():
    numbers = uniform(range(50), 200)
    assert numbers.shape == (50, 200) and numbers.dtype == torch.float64
    assert float(numbers.min()) >= 0 and float(numbers.max()) < 1
    assert abs(float(numbers.mean()) - 0.5) < 0.01
