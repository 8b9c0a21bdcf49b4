"""The engine behind the cache: what is asked, what is stored when, and that no model is given the answers of another."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facial_r1.config.schema import Endpoint, ImageSize, Sampling
from facial_r1.errors import InputError
from facial_r1.generation.cache import ResponseCache
from facial_r1.generation.cached_engine import CachedEngine, local_identity, picture_view
from facial_r1.generation.engine import Completion, Request
from facial_r1.generation.openai_engine import OpenAIEngine
from tests.generation.counting import CountingEngine, answer_to, request
from tests.generation.fake_server import at_rates, serving, text_of

FORK = multiprocessing.get_context("fork")
GREEDY = Sampling(max_new_tokens=8)
VIEW = {"view": picture_view(ImageSize())}


@pytest.fixture
def cache(tmp_path: Path) -> ResponseCache:
    return ResponseCache(tmp_path / "responses.sqlite")


@pytest.fixture
def face(tmp_path: Path) -> Path:
    path = tmp_path / "face.png"
    Image.new("RGB", (8, 8), (200, 180, 160)).save(path)
    return path


def asked(engine: CountingEngine) -> list[str]:
    """What was generated since the last look."""
    found, engine.generated = engine.generated, []
    return found


def test_only_what_is_missing_is_generated(cache: ResponseCache):
    engine = CountingEngine()
    cached = CachedEngine(engine, cache, VIEW)
    requests = [request(str(number)) for number in range(6)]
    first = cached.generate(requests[1:4], GREEDY, 0)
    assert asked(engine) == ["1", "2", "3"]
    assert cached.generate(requests, GREEDY, 0) == [answer_to(one, GREEDY, 0) for one in requests]
    assert asked(engine) == ["0", "4", "5"] and first == cached.generate(requests[1:4], GREEDY, 0)
    assert cached.counts == {"hits": 6, "misses": 6}


def test_sampled_answers_are_kept_by_seed_and_sample(cache: ResponseCache):
    engine, sampling = CountingEngine(), Sampling(temperature=1.0)
    cached = CachedEngine(engine, cache, VIEW)
    four = [request("q", sample=number) for number in range(4)]
    answers = cached.generate(four, sampling, 0)
    assert len({answer.text for answer in answers}) == 4 and len(asked(engine)) == 4
    eight = [request("q", sample=number) for number in range(8)]
    assert cached.generate(eight, sampling, 0)[:4] == answers and len(asked(engine)) == 4, "four samples more, not eight"
    cached.generate(four, sampling, 1)
    assert len(asked(engine)) == 4, "another seed"


def test_equal_requests_of_a_call_are_generated_once(cache: ResponseCache):
    engine = CountingEngine()
    twice = [request("q"), dataclasses.replace(request("q"), key="other name"), request("r")]
    answers = CachedEngine(engine, cache, VIEW).generate(twice, GREEDY, 0)
    assert asked(engine) == ["q", "r"] and answers[0] == answers[1] != answers[2]


def test_one_changed_pixel_is_another_picture(cache: ResponseCache, face: Path):
    engine = CountingEngine()
    cached = CachedEngine(engine, cache, VIEW)
    one = request("q", images=(str(face),))
    cached.generate([one], GREEDY, 0)
    moved = face.parent / "moved.png"
    shutil.copyfile(face, moved)
    cached.generate([one, request("q", images=(str(moved),))], GREEDY, 0)
    assert asked(engine) == ["q"], "the same picture at another place is the same"
    image = Image.open(face)
    image.putpixel((3, 3), (200, 180, 161))
    image.save(face)
    cached.generate([one], GREEDY, 0)
    assert asked(engine) == ["q"]


@pytest.mark.parametrize(
    "other",
    [
        picture_view(ImageSize(max_pixels=50_176)),
        picture_view(ImageSize(mode="square", side=224)),
        picture_view(ImageSize(), blank=True),
    ],
)
def test_another_view_of_the_picture_is_another_request(cache: ResponseCache, face: Path, other: dict[str, Any]):
    engine = CountingEngine()
    for view in (picture_view(ImageSize()), other, other):
        CachedEngine(engine, cache, {"view": view}).generate([request("q", images=(str(face),))], GREEDY, 0)
    assert len(asked(engine)) == 2


def test_pictures_without_a_view_in_the_identity_are_refused(cache: ResponseCache, face: Path):
    with pytest.raises(ValueError, match="needs a view"):
        CachedEngine(CountingEngine(), cache, {}).generate([request("q", images=(str(face),))], GREEDY, 0)


def test_a_missing_picture_is_named(cache: ResponseCache):
    with pytest.raises(InputError, match=r"nowhere.png: the picture cannot be read \(No such file"):
        CachedEngine(CountingEngine(), cache, VIEW).generate([request("q", images=("/nowhere.png",))], GREEDY, 0)


class Moody(CountingEngine):
    """Fails at what is called bad, and says nothing to what is called empty."""

    def generate(self, requests: Any, sampling: Sampling, seed: int) -> list[Completion]:
        special = {"bad": Completion("", (), "error", "down"), "empty": Completion("", (), "stop")}
        return [
            special.get(one.key) or answer
            for one, answer in zip(requests, super().generate(requests, sampling, seed), strict=True)
        ]


def test_failures_and_empty_answers_are_handed_on_but_asked_for_again(cache: ResponseCache):
    engine = Moody()
    cached = CachedEngine(engine, cache, VIEW)
    requests = [request("bad"), request("good"), request("empty")]
    for _ in range(2):
        answers = cached.generate(requests, GREEDY, 0)
        assert answers[0].failed and answers[0].reason == "down" and answers[2].text == ""
    assert asked(engine) == ["bad", "good", "empty", "bad", "empty"]


def test_answers_are_stored_before_the_next_one_is_asked_for(cache: ResponseCache):
    class Breaking(CountingEngine):
        def stream(self, requests: list[Request], sampling: Sampling, seed: int) -> Iterator[list[tuple[int, Completion]]]:
            for place, one in enumerate(requests):
                if one.key == "3":
                    raise RuntimeError("gone")
                yield [(place, answer_to(one, sampling, seed))]

    with pytest.raises(RuntimeError, match="gone"):
        CachedEngine(Breaking(), cache, VIEW).generate([request(str(number)) for number in range(6)], GREEDY, 0)
    engine = CountingEngine()
    CachedEngine(engine, cache, VIEW).generate([request(str(number)) for number in range(6)], GREEDY, 0)
    assert asked(engine) == ["3", "4", "5"]


def test_a_full_disk_costs_the_cache_but_not_the_answers(cache: ResponseCache, monkeypatch: pytest.MonkeyPatch):
    def full(*arguments: Any) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(cache, "put_many", full)
    cached = CachedEngine(CountingEngine(), cache, VIEW)
    assert len(cached.generate([request("a"), request("b")], GREEDY, 0)) == 2 and cached.counts["unstored"] == 2


# --- with a server --------------------------------------------------------------------------------------------


def remote(url: str, cache: ResponseCache, **options: Any) -> CachedEngine:
    endpoint = Endpoint(
        base_url=url, model=options.pop("model", "fake"), **{"timeout": 1.0, "concurrency": 4, "revision": "r", **options}
    )
    engine = OpenAIEngine(endpoint, Image.open, first_wait=0.01)
    return CachedEngine(engine, cache, {**engine.identity(), **VIEW})


def test_two_models_in_one_cache(cache: ResponseCache):
    """The answers of one are never those of the other, in either order."""
    with serving(answer=lambda body, index: f"I am {body['model']}") as server:
        for _ in range(2):
            for model in ("a", "b"):
                assert remote(server.url, cache, model=model).generate([request("q")], GREEDY, 0)[0].text == f"I am {model}"
    assert len(server.seen) == 2


def test_a_server_that_breaks_down_is_resumed_without_asking_twice(cache: ResponseCache):
    requests = [request(f"prompt {number}") for number in range(60)]
    with serving() as calm:
        whole = remote(calm.url, ResponseCache(cache.path.parent / "other.sqlite")).generate(requests, GREEDY, 0)
    with serving(lambda body, attempt: "500" if int(text_of(body).split()[1]) >= 30 else None) as server:
        with pytest.raises(RuntimeError, match="failed one after the other"):
            remote(server.url, cache, retries=0).generate(requests, GREEDY, 0)
        answered = len(server.seen) - server.faults["500"]
    with serving(at_rates({"429": 0.2, "cut": 0.1})) as server:
        assert remote(server.url, cache).generate(requests, GREEDY, 0) == whole
        assert len(server.seen) - sum(server.faults.values()) == 60 - answered
    with serving() as server:
        assert remote(server.url, cache).generate(requests, GREEDY, 0) == whole
        assert not server.seen


def generate_all(url: str, path: Path, count: int) -> None:
    remote(url, ResponseCache(path)).generate([request(f"prompt {number}") for number in range(count)], GREEDY, 0)


def test_a_killed_client_has_kept_all_but_what_was_under_way(cache: ResponseCache):
    count, kills = 150, 3
    with serving(slow=0.01) as server:
        for kill in range(kills):
            process = FORK.Process(target=generate_all, args=(server.url, cache.path, count))
            before = len(server.seen)
            process.start()
            deadline = time.monotonic() + 10
            while len(server.seen) < before + 12 + 5 * kill and time.monotonic() < deadline:
                time.sleep(0.002)
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            assert process.exitcode == -signal.SIGKILL
        answers = remote(server.url, cache).generate([request(f"prompt {number}") for number in range(count)], GREEDY, 0)
    assert len(answers) == count and not any(answer.failed for answer in answers)
    assert count <= len(server.seen) <= count + kills * (4 + 2), "four were under way, and one or two between answer and file"


# --- with a model that runs here ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny() -> tuple[Any, Any]:
    from facial_r1 import models
    from facial_r1.config.schema import Model

    return models.load(Model(name="tiny", source="embedded:tiny", architecture="qwen2_5_vl"), train=False, device="cpu")


def test_a_model_here_is_known_by_its_weights_settings_and_template(tiny: tuple[Any, Any]):
    import torch

    from facial_r1.models.fingerprint import weights_fingerprint
    from facial_r1.models.images import ImageSizer

    model, processor = tiny

    def identity(**changes: Any) -> dict[str, Any]:
        given = {"engine": "transformers", "model": "tiny", "weights": weights_fingerprint(model), "dtype": "float32", **changes}
        return local_identity(**given, processor=processor, view=picture_view(ImageSize()))

    plain = identity()
    processor.tokenizer(["a", "b c d e f"], padding=True)
    assert identity() == plain, "what the processor was used for does not matter"
    assert identity(dtype="bfloat16") != plain and identity(engine="vllm") != plain and identity(attention="eager") != plain
    weight = next(iter(model.parameters()))
    with torch.no_grad():
        weight.view(-1)[0] += 1e-3
    assert identity() != plain, "one weight"
    with torch.no_grad():
        weight.view(-1)[0] -= 1e-3
    template = processor.chat_template
    processor.chat_template = template + " "
    assert identity() != plain, "the chat template"
    processor.chat_template = template
    sized = ImageSizer.from_processor(processor, ImageSize(max_pixels=28 * 28 * 9))
    assert sized.max_pixels == 28 * 28 * 9 and identity() != plain, "the pixel budget"


def test_a_hub_model_of_unknown_revision_is_not_cached():
    with pytest.raises(InputError, match=r"org/model: its revision is not known.*generation.cache=false"):
        local_identity("transformers", "org/model", "org/model@None", None, "float32", {})


def test_the_transformers_engine_answers_the_same_with_and_without_the_cache(
    tiny: tuple[Any, Any], cache: ResponseCache, face: Path
):
    from facial_r1.data import open_image
    from facial_r1.generation.transformers_engine import TransformersEngine

    engine = TransformersEngine(*tiny, open_image, batch_size=2)
    requests = [request(f"emotion {number}?", images=(str(face),)) for number in range(2)]
    plain = engine.generate(requests, GREEDY, 0)
    cached = CachedEngine(engine, cache, VIEW)
    assert cached.generate(requests, GREEDY, 0) == plain == cached.generate(requests, GREEDY, 0)
    assert cached.counts["hits"] == sum(bool(answer.text.strip()) for answer in plain)
