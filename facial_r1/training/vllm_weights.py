"""Which weights vLLM gets, and in what portions.

TRL sends every tensor of the model in a call of its own, at every step. Here tensors travel in buckets, and those that
training never changes (a frozen vision tower, the layers without adapters) are sent once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

Named = tuple[str, Tensor]

#: Bytes of a bucket.
BUCKET = 256 * 1024**2


@dataclass(frozen=True)
class Sent:
    """One update of vLLM's weights: tensors, bytes and calls, and the names that were sent."""

    names: tuple[str, ...]
    bytes: int
    calls: int


def unchanging(model: nn.Module, rename: Callable[[str], str]) -> frozenset[str]:
    """Names of the tensors that training never changes.

    A frozen weight under an adapter does change: what is sent is the sum of both.

    Args:
        model: The model that trains, with PEFT adapters or without.
        rename: From a parameter's name to that under which it is sent.
    """
    adapted = hasattr(model, "peft_config")
    names = [
        name.removeprefix("base_model.model.") if adapted else name
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad and ".base_layer." not in name and ".lora_" not in name and "original_module" not in name
    ]
    return frozenset(rename(name) for name in names)


def buckets(weights: Iterable[Named], size: int = BUCKET, copy: bool = False) -> Iterator[list[Named]]:
    """Weights in lists of at most `size` bytes; a larger tensor has a list of its own.

    Args:
        weights: Names and tensors.
        size: Bytes per list, which is also the extra memory that copies take.
        copy: Whether a tensor is only valid until the next is asked for (shards that are gathered one by one, adapters
            that are merged for the time being), so that it has to be copied.
    """
    bucket: list[Named] = []
    filled = 0
    for name, tensor in weights:
        taken = tensor.numel() * tensor.element_size()
        if bucket and filled + taken > size:
            yield bucket
            bucket, filled = [], 0
        bucket.append((name, tensor.detach().clone() if copy else tensor))
        filled += taken
    if bucket:
        yield bucket


def send(load: Callable[[list[Named]], Any], weights: Iterable[Named], size: int = BUCKET, copy: bool = False) -> Sent:
    """Hand weights over in buckets.

    Args:
        load: Takes a bucket, such as a vLLM model's `load_weights`.
        weights: See `buckets`.
        size: See `buckets`.
        copy: See `buckets`.
    """
    names: list[str] = []
    total = calls = 0
    for bucket in buckets(weights, size, copy):
        load(bucket)
        names.extend(name for name, _ in bucket)
        total += sum(tensor.numel() * tensor.element_size() for _, tensor in bucket)
        calls += 1
    return Sent(tuple(names), total, calls)
