"""What goes over the wire to a chat-completions server and what comes back, as pure functions.

The published parameters of the API are sent as they are; those that only some servers know (`top_k`, `min_p`,
`repetition_penalty`) are sent when they differ from doing nothing, so that servers that refuse unknown keys work too.
"""

from __future__ import annotations

import base64
import datetime
import email.utils
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from PIL import Image

from facial_r1.config.schema import Sampling
from facial_r1.errors import InputError
from facial_r1.generation.engine import Completion, Request, pictures
from facial_r1.generation.openai_media import MediaParts

Problem = Literal["refused", "invalid", "busy", "server", "timeout", "connection", "malformed"]
"""Why an attempt gave nothing: the key or the address (refused), the request itself (invalid); the rest may pass by itself."""

PASSING: frozenset[str] = frozenset({"busy", "server", "timeout", "connection", "malformed"})

_SHOWN = 300
_JPEG_QUALITY = 95


class Refusal(Exception):
    """An attempt without an answer.

    Attributes:
        problem: its kind.
        message: what the server said, shortened.
        wait: seconds after which the server wants to be asked again; None when it did not say.
    """

    def __init__(self, problem: Problem, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.problem, self.message, self.wait = problem, message, wait


def body(
    request: Request,
    sampling: Sampling,
    seed: int,
    *,
    model: str,
    samples: int,
    media: MediaParts,
    logprobs: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The JSON body that asks for `samples` answers to `request`.

    The seed that is sent follows from `seed`, `request.sample` and everything else in the body, so that equal prompts get
    equal answers wherever and in whatever company they are asked, and different ones do not share their noise.

    Args:
        media: makes the parts for pictures, clips and sounds from their files.
        extra: further keys; a value of None takes a key away that a server does not know.
    """
    asked: dict[str, Any] = {
        "model": model,
        "messages": _messages(request, media),
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_new_tokens,
    }
    if sampling.top_p < 1.0:
        asked["top_p"] = sampling.top_p
    if sampling.top_k:
        asked["top_k"] = sampling.top_k
    if sampling.min_p:
        asked["min_p"] = sampling.min_p
    if sampling.repetition_penalty != 1.0:
        asked["repetition_penalty"] = sampling.repetition_penalty
    if logprobs:
        asked["logprobs"] = True
    digest = hashlib.sha256(json.dumps([asked, seed, request.sample], sort_keys=True).encode()).digest()
    asked["seed"] = int.from_bytes(digest[:4], "big") >> 1
    if samples > 1:
        asked["n"] = samples
    asked.update(extra or {})
    return {key: value for key, value in asked.items() if value is not None}


def _messages(request: Request, media: MediaParts) -> list[dict[str, Any]]:
    left = {
        "image": iter(pictures(replace(request, videos=(), audios=()))),
        "video": iter(request.videos),
        "audio": iter(request.audios),
    }
    turns: list[dict[str, Any]] = []
    for turn in request.messages:
        content = turn["content"]
        if not isinstance(content, str):
            parts = [made for part in content for made in _parts(request, part, left, media)]
            # A plain text is understood by every server, a list of parts is not.
            only_text = all(part["type"] == "text" for part in parts)
            content = "".join(part["text"] for part in parts) if only_text else parts
        turns.append({"role": turn["role"], "content": content})
    for kind, rest in left.items():
        if next(rest, None) is not None:
            raise InputError(f"{request.key}: the prompt has fewer {kind} parts than files")
    return turns


def _parts(
    request: Request, part: Mapping[str, Any], left: Mapping[str, Iterator[str]], media: MediaParts
) -> Iterator[dict[str, Any]]:
    """One part of a turn as the server takes it; a clip in frames is several, one with its sound has that behind it."""

    def file(kind: str) -> str:
        found = next(left[kind], None)
        if found is None:
            raise InputError(f"{request.key}: the prompt has more {kind} parts than files")
        return found

    kind = part.get("type")
    if kind == "image":
        yield media.image(file("image"))
    elif kind == "video":
        yield from media.clip(file("video"))
        if part.get("sound"):
            yield media.sound(file("audio"))
    elif kind == "audio":
        yield media.sound(file("audio"))
    else:
        yield {"type": "text", "text": part["text"]}


def data_url(picture: Image.Image, kind: Literal["png", "jpeg"] = "png") -> str:
    """A picture as a base64 data URL: PNG keeps every pixel, JPEG (quality 95, full chroma) is a fifth of the size."""
    stream = io.BytesIO()
    if kind == "png":
        picture.save(stream, "PNG", compress_level=1)
    else:
        picture.convert("RGB").save(stream, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def read(status: int, headers: Mapping[str, str], content: bytes) -> list[Completion]:
    """The completions in a response, in the order of their index.

    Raises:
        Refusal: there is none.
    """
    if status != 200:
        raise Refusal(_problem(status), f"HTTP {status}: {_said(content)}", retry_after(headers))
    try:
        answer = json.loads(content)
        if isinstance(answer, dict) and "choices" not in answer and answer.get("error"):
            raise Refusal("server", f"HTTP 200 with an error: {_said(content)}")
        choices = sorted(answer["choices"], key=lambda choice: choice.get("index") or 0)
        found = [_completion(choice) for choice in choices]
        if len(found) == 1 and not found[0].failed:
            found = [_counted(found[0], (answer.get("usage") or {}).get("completion_tokens"))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"no chat completion ({type(error).__name__}: {error}): {_said(content)}"
        raise Refusal("malformed", message) from error
    if not found:
        raise Refusal("malformed", f"no choices: {_said(content)}")
    return found


def _completion(choice: Mapping[str, Any]) -> Completion:
    message, reason = choice["message"], choice.get("finish_reason")
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content)
    text = content or ""
    if not isinstance(text, str):
        raise TypeError(f"content is a {type(text).__name__}, not text")
    # Servers with a reasoning parser take the thinking out of the text; the format of the recipe has it inside.
    thought = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(thought, str) and thought.strip() and "<think>" not in text:
        text = f"<think>{thought}</think>{text}"
    if reason in ("content_filter", "abort", "error"):
        return Completion("", (), "error", f"the server ended the answer: {reason}")
    if not text and message.get("refusal"):
        return Completion("", (), "error", f"the server refused: {str(message['refusal'])[:_SHOWN]}")
    tokens = (choice.get("logprobs") or {}).get("content")
    logprobs = tuple(float(token["logprob"]) for token in tokens) if tokens else None
    count = len(tokens) if tokens else None
    return Completion(text, (), "length" if reason == "length" else "stop", logprobs=logprobs, tokens=count)


def _counted(completion: Completion, tokens: Any) -> Completion:
    count = tokens if isinstance(tokens, int) else completion.tokens
    return Completion(completion.text, (), completion.finish_reason, logprobs=completion.logprobs, tokens=count)


def _problem(status: int) -> Problem:
    if status in (401, 402, 403, 404, 405) or 300 <= status < 400:
        return "refused"
    if status in (408, 409, 425, 429):
        return "busy"
    return "invalid" if 400 <= status < 500 else "server"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as the server says (RFC 9110 section 10.2.3: seconds or a date; `retry-after-ms` of some), or None."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers["retry-after"]
    except (KeyError, ValueError):
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.datetime.now(moment.tzinfo)).total_seconds())


def _said(content: bytes) -> str:
    """What the server said, on one line: the message of an error object, else the start of the text."""
    text = content.decode("utf-8", errors="replace")
    try:
        parsed = json.loads(text)
        error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
        text = str(error.get("message") or error) if isinstance(error, dict) else str(error)
    except ValueError:
        pass
    text = " ".join(text.split())
    return (text[:_SHOWN] + " ...") if len(text) > _SHOWN else text or "(nothing)"


def wants_other_limit(refusal: Refusal) -> bool:
    """Whether the server asks for `max_completion_tokens` in place of `max_tokens`, as OpenAI's reasoning models do."""
    return refusal.problem == "invalid" and "max_completion_tokens" in refusal.message


def same_prompt(first: Request, second: Request) -> bool:
    """Whether two requests differ in their sample index (and key) only, so that one call can ask for both."""
    return first == replace(second, key=first.key, sample=first.sample)


def grouped(requests: Sequence[Request], size: int) -> list[list[int]]:
    """Places of requests that travel together: neighbours with the same prompt, at most `size` of them."""
    groups: list[list[int]] = []
    for place, request in enumerate(requests):
        if groups and len(groups[-1]) < size and same_prompt(requests[groups[-1][0]], request):
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
