"""vLLM's offline engine beside the transformers engine: the same model, faces and questions in float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facial_r1.config.schema import Generation, OfflineVLLM, Sampling
from facial_r1.errors import InputError
from facial_r1.generation import vllm_engine
from facial_r1.generation.engine import Engine, Request
from facial_r1.generation.opening import open_engine
from facial_r1.generation.vllm_inputs import Prompt, vllm_prompt
from tests.command import SMALL, facial_r1, run_directory
from tests.vllm import faces

#: Answers that may differ: the two add up in another order, and a tie may fall the other way.
TIES = 0.05
REQUESTS = [Request(f"face-{number}", faces.ask(number), (str(number),)) for number in range(24)]
GREEDY = Sampling(temperature=0.0, max_new_tokens=60)


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    """Both engines around the embedded model."""
    model, processor = faces.load(train=False)
    settings = Generation(vllm=OfflineVLLM(enforce_eager=True, gpu_memory_utilization=0.1, max_model_length=512))
    opened = {}
    for name in ("transformers", "vllm"):
        settings.name = name
        opened[name] = open_engine(settings, model, processor, faces.open_face, "embedded:tiny")
    yield opened
    opened["vllm"].close()  # type: ignore[attr-defined]


def test_greedy_answers_agree(engines: dict[str, Engine], capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = (engines[name].generate(REQUESTS, GREEDY, 0) for name in ("transformers", "vllm"))
    same = sum(one == other for one, other in zip(ours, theirs, strict=True))
    with capsys.disabled():
        print(f"\ngreedy answers that agree: {same} of {len(REQUESTS)}")
    assert same >= (1 - TIES) * len(REQUESTS)
    assert len({answer.text for answer in ours}) > len(REQUESTS) / 3, "answers that are all alike show nothing"


def test_seeds_decide_and_nothing_else_does(engines: dict[str, Engine]) -> None:
    sampling = Sampling(temperature=1.0, top_p=0.95, max_new_tokens=30)
    engine = engines["vllm"]
    first = engine.generate(REQUESTS[:6], sampling, 1)
    assert engine.generate(REQUESTS[:6], sampling, 1) == first
    assert engine.generate(REQUESTS[3:6], sampling, 1) == first[3:], "whatever else is in flight"
    assert engine.generate(REQUESTS[:6], sampling, 2) != first


def test_long_answers_are_cut_and_say_so(engines: dict[str, Engine]) -> None:
    cut = engines["vllm"].generate(REQUESTS[:2], Sampling(max_new_tokens=3), 0)
    assert [(answer.finish_reason, len(answer.token_ids)) for answer in cut] == [("length", 3)] * 2
    whole = engines["vllm"].generate(REQUESTS[:2], Sampling(max_new_tokens=200), 0)
    assert [answer.finish_reason for answer in whole] == ["stop"] * 2


@pytest.mark.parametrize("temperature", [0.0, 1.3])
def test_log_probabilities_agree(temperature: float, engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the model's own, before temperature and bans, with both engines."""
    for one in engines.values():
        monkeypatch.setattr(one, "logprobs", True)
    sampling = Sampling(temperature=temperature, max_new_tokens=12)
    ours, theirs = (engines[name].generate(REQUESTS[:8], sampling, 0) for name in ("transformers", "vllm"))
    compared = 0
    for one, other in zip(ours, theirs, strict=True):
        assert one.logprobs is not None and other.logprobs is not None
        assert len(other.logprobs) == len(other.token_ids)
        alike = [a == b for a, b in zip(one.token_ids, other.token_ids, strict=False)]
        shared = alike.index(False) if False in alike else len(alike)
        assert other.logprobs[:shared] == pytest.approx(one.logprobs[:shared], abs=1e-3)
        compared += shared
    assert compared >= (60 if temperature == 0 else 1)


def test_another_image_size_in_vllm_is_noticed(engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """As if vLLM's processor resized: twice the side gives four times the placeholders."""

    def larger(prompt: Prompt, image_token: int | None) -> dict[str, Any]:
        wide = {"mm_processor_kwargs": {"size": {"shortest_edge": 4 * 112**2, "longest_edge": 4 * 112**2}}}
        return vllm_prompt(prompt, image_token) | wide

    monkeypatch.setattr(vllm_engine, "vllm_prompt", larger)
    with pytest.raises(InputError, match="vLLM sees a prompt of"):
        engines["vllm"].generate(REQUESTS[:1], GREEDY, 0)


def test_the_evaluation_stage_answers_with_vllm(tmp_path: Path, face_cache: Path) -> None:
    """A model as the stage gets it, from the command line."""
    done = facial_r1(
        "stage=eval",
        *SMALL,
        "generation=vllm",
        "generation.vllm.enforce_eager=true",
        "generation.vllm.gpu_memory_utilization=0.1",
        "stage.resamples=0",
        f"run_dir={tmp_path}/run",
        cache=face_cache,
    )
    samples = (run_directory(done) / "samples.jsonl").read_text().splitlines()
    assert len(samples) == 16
