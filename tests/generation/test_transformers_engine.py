"""The transformers engine: what an answer depends on, and batches that do not fit."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from PIL import Image

from facial_r1.config.schema import Sampling
from facial_r1.errors import InputError
from facial_r1.generation.engine import Request
from facial_r1.generation.transformers_engine import TransformersEngine, _even
from tests.invariants import tiny_vl

GREEDY = Sampling(temperature=0.0, max_new_tokens=8, repetition_penalty=1.0)
SAMPLED = Sampling(temperature=1.0, max_new_tokens=8, repetition_penalty=1.0)


def asked(
    count: int, prompts: tuple[str, ...] = ("Which emotion?", "Name it.", "Which action units are active?")
) -> list[Request]:
    """Requests with pictures of two sizes and questions of three lengths."""
    return [
        Request(
            f"face/{number}",
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompts[number % len(prompts)]}]}],
            (f"{number}:{84 if number % 2 else 56}",),
        )
        for number in range(count)
    ]


class Pictures:
    """Draws pictures and counts how often."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def __call__(self, name: str) -> Image.Image:
        self.opened.append(name)
        number, side = name.split(":")
        return tiny_vl.image(int(number), int(side))


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_vl.model("qwen2_5_vl").double()


def engine(model: Any, size: int, pictures: Any = None) -> TransformersEngine:
    return TransformersEngine(model, tiny_vl.processor("qwen2_5_vl"), pictures or Pictures(), size)


@contextmanager
def cores(count: int) -> Iterator[None]:
    """So many threads for PyTorch, on a machine with as many cores."""
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.sched_getaffinity", lambda _: set(range(count)))
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def tokens(found: list[Any]) -> list[tuple[int, ...]]:
    return [one.token_ids for one in found]


def test_greedy_answers_are_those_of_transformers_one_at_a_time(model: Any):
    requests = asked(5)
    processor = tiny_vl.processor("qwen2_5_vl")
    found = engine(model, 3).generate(requests, GREEDY, seed=0)
    for request, answer in zip(requests, found, strict=True):
        text = processor.apply_chat_template(request.messages, add_generation_prompt=True, tokenize=False)
        inputs = processor(text=[text], images=[[Pictures()(name) for name in request.images]], return_tensors="pt")
        inputs["pixel_values"] = inputs["pixel_values"].double()
        suppressed = list(engine(model, 1)._never)
        written = model.generate(**inputs, max_new_tokens=8, do_sample=False, suppress_tokens=suppressed)
        alone = written[0, inputs["input_ids"].shape[1] :].tolist()
        assert answer.token_ids == tuple(alone[: len(answer.token_ids)])
        assert answer.text == processor.tokenizer.decode(alone, skip_special_tokens=True)


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_an_answer_does_not_depend_on_what_else_is_asked(sampling: Sampling, model: Any):
    requests = asked(7)
    together = tokens(engine(model, 7).generate(requests, sampling, seed=3))
    assert tokens(engine(model, 2).generate(requests, sampling, seed=3)) == together
    assert tokens(engine(model, 7).generate(requests[3:4], sampling, seed=3)) == together[3:4]


def test_seed_key_and_sample_make_samples_differ(model: Any):
    first = asked(1)[0]
    others = [Request("another", first.messages, first.images), Request(first.key, first.messages, first.images, sample=1)]
    found = [*tokens(engine(model, 3).generate([first, *others], SAMPLED, seed=3))]
    found += tokens(engine(model, 3).generate([first], SAMPLED, seed=4))
    assert len(set(found)) == 4


def test_nothing_asked_is_nothing_answered(model: Any):
    assert engine(model, 2).generate([], GREEDY, seed=0) == []


def test_pictures_are_opened_once(model: Any):
    pictures = Pictures()
    engine(model, 2, pictures).generate(asked(5), GREEDY, seed=0)
    assert sorted(pictures.opened) == sorted(request.images[0] for request in asked(5))


