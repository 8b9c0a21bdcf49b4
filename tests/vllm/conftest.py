"""vLLM's CPU build with the embedded tiny model. Run with `make test-vllm`; without vLLM these tests say so and skip."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
INSTALLED = importlib.util.find_spec("vllm") is not None

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder is marked `vllm`."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            item.add_marker(pytest.mark.filterwarnings("ignore::FutureWarning:vllm.*"))
            if not INSTALLED:
                item.add_marker(pytest.mark.skip(reason="vLLM is not installed here; make test-vllm runs these tests"))


@pytest.fixture(scope="session", autouse=True)
def plain_linear_layers() -> Iterator[None]:
    """On the CPU, vLLM packs a linear layer's weight for its kernels and drops the original, which no update reaches then.

    Trainers update weights, so the layers keep them and multiply as torch does. On a GPU nothing is packed.
    """
    if not INSTALLED:
        yield
        return
    from vllm.model_executor.layers import utils

    def keep(layer: torch.nn.Module, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear  # type: ignore[assignment]

    original = utils.dispatch_cpu_unquantized_gemm
    utils.dispatch_cpu_unquantized_gemm = keep
    yield
    utils.dispatch_cpu_unquantized_gemm = original
