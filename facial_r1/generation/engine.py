"""The engine interface: chat messages with pictures in, completions out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from facial_r1.config.schema import Sampling
from facial_r1.errors import InputError


@dataclass(frozen=True)
class Request:
    """One prompt. `messages` are chat turns with image, video and audio parts, `images`, `videos` and `audios` the files behind them in
    order; a video part with `sound: true` takes an audio file too.

    `sample` tells several answers to one prompt apart; it is part of what seeds and caches go by, the key is not.
    """

    key: str
    messages: list[dict[str, Any]]
    images: tuple[str, ...]
    sample: int = 0
    videos: tuple[str, ...] = ()
    audios: tuple[str, ...] = ()


@dataclass(frozen=True)
class Completion:
    """One answer.

    Attributes:
        text: What was written, without end tokens; "" when it failed.
        token_ids: Its tokens; () from engines that do not tell.
        finish_reason: "stop" (the model ended its turn), "length" (cut off at max_new_tokens) or "error".
        reason: What went wrong for good; "" otherwise.
        logprobs: Natural log-probability of each token, where the engine was asked for them.
        tokens: Tokens written, where `token_ids` is not told.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: str
    reason: str = ""
    logprobs: tuple[float, ...] | None = None
    tokens: int | None = None

    @property
    def failed(self) -> bool:
        """True when there is no answer; such a row is counted as a failure, not scored as a wrong answer."""
        return self.finish_reason == "error"

    @property
    def length(self) -> int:
        """Tokens written, 0 where nobody told."""
        return len(self.token_ids) or self.tokens or 0


class Engine(Protocol):
    """Whatever writes completions."""

    def generate(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> list[Completion]:
        """One completion per request, in their order. The same seed and requests give the same completions."""


@runtime_checkable
class StreamingEngine(Protocol):
    """An engine that hands over completions as they are done."""

    def stream(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> Iterator[list[tuple[int, Completion]]]:
        """Places in `requests` with their completions, in groups as they are done, each place once."""


def pictures(request: Request) -> list[str]:
    """The files behind the image parts of a request, in order: a part's own `image`, else the next of `request.images`.

    Raises:
        InputError: more or fewer image parts than pictures, or clips and sounds, which only the model in this process takes.
    """
    if request.videos or request.audios:
        raise InputError(
            f"{request.key}: the prompt shows a clip or a sound, which this engine does not send. Use generation=transformers, or leave "
            "them out: data.modalities=[text]"
        )
    left, found = list(request.images), []
    for turn in request.messages:
        parts = turn["content"] if isinstance(turn["content"], list) else []
        for part in parts:
            if part.get("type") == "image":
                own = part.get("image")
                if own is None and not left:
                    raise InputError(f"{request.key}: the prompt has more image parts than pictures ({len(request.images)})")
                found.append(own if own is not None else left.pop(0))
    if left:
        raise InputError(f"{request.key}: {len(left)} of {len(request.images)} pictures have no image part in the prompt")
    return found


def files(request: Request) -> list[str]:
    """All files behind the parts of a request: pictures, clips, sounds."""
    return [*pictures(replace(request, videos=(), audios=())), *request.videos, *request.audios]
