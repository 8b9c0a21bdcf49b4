"""The engine interface: chat messages with pictures in, completions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from facial_r1.config.schema import Sampling


@dataclass(frozen=True)
class Request:
    """One prompt. `messages` are chat turns with image parts, `images` the files behind them in order."""

    key: str
    messages: list[dict[str, Any]]
    images: tuple[str, ...]


@dataclass(frozen=True)
class Completion:
    """One answer. `finish_reason` is "stop" (the model ended its turn) or "length" (cut off at max_new_tokens)."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: str


class Engine(Protocol):
    """Whatever writes completions."""

    def generate(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> list[Completion]:
        """One completion per request, in their order. The same seed and requests give the same completions."""
