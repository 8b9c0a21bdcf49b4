"""Resuming starts from the checkpoint's weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facial_r1.errors import InputError
from facial_r1.training.checkpoint_weights import load_weights
from tests.invariants import tiny_vl


@pytest.mark.parametrize("architecture", tiny_vl.ARCHITECTURES)
def test_saved_weights_come_back(architecture: str, tmp_path: Path) -> None:
    saved, other = tiny_vl.model(architecture, seed=1), tiny_vl.model(architecture, seed=2)
    saved.save_pretrained(tmp_path)
    load_weights(other, tmp_path)
    expected = saved.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in other.state_dict().items())


def test_a_checkpoint_of_a_shallower_model_is_refused(tmp_path: Path) -> None:
    tiny_vl.model("qwen2_5_vl", layers=1).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="weights are missing"):
        load_weights(tiny_vl.model("qwen2_5_vl", layers=2), tmp_path)
