"""A judge over a real connection: cached, asked again where unreadable, and honest about the rows it failed on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from facial_r1.config.schema import Endpoint, Judge
from facial_r1.errors import InputError
from facial_r1.generation.cache import ResponseCache
from facial_r1.generation.judging import judge_samples
from facial_r1.metrics.judge import figures
from tests.generation.fake_server import Body, at_rates, serving, text_of


def rows(count: int) -> list[dict[str, Any]]:
    """Answers whose reasoning holds the score they will get."""
    return [
        {
            "id": f"r{number}",
            "completion": f"<think>reasoning number {number}, worth {1 + number % 10}.</think><answer>fear</answer>",
            "description": "<think>The brows rise (AU1, AU2).</think><answer>fear</answer>",
        }
        for number in range(count)
    ]


def numbers(text: str) -> tuple[int, int]:
    """The row's number and the score that its reasoning names."""
    found = re.search(r"reasoning number (\d+), worth (\d+)", text)
    assert found, text
    return int(found[1]), int(found[2])


def worth(text: str) -> int:
    return numbers(text)[1]


def verdict(body: Body, index: int) -> str:
    return json.dumps({"score": worth(text_of(body)), "reason": "as it says"})


def settings(url: str, **options: Any) -> Judge:
    return Judge(**{"enabled": True, "base_url": url, "model": "judge-1", "timeout": 1.0, "concurrency": 8, **options})


def expected(count: int) -> list[float]:
    return [float(1 + number % 10) for number in range(count)]


@pytest.fixture
def cache(tmp_path: Path) -> ResponseCache:
    return ResponseCache(tmp_path / "responses.sqlite")


def test_scores_are_in_order_and_a_second_call_asks_nothing(cache: ResponseCache):
    with serving(at_rates({"429": 0.1, "malformed": 0.1}), verdict) as server:
        first = judge_samples(rows(40), settings(server.url), cache)
        assert first.scores == expected(40) and set(first.reasons) == {"as it says"} and first.failures == 0
        asked = len(server.seen)
        again = judge_samples(rows(40), settings(server.url), cache)
        assert again.scores == first.scores and len(server.seen) == asked and again.calls["hits"] == 40
        assert server.bodies[0]["temperature"] == 0 and "seed" in server.bodies[0]
    assert judge_samples(rows(40), settings(server.url), cache).scores == expected(40), "not even a server is needed"


def test_ten_percent_of_injected_failures_leave_the_mean_of_the_rest_and_are_reported(cache: ResponseCache):
    def fault(body: Body, attempt: int) -> str | None:
        return "500" if numbers(text_of(body))[0] % 10 == 4 else None

    with serving(fault, verdict) as server:
        result = judge_samples(rows(100), settings(server.url, retries=0), cache)
    rest = [score for number, score in enumerate(expected(100)) if number % 10 != 4]
    found = figures(result, range(100), resamples=50)
    assert found["text/judge"]["value"] == pytest.approx(sum(rest) / 90) and found["text/judge"]["n"] == 90
    assert found["text/judge_failed"]["value"] == pytest.approx(0.10) == result.failure_rate
    assert found["compat/text/judge"]["value"] == pytest.approx(sum(rest) / 100)
    assert result.failures == 10 and "HTTP 500" in result.reasons[4]
    with serving(answer=verdict) as server:
        mended = judge_samples(rows(100), settings(server.url, revision="r"), cache)
        assert mended.failures == 0


def test_only_failures_are_asked_again_on_the_next_run(cache: ResponseCache):
    with serving(lambda body, attempt: "500" if worth(text_of(body)) == 3 else None, verdict) as server:
        judge_samples(rows(20), settings(server.url, retries=0), cache)
        server.fault = lambda body, attempt: None
        before = len(server.seen)
        result = judge_samples(rows(20), settings(server.url, retries=0), cache)
    assert result.scores == expected(20) and len(server.seen) - before == 2


