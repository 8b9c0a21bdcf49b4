"""From `stage.vllm` to TRL's arguments."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.schema import GRPO, VLLM
from facial_r1.config.validation import validate
from facial_r1.errors import InputError
from facial_r1.training import grpo


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo, "require_vllm", lambda wanted_by: None)


def arguments(**vllm: Any) -> dict[str, Any]:
    return grpo.vllm_arguments(GRPO(vllm=VLLM(**vllm)), 2048)


def test_it_is_off_unless_asked_for() -> None:
    assert arguments() == {"use_vllm": False}


def test_a_missing_vllm_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"stage.vllm.enabled=true needs vLLM.*facial_r1\[vllm\]"):
        arguments(enabled=True)


@pytest.mark.usefixtures("installed")
def test_an_engine_in_the_process() -> None:
    assert arguments(enabled=True, gpu_memory_utilization=0.4, tensor_parallel=2, sleep=True) == {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_server_base_url": None,
        "vllm_gpu_memory_utilization": 0.4,
        "vllm_tensor_parallel_size": 2,
        "vllm_max_model_length": 2048,
        "vllm_enable_sleep_mode": True,
        "vllm_importance_sampling_correction": True,
        "vllm_importance_sampling_mode": "sequence_mask",
    }


@pytest.mark.usefixtures("installed")
def test_a_server_without_correction() -> None:
    found = arguments(enabled=True, mode="server", server_url="http://127.0.0.1:8000", correction="none", max_model_length=99)
    assert found["vllm_server_base_url"] == "http://127.0.0.1:8000" and found["vllm_mode"] == "server"
    assert found["vllm_importance_sampling_correction"] is False and "vllm_importance_sampling_mode" not in found
    assert found["vllm_max_model_length"] == 99


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stage.vllm.mode=server"], "stage.vllm.server_url="),
        (["stage.vllm.server_url=http://127.0.0.1:8000"], "mode=server"),
        (["stage.vllm.tensor_parallel=2"], "do not divide by it|not divide"),
        (["stage.vllm.logprob_gap=0"], "logprob_gap"),
        (["stage.vllm.gpu_memory=0.5"], "gpu_memory_utilization"),
        (["stage.vllm.correction=sequence"], "sequence_mask"),
    ],
)
def test_settings_that_cannot_be_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate(plain(compose_tree(["stage=grpo", "stage.vllm.enabled=true", *overrides])))


def test_the_pipeline_takes_them_too() -> None:
    job = validate(plain(compose_tree(["stage=pipeline", "stage.grpo.vllm.enabled=true", "stage.grpo.vllm.logprob_gap=0.05"])))
    assert job.stage.grpo.vllm.enabled and job.stage.grpo.vllm.logprob_gap == 0.05


def test_the_offline_engine_has_settings_of_its_own() -> None:
    job = validate(plain(compose_tree(["stage=eval", "generation=vllm", "generation.vllm.tensor_parallel=2"])))
    assert job.generation.name == "vllm" and job.generation.vllm.tensor_parallel == 2
