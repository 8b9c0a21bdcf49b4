"""Both towers of a thinker compute in fewer calls what transformers' do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from facial_r1.models.thinker import as_thinker
from facial_r1.models.towers import quicken
from tests.models.families import qwen2_5_omni_thinker


def weighted(model: Any, features: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad()
    (features * torch.linspace(-1, 1, features.numel(), dtype=features.dtype).view_as(features)).sum().backward()
    return features.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def seen(model: Any) -> tuple[Tensor, dict[str, Tensor]]:
    grid = torch.tensor([[2, 8, 8], [1, 12, 8], [3, 4, 20]])
    patches = torch.randn(int(grid.prod(1).sum()), 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(0)).double()
    return weighted(model, torch.cat(model.get_video_features(patches, grid, return_dict=True).pooler_output))


def heard(model: Any) -> tuple[Tensor, dict[str, Tensor]]:
    lengths = torch.tensor([200, 530, 90])
    mel = torch.randn(80, int(lengths.sum()), generator=torch.Generator().manual_seed(0)).double()
    return weighted(model, torch.cat(model.base_model.get_audio_features(mel, lengths).pooler_output))


@pytest.mark.parametrize("encoded", [seen, heard])
def test_features_and_gradients_are_those_of_transformers(encoded: Any) -> None:
    torch.manual_seed(0)
    model = as_thinker(qwen2_5_omni_thinker()[0].double().train())
    features, gradients = encoded(model)
    assert quicken(model) == 5, "two blocks of either tower, and the patches"
    quick, quick_gradients = encoded(model)
    torch.testing.assert_close(quick, features, rtol=1e-9, atol=1e-12)
    assert quick_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(quick_gradients[name], gradient, rtol=1e-9, atol=1e-12)
