"""The vLLM engine around a stand-in for vLLM, which `tests/vllm` has the real one of."""

from __future__ import annotations

import importlib.machinery
import io
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from facial_r1.config.schema import OfflineVLLM, Sampling
from facial_r1.errors import InputError
from facial_r1.generation.engine import Request
from facial_r1.generation.vllm_engine import VLLMEngine, request_seed
from tests.invariants import tiny_vl

PAD, END = 262, 258
ASK = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who?"}]}]


class FakeLLM:
    """Expands each placeholder to four, as for an image of 56 pixels, and writes "ab"."""

    expansion = 4

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments

    def generate(self, prompts: Any, sampling_params: Any, use_tqdm: bool) -> list[Any]:
        self.asked = list(zip(prompts, sampling_params, strict=True))
        out = []
        for prompt in prompts:
            seen = [copy for token in prompt["prompt_token_ids"] for copy in [token] * (self.expansion if token == PAD else 1)]
            written = tiny_vl.tokenizer().encode("ab", add_special_tokens=False)
            scores = [{token: SimpleNamespace(logprob=-place)} for place, token in enumerate([*written, END])]
            answer = SimpleNamespace(token_ids=[*written, END], logprobs=scores)
            out.append(SimpleNamespace(prompt_token_ids=seen, outputs=[answer]))
        return out


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> VLLMEngine:
    fake = ModuleType("vllm")
    fake.__spec__ = importlib.machinery.ModuleSpec("vllm", None)
    fake.LLM, fake.SamplingParams = FakeLLM, lambda **given: SimpleNamespace(**given)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", fake)
    processor = tiny_vl.processor("qwen2_5_vl")
    return VLLMEngine("somewhere", processor, lambda path: tiny_vl.image(int(path)), OfflineVLLM(max_model_length=99), (END,))


def test_one_placeholder_and_the_image_are_sent(engine: VLLMEngine) -> None:
    answers = engine.generate([Request("a", ASK, ("3",)), Request("b", ASK, ("4",))], Sampling(), 0)
    assert [(answer.text, answer.finish_reason, len(answer.token_ids)) for answer in answers] == [("ab", "stop", 2)] * 2
    for prompt, _ in engine._llm.asked:
        assert prompt["prompt_token_ids"].count(PAD) == 1
        assert [image.size for image in prompt["multi_modal_data"]["image"]] == [(56, 56)]


def test_the_engine_gets_the_checkpoint_its_length_and_our_bounds(engine: VLLMEngine) -> None:
    engine.open()
    given = engine._llm.arguments
    assert given["model"] == "somewhere" and given["max_model_len"] == 99
    assert given["mm_processor_kwargs"] == {"size": {"shortest_edge": 784, "longest_edge": 12544}}


def test_sampling_is_passed_on_with_ends_and_banned_tokens(engine: VLLMEngine) -> None:
    engine.generate([Request("a", ASK, ("3",))], Sampling(temperature=0.5, top_p=0.9, top_k=4, max_new_tokens=7), 1)
    _, sent = engine._llm.asked[0]
    assert (sent.temperature, sent.top_p, sent.top_k, sent.max_tokens) == (0.5, 0.9, 4, 7)
    assert sent.stop_token_ids == [END] and "<|image_pad|>" in sent.bad_words
    assert sent.seed == request_seed(1, Request("a", ASK, ("3",)))


def test_greedy_answers_need_no_seed(engine: VLLMEngine) -> None:
    engine.generate([Request("a", ASK, ("3",))], Sampling(), 1)
    assert engine._llm.asked[0][1].seed is None


def test_log_probabilities_are_asked_for_and_read_where_they_are_wanted(engine: VLLMEngine) -> None:
    (quiet,) = engine.generate([Request("a", ASK, ("3",))], Sampling(), 0)
    assert engine._llm.asked[0][1].logprobs is None and quiet.logprobs is None
    engine.logprobs = True
    (told,) = engine.generate([Request("a", ASK, ("3",))], Sampling(), 0)
    assert engine._llm.asked[0][1].logprobs == 0
    assert told.logprobs == (0.0, -1.0), "those of the tokens, without the end token's"


def test_an_image_that_vllm_resizes_is_refused(engine: VLLMEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeLLM, "expansion", 16)
    with pytest.raises(InputError, match="vLLM sees a prompt of"):
        engine.generate([Request("a", ASK, ("3",))], Sampling(), 0)


def test_seeds_depend_on_seed_key_and_sample() -> None:
    seeds = {request_seed(s, Request(key, [], (), sample)) for s in (0, 1) for key in ("a", "b") for sample in (0, 1)}
    assert len(seeds) == 8 and all(0 <= seed < 2**63 for seed in seeds)


def test_vllm_starts_where_standard_output_is_no_file(
    engine: VLLMEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a notebook: vLLM asks it for its descriptor."""
    started = []
    monkeypatch.setattr(FakeLLM, "__init__", lambda self, **given: started.append(sys.stdout.fileno()))
    with (tmp_path / "out").open("w") as process:
        monkeypatch.setattr(sys, "__stdout__", process)
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        engine.open()
        assert started == [process.fileno()] and isinstance(sys.stdout, io.StringIO)
