"""What is sent to vLLM, and in what portions."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch import nn

from facial_r1.training.vllm_weights import buckets, send, unchanging


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(4, 200))
def test_buckets_keep_order_and_size(sizes: list[int], limit: int) -> None:
    weights = [(str(place), torch.zeros(size)) for place, size in enumerate(sizes)]
    found = list(buckets(weights, limit))
    assert [name for bucket in found for name, _ in bucket] == [name for name, _ in weights]
    for bucket in found:
        assert len(bucket) == 1 or sum(4 * tensor.numel() for _, tensor in bucket) <= limit


def test_tensors_that_pass_are_copied() -> None:
    """A generator that reuses its tensor, as gathered shards and merged adapters do."""

    def passing() -> object:
        tensor = torch.zeros(2)
        for value in range(3):
            tensor.fill_(value)
            yield str(value), tensor
        tensor.fill_(-1)

    got: dict[str, float] = {}
    sent = send(lambda bucket: got.update({name: float(tensor[0]) for name, tensor in bucket}), passing(), 1000, copy=True)
    assert got == {"0": 0.0, "1": 1.0, "2": 2.0}
    assert (sent.names, sent.bytes, sent.calls) == (("0", "1", "2"), 24, 1)


def test_large_models_take_several_calls() -> None:
    calls: list[int] = []
    sent = send(lambda bucket: calls.append(len(bucket)), [(str(i), torch.zeros(10)) for i in range(5)], size=80)
    assert calls == [2, 2, 1] and sent.calls == 3 and sent.bytes == 200


def test_frozen_weights_never_change() -> None:
    model = nn.ModuleDict({"tower": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    model["tower"].requires_grad_(False)
    assert unchanging(model, lambda name: f"model.{name}") == {"model.tower.weight", "model.tower.bias"}


def test_frozen_weights_under_adapters_do() -> None:
    model = nn.ModuleDict({"tower": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["head"]))  # type: ignore[arg-type]
    assert unchanging(adapted, lambda name: name) == {"tower.weight", "tower.bias"}
