"""Towers that compute in fewer calls give what transformers' give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facial_r1.models.thinker import backbone_of
from facial_r1.models.towers import PatchProjection, quicken
from tests.invariants import tiny_vl

#: Grids of images: rows and columns of patches; 12 x 8 leaves windows of different sizes at the border.
GRIDS = {"one size": ((8, 8), (8, 8)), "several sizes": ((8, 8), (12, 8), (4, 20)), "one image": ((4, 4),)}


def shown(architecture: str, grids: tuple[tuple[int, int], ...]) -> tuple[Any, Tensor, Tensor]:
    model = tiny_vl.model(architecture).double()
    grid = torch.tensor([[1, *shape] for shape in grids])
    patches = torch.randn(int(grid.prod(1).sum()), 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(0)).double()
    return model, patches, grid


def encoded(model: Any, patches: Tensor, grid: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    found = backbone_of(model).visual(patches, grid_thw=grid)
    features = found.pooler_output if hasattr(found, "pooler_output") else found[0]
    weighted = (features * torch.linspace(-1, 1, features.numel(), dtype=features.dtype).view_as(features)).sum()
    model.zero_grad()
    weighted.backward()
    gradients = {name: p.grad.clone() for name, p in backbone_of(model).visual.named_parameters() if p.grad is not None}
    return features.detach(), gradients


@pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("architecture", tiny_vl.ARCHITECTURES)
def test_features_and_gradients_are_those_of_transformers(architecture: str, grids: tuple[tuple[int, int], ...]):
    model, patches, grid = shown(architecture, grids)
    features, gradients = encoded(model, patches, grid)
    assert quicken(model) >= 2
    quick, quick_gradients = encoded(model, patches, grid)
    torch.testing.assert_close(quick, features, rtol=1e-9, atol=1e-12)
    assert quick_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            quick_gradients[name], gradient, rtol=1e-9, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("architecture", tiny_vl.ARCHITECTURES)
def test_features_without_gradients_are_those_of_transformers(architecture: str, grids: tuple[tuple[int, int], ...]):
    model, patches, grid = shown(architecture, grids)
    model, patches = model.float(), patches.float()
    with torch.no_grad():
        features = backbone_of(model).visual(patches, grid_thw=grid).pooler_output
        quicken(model)
        before = patches.clone()
        quick = backbone_of(model).visual(patches, grid_thw=grid).pooler_output
    torch.testing.assert_close(quick, features, rtol=1e-4, atol=1e-5)
    assert torch.equal(patches, before), "what is written over is the tower's own"


def test_norms_and_feed_forward_parts_of_the_decoder_are_left_alone():
    model = tiny_vl.model("qwen2_5_vl")
    quicken(model)
    kinds = {type(module).__name__ for module in backbone_of(model).language_model.modules()}
    assert kinds.isdisjoint({"QuickNorm", "QuickMLP"})
    assert "QuickNorm" in {type(module).__name__ for module in backbone_of(model).visual.modules()}


@pytest.mark.parametrize("architecture", tiny_vl.ARCHITECTURES)
def test_a_layer_attends_once_for_windows_of_one_size(architecture: str, monkeypatch: pytest.MonkeyPatch):
    model, patches, grid = shown(architecture, GRIDS["one size"])
    quicken(model)
    calls = []
    whole = nn.functional.scaled_dot_product_attention

    def counted(query: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        calls.append(query.shape[0])
        return whole(query, *args, **kwargs)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", counted)
    with torch.no_grad():
        backbone_of(model).visual(patches, grid_thw=grid)
    assert len(calls) == len(backbone_of(model).visual.blocks)
    assert min(calls) >= 2, "both images in one call"


def test_names_and_weights_stay(tmp_path: Any):
    model = tiny_vl.model("qwen2_5_vl")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    quicken(model)
    after = model.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_other_attention_than_sdpa_is_left_to_transformers(monkeypatch: pytest.MonkeyPatch):
    model, patches, grid = shown("qwen2_5_vl", GRIDS["one size"])
    backbone_of(model).visual.config._attn_implementation = "eager"
    features, _ = encoded(model, patches, grid)
    quicken(model)
    assert torch.equal(encoded(model, patches, grid)[0], features)


def test_a_convolution_that_is_no_product_stays_one():
    layer = nn.Conv3d(1, 2, 2, stride=1).double()
    picture = torch.randn(1, 1, 3, 3, 3, dtype=torch.float64)
    expected = layer(picture)
    layer.__class__ = PatchProjection
    assert torch.equal(layer(picture), expected)


def test_models_without_such_a_tower_are_left_alone():
    assert quicken(nn.Sequential(nn.Conv3d(1, 2, 2))) == 0  # type: ignore[arg-type]
