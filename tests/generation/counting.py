"""An engine without a model: its answers follow from the request, and it writes down what it generates."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from facial_r1.config.schema import Sampling
from facial_r1.generation.engine import Completion, Request


def request(text: str, sample: int = 0, images: tuple[str, ...] = ()) -> Request:
    """A prompt with its pictures first."""
    parts = [{"type": "image"} for _ in images] + [{"type": "text", "text": text}]
    return Request(text, [{"role": "user", "content": parts}], images, sample)


def answer_to(asked: Request, sampling: Sampling, seed: int) -> Completion:
    """The answer of `CountingEngine`."""
    text = json.dumps([asked.messages, asked.sample, sampling.temperature, seed])
    digest = hashlib.sha256(text.encode()).digest()
    return Completion(f"<think>{digest.hex()}</think><answer>fear</answer>", tuple(digest), "stop")


class CountingEngine:
    """Generates in one go, like the engines that load a model."""

    def __init__(self) -> None:
        self.generated: list[str] = []

    def generate(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> list[Completion]:
        self.generated += [asked.key for asked in requests]
        return [answer_to(asked, sampling, seed) for asked in requests]


class LoggingEngine:
    """Generates one after the other and appends "start <key>" and "done <key>" with its process to a file."""

    def __init__(self, log: Path, seconds: float) -> None:
        self.log, self.seconds = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), seconds

    def generate(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> list[Completion]:
        return [completion for group in self.stream(requests, sampling, seed) for _, completion in group]

    def stream(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> Iterator[list[tuple[int, Completion]]]:
        for place, asked in enumerate(requests):
            self._note("start", asked.key)
            time.sleep(self.seconds)
            self._note("done", asked.key)
            yield [(place, answer_to(asked, sampling, seed))]

    def _note(self, what: str, key: str) -> None:
        os.write(self.log, f"{os.getpid()} {what} {key}\n".encode())
