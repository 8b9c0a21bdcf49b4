"""The engine for chat-completions servers: complete and in order whatever the server does, and never without an end."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import logging
import time
from dataclasses import replace

import pytest
from PIL import Image

from facial_r1.config.schema import Endpoint, Generation, Sampling
from facial_r1.errors import InputError
from facial_r1.generation import openai_engine, openai_wire
from facial_r1.generation.engine import Request
from facial_r1.generation.openai_engine import OpenAIEngine
from tests.generation.fake_server import Body, at_rates, echo, serving, text_of

GREEDY = Sampling(max_new_tokens=16)
FAULTS = {"429": 0.1, "500": 0.1, "timeout": 0.05, "cut": 0.08, "reset": 0.07, "malformed": 0.1, "choiceless": 0.05}
KEY = "very-secret-key-0123456789"


def picture(path: str) -> Image.Image:
    image = Image.new("RGB", (5, 4), (10, 20, 30))
    image.putpixel((2, 1), (len(path), 0, 255))
    return image


def ask(text: str, sample: int = 0, images: tuple[str, ...] = ()) -> Request:
    parts = [{"type": "image"} for _ in images] + [{"type": "text", "text": text}]
    return Request(text, [{"role": "user", "content": parts}], images, sample)


def engine(url: str, **options: object) -> OpenAIEngine:
    own = {name: options.pop(name) for name in ("samples_per_call", "logprobs", "image_format") if name in options}
    endpoint = Endpoint(**{"base_url": url, "model": "fake", "timeout": 1.0, **options})
    return OpenAIEngine(endpoint, picture, first_wait=0.01, **own)


def test_answers_are_complete_and_in_order_under_every_fault():
    """45 % of the attempts fail in seven ways; with 6 retries every request still gets its own answer."""
    requests = [ask(f"prompt {number}") for number in range(80)]
    with serving(at_rates(FAULTS)) as server:
        client = engine(server.url, concurrency=8)
        answers = client.generate(requests, GREEDY, seed=3)
    assert [answer.text.partition(" to ")[2] for answer in answers] == [request.key for request in requests]
    assert set(server.faults) == set(FAULTS), "every kind of fault occurred"
    counts = client.counts
    assert counts["answered"] == 80 and counts["failed"] == 0
    assert counts["calls"] == len(server.seen) == 80 + sum(server.faults.values()), "nothing was asked that was not needed"
    assert counts["busy"] == server.faults["429"] and counts["server"] == server.faults["500"]
    assert (
        counts["timeout"] == server.faults["timeout"]
        and counts["malformed"] == server.faults["malformed"] + server.faults["choiceless"]
    )
    assert counts["connection"] == server.faults["cut"] + server.faults["reset"]
    assert counts["retried"] == sum(server.faults.values())


def test_faults_change_nothing_in_the_answers():
    requests = [ask(f"prompt {number}") for number in range(30)]
    with serving() as calm, serving(at_rates(FAULTS)) as wild:
        assert engine(calm.url).generate(requests, GREEDY, 0) == engine(wild.url).generate(requests, GREEDY, 0)


def test_requests_that_fail_for_good_are_counted_and_say_why():
    def fault(body: Body, attempt: int) -> str | None:
        return {"bad": "400", "dead": "500"}.get(text_of(body).split()[0])

    requests = [ask(f"{'bad' if n % 10 == 3 else 'dead' if n % 10 == 7 else 'good'} {n}") for n in range(40)]
    with serving(fault) as server:
        client = engine(server.url, retries=2, concurrency=4)
        answers = client.generate(requests, GREEDY, 0)
    failed = [answer for answer in answers if answer.failed]
    assert [request.key.split()[0] for request, answer in zip(requests, answers, strict=True) if answer.failed] == [
        "bad",
        "dead",
    ] * 4
    assert client.counts["failed"] == 8 and client.counts["answered"] == 32
    assert failed[0].reason == "invalid after 1 try: HTTP 400: the prompt is too long"
    assert failed[1].reason == "server after 3 tries: HTTP 500: Internal Server Error"
    assert all(answer.text == "" for answer in failed)
    assert client.counts["calls"] == 32 + 4 + 4 * 3, "an invalid request is not tried again, a failing server three times"


PROBLEMS = {
    "429": "busy", "500": "server", "503": "server", "timeout": "timeout", "drip": "timeout", "cut": "connection", "reset": "connection",
    "malformed": "malformed", "choiceless": "malformed",
}  # fmt: skip


@pytest.mark.parametrize("fault", PROBLEMS)
def test_a_fault_that_stays_costs_its_own_requests_only(fault: str):
    """Every third request never works: it is tried as often as allowed, counted once, and all others have their own answer."""
    requests = [ask(f"{'never' if n % 3 == 1 else 'fine'} {n}") for n in range(12)]
    with serving(lambda body, attempt: fault if text_of(body).startswith("never") else None) as server:
        client = engine(server.url, retries=1, concurrency=3, timeout=0.5)
        began = time.monotonic()
        answers = client.generate(requests, GREEDY, 0)
        assert time.monotonic() - began < 12
    assert [answer.failed for answer in answers] == [request.key.startswith("never") for request in requests]
    assert all(
        answer.text.endswith(f" to {request.key}") for request, answer in zip(requests, answers, strict=True) if not answer.failed
    )
    assert {answer.reason.split(":")[0] for answer in answers if answer.failed} == {f"{PROBLEMS[fault]} after 2 tries"}
    counts = client.counts
    assert (counts["answered"], counts["failed"], counts["retried"], counts["calls"]) == (8, 4, 4, 8 + 4 * 2)
    assert counts[PROBLEMS[fault]] == server.faults[fault] == 8


@pytest.mark.parametrize(
    "content",
    [
        b"", b"<html>not here</html>", b"null", b"[]", b'"text"', b"\xff\xfe", b'{"choices": []}', b'{"choices": null}', b'{"choices": {}}',
        b'{"choices": ["text"]}', b'{"choices": [{}]}', b'{"choices": [{"message": null}]}', b'{"choices": [{"message": {"content": 7}}]}',
        b'{"choices": [{"message": {"content": "half',
    ],
)  # fmt: skip
def test_what_is_no_chat_completion_is_said_and_never_an_answer(content: bytes):
    with pytest.raises(openai_wire.Refusal) as refused:
        openai_wire.read(200, {}, content)
    assert refused.value.problem == "malformed" and refused.value.message


def test_an_error_in_a_response_that_says_200_is_tried_again():
    def fault(body: Body, attempt: int) -> object:
        return (200, {}, b'{"error": {"message": "the engine is loading"}}') if attempt == 0 else None

    with serving(fault) as server:
        client = engine(server.url)
        (answer,) = client.generate([ask("a")], GREEDY, 0)
    assert not answer.failed and client.counts["server"] == 1 and client.counts["retried"] == 1


def test_a_server_that_asks_for_the_other_limit_for_ever_is_not_asked_for_ever():
    refusal = b'{"error": {"message": "Use max_completion_tokens"}}'
    with serving(lambda body, attempt: (400, {}, refusal)) as server:
        (answer,) = engine(server.url).generate([ask("a")], GREEDY, 0)
    assert answer.failed and answer.reason.startswith("invalid after 1 try") and len(server.seen) == 2


@pytest.mark.parametrize("fault", ["500", "503", "429", "cut", "reset", "malformed", "choiceless", "timeout", "drip", "400"])
def test_a_server_that_never_works_ends_the_job(fault: str):
    """The circuit breaker: no endless loop, and the message says what came back."""
    requests = [ask(f"prompt {number}") for number in range(200)]
    with serving(lambda body, attempt: fault) as server:
        client = engine(server.url, retries=1, concurrency=4, timeout=0.1)
        with pytest.raises(RuntimeError, match=r"requests for fake failed one after the other; the last one: \w+ after \d tr"):
            client.generate(requests, GREEDY, 0)
        assert len(server.seen) <= 2 * (openai_engine.GIVE_UP_AFTER + 4), "it was asked on after it had failed"


def test_nobody_listening_is_said_also_for_one_request():
    client = engine("http://127.0.0.1:9/v1", retries=1)
    with pytest.raises(RuntimeError, match="connection after 2 tries: ConnectError"):
        client.generate([ask("a")], GREEDY, 0)


def test_some_invalid_prompts_in_a_row_do_not_end_the_job():
    requests = [ask("good"), *(ask(f"bad {number}") for number in range(30)), ask("good too")]
    with serving(lambda body, attempt: "400" if "bad" in text_of(body) else None) as server:
        answers = engine(server.url, concurrency=1).generate(requests, GREEDY, 0)
    assert [answer.failed for answer in answers] == [False, *[True] * 30, False]


@pytest.mark.parametrize(("status", "said"), [(401, "Incorrect API key"), (404, "no model fake"), (403, "forbidden")])
def test_a_refused_key_address_or_model_stops_at_once(status: int, said: str):
    answer = (status, {}, json.dumps({"error": {"message": said}}).encode())
    with serving(lambda body, attempt: answer) as server:
        with pytest.raises(InputError, match=rf"refuses model fake: HTTP {status}: {said}.*api_key_env"):
            engine(server.url, concurrency=2).generate([ask(str(n)) for n in range(50)], GREEDY, 0)
        assert len(server.seen) <= 4


def test_retry_after_is_honoured_by_all():
    """One 429 with Retry-After: 1 holds every request back for that second, not only the one that was told."""

    def fault(body: Body, attempt: int) -> object:
        return (429, {"Retry-After": "1"}, b"slow down") if text_of(body) == "first" and not attempt else None

    with serving(fault, slow=0.05) as server:
        client = engine(server.url, concurrency=1)
        list(client.stream([ask("first")], GREEDY, 0))
        both = engine(server.url, concurrency=2)
        server.asked.clear()
        both.generate([ask("first"), *(ask(f"other {number}") for number in range(6))], GREEDY, 0)
    times = [moment for moment, _, _ in server.seen]
    assert times[1] - times[0] >= 0.99
    gaps = [later - earlier for earlier, later in itertools.pairwise(times[2:])]
    assert max(gaps) >= 0.9, "no call was made for about a second"


def test_a_server_that_wants_an_hour_is_not_waited_for():
    with serving(lambda body, attempt: (429, {"Retry-After": "3600"}, b"quota") if text_of(body) == "b" else None) as server:
        began = time.monotonic()
        answers = engine(server.url, concurrency=1).generate([ask("a"), ask("b")], GREEDY, 0)
    assert answers[1].reason == "busy after 1 try: HTTP 429: quota" and time.monotonic() - began < 2


def test_requests_per_minute_spread_the_calls():
    with serving() as server:
        client = engine(server.url, requests_per_minute=1200, concurrency=8)
        client.generate([ask(str(number)) for number in range(10)], GREEDY, 0)
        client.generate([ask("later")], GREEDY, 0)
    times = [moment for moment, _, _ in server.seen]
    assert times[-1] - times[0] >= 10 * 0.05 * 0.9, "11 calls at 20 a second take half a second"


def test_concurrency_is_bounded_and_used():
    with serving(slow=0.05) as server:
        engine(server.url, concurrency=6, timeout=5).generate([ask(str(number)) for number in range(30)], GREEDY, 0)
    assert 3 <= server.busiest <= 6


def test_answers_stream_as_they_arrive():
    """What is consumed first is there while the rest is still under way, and breaking off ends the work."""
    with serving(lambda body, attempt: "timeout" if "hang" in text_of(body) else None) as server:
        client = engine(server.url, concurrency=2, timeout=30)
        began = time.monotonic()
        for group in client.stream([ask("hang"), ask("quick")], GREEDY, 0):
            assert group[0][0] == 1
            break
        assert time.monotonic() - began < 3
        server.released.set()


def test_works_inside_a_running_event_loop():
    """As in a notebook."""
    with serving() as server:

        async def cell() -> int:
            return len(engine(server.url).generate([ask("a"), ask("b")], GREEDY, 0))

        assert asyncio.run(cell()) == 2


def test_the_body_holds_what_was_asked_for_and_nothing_that_strict_servers_refuse():
    with serving() as server:
        engine(server.url).generate([ask("hello")], GREEDY, 0)
        sampled = Sampling(temperature=0.7, top_p=0.9, top_k=40, min_p=0.05, repetition_penalty=1.1, max_new_tokens=9)
        engine(server.url, extra={"seed": None, "stop": ["."]}).generate([ask("hello")], sampled, 0)
    plain, full = server.bodies
    assert set(plain) == {"model", "messages", "temperature", "max_tokens", "seed"}
    assert plain["messages"] == [{"role": "user", "content": "hello"}], "text alone travels as a string"
    assert "seed" not in full and full["stop"] == ["."]
    assert [full[name] for name in ("top_p", "top_k", "min_p", "repetition_penalty", "max_tokens")] == [0.9, 40, 0.05, 1.1, 9]


def test_a_picture_travels_without_losing_a_pixel():
    with serving() as server:
        engine(server.url).generate([ask("look", images=("face.png",))], GREEDY, 0)
    image, text = server.bodies[0]["messages"][0]["content"]
    head, _, data = image["image_url"]["url"].partition(",")
    sent = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == "data:image/png;base64" and sent.tobytes() == picture("face.png").tobytes()
    assert text == {"type": "text", "text": "look"}


def test_a_wrong_number_of_pictures_is_refused():
    with serving() as server, pytest.raises(InputError, match="x: 1 of 1 pictures have no image part"):
        engine(server.url).generate([Request("x", ask("x").messages, ("a.png",))], GREEDY, 0)


def test_seeds_follow_from_seed_sample_and_content_only():
    def seeds(requests: list[Request], seed: int) -> list[int]:
        with serving() as server:
            engine(server.url, concurrency=1).generate(requests, GREEDY, seed)
            return [body["seed"] for body in server.bodies]

    first = seeds([ask("a"), ask("b"), ask("a", sample=1)], 5)
    assert len(set(first)) == 3 and all(0 <= seed < 2**31 for seed in first)
    assert seeds([replace(ask("b"), key="renamed"), ask("a")], 5) == [first[1], first[0]], "neither key nor company matter"
    assert seeds([ask("a")], 6) != [first[0]]


def test_samples_of_a_prompt_can_share_a_call():
    requests = [ask("a", 0), ask("a", 1), ask("a", 2), ask("b", 0), ask("b", 1)]
    with serving() as server:
        answers = engine(server.url, samples_per_call=2, concurrency=1).generate(requests, GREEDY, 0)
    assert [body.get("n") for body in server.bodies] == [2, None, 2]
    assert len({answer.text for answer in answers}) == 5
    assert [answer.text[-1] for answer in answers] == ["a", "a", "a", "b", "b"]


def test_a_server_that_ignores_n_is_asked_again():
    """Some servers give one choice whatever n says."""

    def one(body: Body, attempt: int) -> object:
        message = {"message": {"content": f"{text_of(body)} {body['seed']}"}, "finish_reason": "stop"}
        return 200, {}, json.dumps({"choices": [message]}).encode()

    with serving(one) as server:
        answers = engine(server.url, samples_per_call=3).generate([ask("a", n) for n in range(3)], GREEDY, 0)
    assert len(answers) == 3 and len({answer.text for answer in answers}) == 3


def test_reasoning_that_a_server_took_out_is_put_back():
    def answer(body: Body, index: int) -> Body:
        return {"message": {"reasoning_content": "AU12", "content": "<answer>happiness</answer>"}, "finish_reason": "length"}

    with serving(answer=answer) as server:
        (got,) = engine(server.url).generate([ask("a")], GREEDY, 0)
    assert got.text == "<think>AU12</think><answer>happiness</answer>" and got.finish_reason == "length" and got.length == 7


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"message": {"content": "half"}, "finish_reason": "content_filter"}, "the server ended the answer: content_filter"),
        ({"message": {"content": "half"}, "finish_reason": "abort"}, "the server ended the answer: abort"),
        ({"message": {"content": None, "refusal": "No faces."}, "finish_reason": "stop"}, "the server refused: No faces."),
    ],
)
def test_aborted_and_refused_answers_are_failures(choice: Body, reason: str):
    with serving(answer=lambda body, index: choice) as server:
        client = engine(server.url)
        (got,) = client.generate([ask("a")], GREEDY, 0)
    assert got.failed and got.reason == reason and got.text == "" and client.counts["failed"] == 1


def test_logprobs_are_read():
    tokens = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.25}]}
    choice = {"message": {"content": "ab"}, "finish_reason": "stop", "logprobs": tokens}
    with serving(answer=lambda body, index: choice) as server:
        (got,) = engine(server.url, logprobs=True).generate([ask("a")], GREEDY, 0)
    assert server.bodies[0]["logprobs"] is True and got.logprobs == (-0.5, -1.25)


def test_max_completion_tokens_where_a_server_insists_on_it():
    refusal = json.dumps({"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}})

    def fault(body: Body, attempt: int) -> object:
        return (400, {}, refusal.encode()) if "max_tokens" in body else None

    with serving(fault) as server:
        answers = engine(server.url, concurrency=1).generate([ask("a"), ask("b")], GREEDY, 0)
    assert not any(answer.failed for answer in answers)
    assert [("max_tokens" in body, body.get("max_completion_tokens")) for body in server.bodies] == [
        (True, None),
        (False, 16),
        (False, 16),
    ]


def test_the_model_can_be_left_to_the_server():
    with serving() as server:
        assert engine(server.url, model=None).model == "fake"
        server.models = ["one", "two"]
        with pytest.raises(InputError, match=r"serves 2 models \(one, two\); choose one"):
            _ = engine(server.url, model=None).model
    with pytest.raises(InputError, match=r"does not say what is served .*; give model"):
        _ = engine("http://127.0.0.1:9/v1", model=None).model


def test_the_key_is_sent_but_never_shown(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """Also where a server repeats it, in logs, messages, reasons and the representation of the engine."""
    monkeypatch.setenv("SERVER_KEY", KEY)
    caplog.set_level(logging.DEBUG)

    def fault(body: Body, attempt: int) -> object:
        return (400, {}, f"bad key {KEY}".encode()) if text_of(body) == "b" else None

    with serving(fault) as server:
        client = engine(server.url, api_key_env="SERVER_KEY", concurrency=1)
        answers = client.generate([ask("a"), ask("b")], GREEDY, 0)
        assert server.seen[0][1]["authorization"] == f"Bearer {KEY}"
        with pytest.raises(InputError) as refused, serving(lambda body, attempt: (401, {}, KEY.encode())) as other:
            engine(other.url, api_key_env="SERVER_KEY").generate([ask("a")], GREEDY, 0)  # pragma: allowlist secret
    assert answers[1].reason == "invalid after 1 try: HTTP 400: bad key (hidden)"
    shown = (
        caplog.text + str(refused.value) + repr(client) + repr(client.endpoint) + json.dumps(client.identity()) + repr(answers)
    )
    assert KEY not in shown and "(hidden)" in str(refused.value)


@pytest.mark.parametrize(("value", "message"), [("", "is not set"), ("two words", "characters that no key has")])
def test_a_key_that_is_missing_or_no_key_is_refused(monkeypatch: pytest.MonkeyPatch, value: str, message: str):
    monkeypatch.setenv("SERVER_KEY", value)
    with pytest.raises(InputError, match=f"api_key_env=SERVER_KEY: .*{message}"):
        engine("http://127.0.0.1:9/v1", api_key_env="SERVER_KEY")  # pragma: allowlist secret


def test_a_key_in_the_configuration_is_refused_without_repeating_it():
    with pytest.raises(ValueError, match="names an environment variable") as refused:
        Endpoint(api_key_env="sk-abcdef")  # pragma: allowlist secret
    assert "sk-abcdef" not in str(refused.value.errors()[0]["ctx"]["error"])  # type: ignore[attr-defined]


def test_from_config():
    generation = Generation(
        name="openai", base_url="http://127.0.0.1:9/v1/", model="m", image_format="jpeg", samples_per_call=4, logprobs=True
    )
    made = OpenAIEngine.from_config(generation, picture)
    assert (made.base_url, made.model, made.image_format, made.samples_per_call, made.logprobs) == (
        "http://127.0.0.1:9/v1", "m", "jpeg", 4, True,
    )  # fmt: skip


def test_identity_takes_the_revision_for_the_address():
    first, second = (engine(f"http://127.0.0.1:{port}/v1") for port in (1, 2))
    assert first.identity() != second.identity()
    first, second = (engine(f"http://127.0.0.1:{port}/v1", revision="r1") for port in (1, 2))
    assert first.identity() == second.identity() != engine("http://127.0.0.1:1/v1", revision="r2").identity()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({}, None),
        ({"retry-after": "-3"}, 0.0),
    ],
)
def test_retry_after_header(headers: dict[str, str], seconds: float | None):
    assert openai_wire.retry_after(headers) == seconds


def test_retry_after_header_as_a_date():
    assert openai_wire.retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert (openai_wire.retry_after({"retry-after": "Wed, 21 Oct 2065 07:28:00 GMT"}) or 0) > 1e9


def test_echo_of_the_fake_server_tells_choices_apart():
    body = {"messages": [{"role": "user", "content": "a"}], "n": 2}
    assert echo(body, 0) != echo(body, 1)
