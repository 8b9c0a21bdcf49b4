"""Log-probabilities of the tokens that an engine in this process writes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from facial_r1.config.media_schema import Audio, Video
from facial_r1.config.schema import Generation, Sampling
from facial_r1.generation.cache import ResponseCache
from facial_r1.generation.cached_engine import CachedEngine, picture_view
from facial_r1.generation.engine import Completion, Request
from facial_r1.generation.opening import open_engine
from facial_r1.generation.transformers_engine import TransformersEngine
from tests.generation.test_transformers_engine import Pictures, asked
from tests.invariants import tiny_vl

GREEDY = Sampling(temperature=0.0, max_new_tokens=8, repetition_penalty=1.0)
DRAWN = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=8, repetition_penalty=1.3)


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_vl.model("qwen2_5_vl").eval()


def engine(model: Any, path: str = "lean loop", logprobs: bool = True) -> TransformersEngine:
    made = TransformersEngine(model, tiny_vl.processor("qwen2_5_vl"), Pictures(), 3, logprobs=logprobs)
    made.path = path
    return made


def forwarded(model: Any, request: Request, answer: Completion) -> list[float]:
    """Log-softmax of one plain forward over prompt and answer, at the answer's tokens."""
    processor = tiny_vl.processor("qwen2_5_vl")
    text = processor.apply_chat_template(request.messages, add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[text], images=[[Pictures()(name) for name in request.images]], return_tensors="pt")
    answered = torch.tensor([answer.token_ids])
    whole = torch.cat([inputs["input_ids"], answered], dim=1)
    types = torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, answered.shape[1]))
    with torch.no_grad():
        logits = model(
            input_ids=whole,
            pixel_values=inputs["pixel_values"],
            image_grid_thw=inputs["image_grid_thw"],
            mm_token_type_ids=types,
        ).logits[0]
    scores = logits[inputs["input_ids"].shape[1] - 1 : -1].float().log_softmax(-1)
    return scores.gather(1, answered[0, :, None]).squeeze(1).tolist()


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
@pytest.mark.parametrize("path", ["lean loop", "generate: for the test"])
def test_they_are_those_of_a_plain_forward(path: str, sampling: Sampling, model: Any):
    requests = asked(5)
    answers = engine(model, path).generate(requests, sampling, seed=1)
    assert sum(answer.length for answer in answers) >= 10
    for request, answer in zip(requests, answers, strict=True):
        assert answer.logprobs is not None and len(answer.logprobs) == len(answer.token_ids)
        assert answer.logprobs == pytest.approx(forwarded(model, request, answer), abs=1e-4)


def test_the_end_token_has_none(model: Any):
    plain = engine(model).generate(asked(1), GREEDY, seed=0)[0]
    ended = engine(model)
    ended._ends = (plain.token_ids[3],)
    answer = ended.generate(asked(1), GREEDY, seed=0)[0]
    kept = plain.token_ids.index(plain.token_ids[3])
    assert answer.finish_reason == "stop" and answer.token_ids == plain.token_ids[:kept]
    assert plain.logprobs is not None and answer.logprobs == pytest.approx(plain.logprobs[:kept], abs=1e-6)


@pytest.mark.parametrize("path", ["lean loop", "generate: for the test"])
def test_not_asked_for_there_are_none_and_the_answers_are_the_same(path: str, model: Any, monkeypatch: pytest.MonkeyPatch):
    told = engine(model, path).generate(asked(4), GREEDY, seed=0)
    monkeypatch.setattr(torch.Tensor, "log_softmax", None)  # nothing is computed for nobody
    quiet = engine(model, path, logprobs=False).generate(asked(4), GREEDY, seed=0)
    assert [answer.logprobs for answer in quiet] == [None] * 4
    assert [answer.token_ids for answer in quiet] == [answer.token_ids for answer in told]


@pytest.mark.parametrize("wanted", [True, False])
def test_the_setting_reaches_the_engine(wanted: bool, model: Any):
    made = open_engine(Generation(logprobs=wanted), model, tiny_vl.processor("qwen2_5_vl"), Pictures(), "somewhere")
    assert isinstance(made, TransformersEngine) and made.logprobs is wanted


def test_the_cache_keeps_them_and_does_not_mix_answers_with_and_without(model: Any, tmp_path: Path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    requests = []
    for number, request in enumerate(asked(2)):
        tiny_vl.image(number).save(pictures / f"{number}.png")
        requests.append(Request(request.key, copy.deepcopy(request.messages), (str(pictures / f"{number}.png"),)))

    def cached(logprobs: bool) -> CachedEngine:
        made = engine(model, logprobs=logprobs)
        made.open_image = lambda path: tiny_vl.image(int(Path(path).stem))
        return CachedEngine(made, ResponseCache(tmp_path / "cache.sqlite"), identity_of(logprobs))

    told = cached(True).generate(requests, GREEDY, seed=0)
    quiet = cached(False)
    assert [answer.logprobs for answer in quiet.generate(requests, GREEDY, seed=0)] == [None, None]
    assert quiet.counts["hits"] == 0
    again = cached(True)
    assert again.generate(requests, GREEDY, seed=0) == told
    assert again.counts["hits"] == 2 and told[0].logprobs is not None


def identity_of(logprobs: bool) -> dict[str, Any]:
    """The identity that a stage gives its engine, for a job with or without log-probabilities."""
    from types import SimpleNamespace

    from facial_r1.config.schema import ImageSize
    from facial_r1.models import tiny
    from facial_r1.stages import engines

    job = SimpleNamespace(
        generation=Generation(logprobs=logprobs),
        model=SimpleNamespace(image_size=ImageSize(), attention="sdpa"),
        stage=SimpleNamespace(),
        data=SimpleNamespace(video=Video(), audio=Audio()),
        launch=SimpleNamespace(device="cpu", precision="fp32"),
    )
    loaded = SimpleNamespace(source=tiny.SOURCE, processor=tiny_vl.processor("qwen2_5_vl"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facial_r1.training.arguments.training_dtype", lambda _: torch.float32)
        patch.setattr("facial_r1.models.fingerprint", lambda *_, **__: "weights")
        identity = engines._identity(SimpleNamespace(job=job), loaded, None, None)
    assert picture_view(ImageSize()) == identity["view"]
    return identity