def test_unreadable_verdicts_are_asked_for_again_with_a_reminder_then_given_up(cache: ResponseCache):
    def answer(body: Body, index: int) -> str:
        text = text_of(body)
        if worth(text) == 5:
            return "I would say 5 of 10"
        if worth(text) == 6 and "could not be read" not in text:
            return '{"score": 60}'
        return verdict(body, index)

    with serving(answer=answer) as server:
        result = judge_samples(rows(10), settings(server.url, attempts=3), cache)
        assert len(server.seen) == 10 + 2 + 1
        assert result.failed == [number == 4 for number in range(10)] and result.scores[5] == 6.0
        assert result.reasons[4] == "no JSON object with a score" and result.calls["unreadable"] == 4
        again = judge_samples(rows(10), settings(server.url, attempts=3), cache)
        assert again.scores == result.scores and len(server.seen) == 13, "what was unreadable is known to be"


def test_rows_that_cannot_be_graded_are_not_asked_about():
    given = [
        {**rows(1)[0], "description": ""},
        {**rows(1)[0], "finish_reason": "error", "completion": ""},
        {**rows(1)[0], "completion": ""},
        rows(1)[0],
    ]
    with serving(answer=verdict) as server:
        result = judge_samples(given, settings(server.url))
    assert result.scores == [None, None, 1.0, 1.0] and result.failures == 0 and result.asked == 2 and len(server.seen) == 1
    assert result.reasons[:3] == ["no reference description", "no answer was generated", "no reasoning was written"]


def test_the_judge_sees_reasoning_and_reference_without_tags():
    with serving(answer=verdict) as server:
        judge_samples(rows(1), settings(server.url))
    text = text_of(server.bodies[0])
    assert "reasoning number 0" in text and "The brows rise (AU1, AU2)." in text
    assert "<think>" not in text and "<answer>" not in text


def test_two_judges_agree_as_far_as_they_do(cache: ResponseCache):
    def answer(body: Body, index: int) -> str:
        score = worth(text_of(body))
        return json.dumps({"score": min(10, score + 1) if body["model"] == "judge-2" and score % 2 else score, "reason": ""})

    with serving(answer=answer) as server:
        result = judge_samples(rows(50), settings(server.url, second=Endpoint(model="judge-2", concurrency=4)), cache)
    assert {body["model"] for body in server.bodies} == {"judge-1", "judge-2"} and len(server.seen) == 100
    found = figures(result, range(50), resamples=50)
    assert found["text/judge_agreement"]["value"] == pytest.approx(0.5) and found["text/judge_kappa"]["value"] > 0.9
    assert result.second is not None and found["text/judge_second"]["value"] == pytest.approx(6.0)
    assert result.card()["second"]["model"] == "judge-2"


def test_another_judge_and_another_rubric_are_asked_anew(cache: ResponseCache, tmp_path: Path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("instruction: 'Compare {reference} with {reasoning}'\n")
    with serving(answer=verdict) as server:
        for options in ({}, {"model": "judge-2"}, {"rubric": str(mine)}, {"structured": True}, {}):
            judge_samples(rows(3), settings(server.url, **options), cache)
    assert len(server.seen) == 4 * 3
    assert server.bodies[-1]["response_format"]["json_schema"]["schema"]["required"] == ["score", "reason"]


def test_a_judge_that_is_down_ends_the_grading_with_its_words(cache: ResponseCache):
    with serving(lambda body, attempt: "503") as server, pytest.raises(RuntimeError, match="HTTP 503: <html>overloaded"):
        judge_samples(rows(50), settings(server.url, retries=0), cache)


@pytest.mark.parametrize("options", [{"base_url": None}, {"model": None}])
def test_an_enabled_judge_needs_an_address_and_a_name(options: dict[str, None]):
    with pytest.raises(ValueError, match=r"judge.enabled needs judge.base_url and judge.model"):
        settings("http://127.0.0.1:9/v1", **options)


def test_a_second_judge_needs_a_name():
    with pytest.raises(InputError, match=r"set stage.judge.second.model"), serving(answer=verdict) as server:
        judge_samples(rows(1), settings(server.url, second=Endpoint(base_url="http://127.0.0.1:9/v1")))
