"""Asks a language model for verdicts on written reasoning, through the cache, and once more where a verdict cannot be read."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from facial_r1.config.schema import Endpoint, Judge, Sampling
from facial_r1.errors import InputError
from facial_r1.generation.cache import ResponseCache
from facial_r1.generation.cached_engine import CachedEngine
from facial_r1.generation.engine import Request, StreamingEngine
from facial_r1.generation.openai_engine import OpenAIEngine
from facial_r1.metrics.judge import JudgeResult, Rubric, load_rubric, parse_verdict
from facial_r1.metrics.samples import reasoning_of
from facial_r1.progress import progress_bar


def judge_samples(rows: Sequence[Mapping[str, Any]], settings: Judge, cache: ResponseCache | None = None) -> JudgeResult:
    """Grade the reasoning of answers against the reference descriptions of their records.

    Rows without a description are not graded, nor are rows without an answer (`finish_reason` "error"). An answer without any
    reasoning gets the lowest score, and nobody is asked. Every verdict is cached under the judge, the rubric's wording, the
    reasoning and the reference, so that a second call over the same rows asks nothing.

    Args:
        rows: mappings with `completion` and `description` (rows of samples.jsonl have both), optionally `id` and
            `finish_reason`.
        settings: the judge, its rubric and limits, and a second judge when `second.model` is set.
        cache: where verdicts are kept; None asks anew.

    Raises:
        InputError: the rubric cannot be used, or the server refuses the key or the model.
        RuntimeError: the server does not work; verdicts so far are in the cache.
    """
    rubric = load_rubric(settings.rubric)
    first = _judge(rows, settings, settings, rubric, cache)
    second = second_endpoint(settings)
    return dataclasses.replace(first, second=_judge(rows, second, settings, rubric, cache)) if second else first


def second_endpoint(settings: Judge) -> Endpoint | None:
    """The second judge: None without a model; at the address of the first, with its key, unless it has an address of its own."""
    second = settings.second
    if not second.model:
        if second.base_url:
            raise InputError("stage.judge.second has an address but no model: set stage.judge.second.model")
        return None
    if second.base_url:
        return second
    return dataclasses.replace(second, base_url=settings.base_url, api_key_env=second.api_key_env or settings.api_key_env)


def _judge(
    rows: Sequence[Mapping[str, Any]], endpoint: Endpoint, settings: Judge, rubric: Rubric, cache: ResponseCache | None
) -> JudgeResult:
    extra = {**({"response_format": _response_format()} if settings.structured else {}), **endpoint.extra}
    server = OpenAIEngine(dataclasses.replace(_plain(endpoint), extra=extra), _no_pictures)
    engine: StreamingEngine = server if cache is None else CachedEngine(server, cache, server.identity())
    scores: list[float | None] = [None] * len(rows)
    reasons, failed = [""] * len(rows), [False] * len(rows)
    open_rows: dict[int, tuple[str, str]] = {}
    for place, row in enumerate(rows):
        reference, reasoning = reasoning_of(str(row.get("description") or "")), reasoning_of(str(row.get("completion") or ""))
        if not reference:
            reasons[place] = "no reference description"
        elif row.get("finish_reason") == "error":
            reasons[place] = "no answer was generated"
        elif not reasoning:
            scores[place], reasons[place] = float(rubric.low), "no reasoning was written"
        else:
            open_rows[place] = (reasoning, reference)

    sampling = Sampling(temperature=0.0, max_new_tokens=settings.max_new_tokens)
    unreadable = 0
    for attempt in range(settings.attempts):
        asked = [
            Request(str(rows[place].get("id") or place), rubric.messages(*texts, again=attempt > 0), (), sample=attempt)
            for place, texts in open_rows.items()
        ]
        if not asked:
            break
        places = list(open_rows)
        with progress_bar(len(asked), f"asking {server.model}", "verdicts") as advance:
            for group in engine.stream(asked, sampling, seed=0):
                for index, answer in group:
                    place, verdict = places[index], parse_verdict(answer.text, rubric.low, rubric.high)
                    scores[place], reasons[place] = verdict.score, answer.reason or verdict.reason
                    failed[place] = verdict.score is None
                    if answer.failed or verdict.score is not None:
                        del open_rows[place]  # the engine has tried a failed request often enough
                    else:
                        unreadable += 1
                advance(len(group))
    calls = Counter(server.counts) + (engine.counts if isinstance(engine, CachedEngine) else Counter())
    calls["unreadable"] = unreadable
    return JudgeResult(scores, reasons, failed, rubric, server.model, dict(calls))


def _plain(endpoint: Endpoint) -> Endpoint:
    return Endpoint(**{field.name: getattr(endpoint, field.name) for field in dataclasses.fields(Endpoint)})


def _response_format() -> dict[str, Any]:
    """Structured output as OpenAI and vLLM understand it; the bounds of the scale are checked when the verdict is read."""
    schema = {
        "type": "object",
        "properties": {"score": {"type": "integer"}, "reason": {"type": "string"}},
        "required": ["score", "reason"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema}}


def _no_pictures(path: str) -> Image.Image:
    raise InputError(f"{path}: a judge reads text, it is shown no pictures")
