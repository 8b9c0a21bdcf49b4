"""Scaling advantages is weighting the loss of samples."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from facial_r1.training.group_generation import SharedGeneration
from facial_r1.training.row_weights import weighted_advantages


def clipped_loss(ratio: torch.Tensor, advantages: torch.Tensor, epsilon: float = 0.2) -> torch.Tensor:
    """The token losses of GRPO (Shao et al. 2024, equation 3 without the KL term), shape (completions, tokens)."""
    scaled = advantages[:, None]
    return -torch.minimum(ratio * scaled, ratio.clamp(1 - epsilon, 1 + epsilon) * scaled)


def test_equal_to_weighting_the_loss_of_each_sample_also_where_ratios_are_clipped() -> None:
    generator = torch.Generator().manual_seed(0)
    ratio = torch.exp(0.5 * torch.randn(6, 9, generator=generator, dtype=torch.float64)).requires_grad_()
    advantages = torch.randn(6, generator=generator, dtype=torch.float64)
    rows, weights = [0, 0, 1, 1, 2, 2], [0.5, 2.0, 1.25]
    scaled = clipped_loss(ratio, weighted_advantages(advantages, rows, weights)).mean()
    (gradient,) = torch.autograd.grad(scaled, ratio)
    by_sample = torch.tensor([weights[row] for row in rows], dtype=torch.float64)[:, None]
    weighted = (by_sample * clipped_loss(ratio, advantages)).mean()
    (expected,) = torch.autograd.grad(weighted, ratio)
    assert torch.allclose(scaled, weighted, rtol=1e-12) and torch.allclose(gradient, expected, rtol=1e-12)


def test_dead_rows_stay_dead_and_no_other_dies() -> None:
    found = weighted_advantages(torch.tensor([0.0, -1.0, 1.0]), [0, 1, 1], [3.0, 0.1])
    assert (found == 0).tolist() == [True, False, False] and (found[1:] < 0).tolist() == [True, False]


@pytest.mark.parametrize(
    ("rows", "weights", "message"), [([0], [1.0], "1 rows"), ([0, 0], [0.0], "above 0"), ([0, 0], [float("inf")], "above 0")]
)
def test_what_cannot_be_meant_is_refused(rows: list[int], weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        weighted_advantages(torch.zeros(2), rows, weights)


def weighed(training: bool, weights: list[float] | None) -> list[float]:
    """What the trainer's hook makes of two completions of two training rows with advantage 1."""
    trainer = SimpleNamespace(row_weights=weights, model=SimpleNamespace(training=training))
    batch = {"advantages": torch.ones(2)}
    SharedGeneration._weigh(trainer, batch, [{"row": 1}, {"row": 0}])
    return batch["advantages"].tolist()


def test_the_trainer_weighs_by_the_row_of_each_completion() -> None:
    assert weighed(True, [0.5, 2.0]) == [2.0, 0.5]


@pytest.mark.parametrize(("training", "weights"), [(False, [0.5, 2.0]), (True, None)])
def test_evaluation_and_plain_training_are_not_weighed(training: bool, weights: list[float] | None) -> None:
    assert weighed(training, weights) == [1.0, 1.0]
