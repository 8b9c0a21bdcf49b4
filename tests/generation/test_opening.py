"""Engines by name, and the checkpoint's own sampling values."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import GenerationConfig

from facial_r1.config.schema import Generation, Sampling
from facial_r1.errors import InputError
from facial_r1.generation import opening
from facial_r1.generation.engine import Completion, Engine, Request
from facial_r1.generation.transformers_engine import TransformersEngine
from tests.invariants import tiny_vl


def opened(generation: Generation, model: Any = None) -> Engine:
    processor = tiny_vl.processor("qwen2_5_vl")
    return opening.open_engine(generation, model, processor, lambda path: tiny_vl.image(0), "unused")


def test_transformers_gets_the_loaded_model() -> None:
    model = tiny_vl.model("qwen2_5_vl")
    engine = opened(Generation(batch_size=7), model)
    assert isinstance(engine, TransformersEngine)
    assert engine.model is model and engine.batch_size == 7


def test_vllm_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'facial_r1\[vllm\]'"):
        opened(Generation(name="vllm"))


def test_a_name_without_an_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "ENGINES", {"transformers": opening.ENGINES["transformers"]})
    with pytest.raises(InputError, match=r"generation\.name=vllm"):
        opened(Generation(name="vllm"))


QWEN = GenerationConfig(do_sample=True, temperature=0.1, top_p=0.8, top_k=20, repetition_penalty=1.05)


def test_neutral_values_come_from_the_checkpoint_and_the_temperature_does_not() -> None:
    found = opening.with_checkpoint_values(Sampling(temperature=0.7, max_new_tokens=9), QWEN)
    assert found == Sampling(temperature=0.7, top_p=0.8, top_k=20, repetition_penalty=1.05, max_new_tokens=9)


def test_values_that_were_chosen_stay() -> None:
    chosen = Sampling(top_p=0.5, top_k=3, min_p=0.1, repetition_penalty=1.2)
    assert opening.with_checkpoint_values(chosen, QWEN) == chosen


def test_a_checkpoint_that_says_nothing_changes_nothing() -> None:
    assert opening.with_checkpoint_values(Sampling(), GenerationConfig()) == Sampling()


def test_the_switch_puts_the_checkpoints_values_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sampling] = []

    class Noting:
        def generate(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> list[Completion]:
            asked.append(sampling)
            return []

    monkeypatch.setattr(opening, "ENGINES", {"transformers": lambda _: Noting()})
    model = tiny_vl.model("qwen2_5_vl")
    model.generation_config.top_k = 5
    for switch in (False, True):
        opened(Generation(checkpoint_sampling=switch), model).generate([], Sampling(), 0)
    assert [sampling.top_k for sampling in asked] == [0, 5]


def test_settings_are_read_from_the_folder_when_no_model_is_loaded(tmp_path: Path) -> None:
    QWEN.save_pretrained(tmp_path)
    one = opening.Opening(Generation(name="vllm"), None, None, lambda path: tiny_vl.image(0), str(tmp_path))
    assert opening._settings_of(one).top_k == 20