def test_a_picture_that_cannot_be_opened_is_named(model: Any):
    def broken(name: str) -> Image.Image:
        if name.startswith("3:"):
            raise InputError(f"{name}: broken")
        return Pictures()(name)

    with pytest.raises(InputError, match="3:84: broken"):
        engine(model, 2, broken).generate(asked(5), GREEDY, seed=0)


def narrow(one: TransformersEngine, most: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Memory for `most` prompts; returns the sizes that were tried."""
    sizes: list[int] = []
    whole = one._lean

    def tight(prompts: Any, requests: list[Request], *rest: Any) -> Any:
        sizes.append(len(requests))
        if len(requests) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(prompts, requests, *rest)

    monkeypatch.setattr(one, "_lean", tight)
    return sizes


def test_a_batch_that_does_not_fit_is_halved(model: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    expected = engine(model, 9).generate(asked(9), GREEDY, seed=0)
    one = engine(model, 8)
    sizes = narrow(one, 3, monkeypatch)
    with caplog.at_level(logging.WARNING), cores(1):
        assert one.generate(asked(9), GREEDY, seed=0) == expected
    assert sizes == [8, 4, 2, 2, 2, 2, 1]
    assert one.batch_size == 2
    assert "generation.batch_size=2" in caplog.text


def test_a_single_prompt_that_does_not_fit_is_an_error(model: Any, monkeypatch: pytest.MonkeyPatch):
    one = engine(model, 2)
    narrow(one, 0, monkeypatch)
    with pytest.raises(torch.OutOfMemoryError):
        one.generate(asked(2), GREEDY, seed=0)


def test_batches_that_do_not_fit_are_halved_while_others_are_written(model: Any, monkeypatch: pytest.MonkeyPatch):
    expected = engine(model, 9).generate(asked(9), GREEDY, seed=0)
    one = engine(model, 8)
    sizes = narrow(one, 2, monkeypatch)
    with cores(2):
        assert one.generate(asked(9), GREEDY, seed=0) == expected
    assert one.batch_size <= 2 and max(sizes) == 5, "nine prompts are shared out to two writers"


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_each_core_writes_batches_of_its_own(sampling: Sampling, model: Any, monkeypatch: pytest.MonkeyPatch):
    with cores(1):
        expected = engine(model, 3).generate(asked(9), sampling, seed=3)
    one, both, threads = engine(model, 3), threading.Barrier(2, timeout=60), set()
    whole = one._lean

    def counted(*arguments: Any) -> Any:
        if threading.current_thread().name not in threads:
            threads.add(threading.current_thread().name)
            both.wait()  # passes only when two batches are under way
        assert torch.get_num_threads() == 1, "the cores are shared out"
        return whole(*arguments)

    monkeypatch.setattr(one, "_lean", counted)
    with cores(2):
        assert one.generate(asked(9), sampling, seed=3) == expected
        assert torch.get_num_threads() == 2, "given back"
    assert len(threads) == 2


def test_an_error_of_a_writer_is_raised_and_the_cores_are_given_back(model: Any, monkeypatch: pytest.MonkeyPatch):
    def broken(prompts: Any, requests: list[Request], *rest: Any) -> Any:
        raise FloatingPointError(requests[0].key)

    one = engine(model, 2)
    monkeypatch.setattr(one, "_lean", broken)
    with cores(2):
        with pytest.raises(FloatingPointError, match="face/"):
            one.generate(asked(8), GREEDY, seed=0)
        assert torch.get_num_threads() == 2


def test_large_models_use_all_cores_for_one_batch(model: Any, monkeypatch: pytest.MonkeyPatch):
    one = engine(model, 2)
    with cores(2):
        assert one._writers() == 2
        monkeypatch.setattr("facial_r1.generation.decoder_step.FUSE_BELOW", 1000)
        assert one._writers() == 1


@pytest.mark.parametrize(("count", "most", "writers", "size"), [(500, 50, 2, 50), (500, 200, 2, 125), (9, 8, 2, 5), (9, 8, 1, 8)])
def test_batches_are_shared_out_evenly(count: int, most: int, writers: int, size: int):
    assert _even(count, most, writers) == size
