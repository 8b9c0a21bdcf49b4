"""A chat-completions server on 127.0.0.1 that fails on purpose, the same way every time."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
Fault = str | tuple[int, Mapping[str, str], bytes] | None
"""What goes wrong: None (nothing), a name of `Handler.misbehave`, or a response (status, headers, body)."""


def text_of(body: Body) -> str:
    """The text of the last turn."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def echo(body: Body, index: int) -> str:
    """An answer that depends on the whole prompt, the sampling and the seed."""
    asked = {key: value for key, value in body.items() if key != "n"}
    return (
        f"answer {hashlib.sha256(json.dumps([asked, index], sort_keys=True).encode()).hexdigest()[:12]} to {text_of(body)[:40]}"
    )


class FakeServer:
    """What the handler does, and what it has seen.

    Attributes:
        fault: from the body and how often its prompt was asked before (0, 1, ...) to what goes wrong.
        answer: from the body and the choice's index to the text, or a whole choice.
        seen: (arrival, headers, body) of each call, in order.
        busiest: most calls at a time.
    """

    def __init__(self, fault: Callable[[Body, int], Fault], answer: Callable[[Body, int], str | Body], slow: float) -> None:
        self.fault, self.answer, self.slow = fault, answer, slow
        self.seen: list[tuple[float, dict[str, str], Body]] = []
        self.faults: Counter[str] = Counter()
        self.busiest = self.busy = 0
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.url = ""
        self.models = ["fake"]

    @property
    def bodies(self) -> list[Body]:
        return [body for _, _, body in self.seen]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        names = [{"id": name, "object": "model"} for name in self.server.fake.models]
        self.reply(200, {}, json.dumps({"object": "list", "data": names}).encode())

    def do_POST(self) -> None:
        fake: FakeServer = self.server.fake
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with fake.lock:
            fake.seen.append((time.monotonic(), {name.lower(): value for name, value in self.headers.items()}, body))
            prompt = json.dumps(body["messages"], sort_keys=True) + str(body.get("seed"))
            attempt = fake.asked[prompt]
            fake.asked[prompt] += 1
            fake.busy += 1
            fake.busiest = max(fake.busiest, fake.busy)
        try:
            fault = fake.fault(body, attempt)
            if fault is None:
                time.sleep(fake.slow)
                self.answer(fake, body)
            elif isinstance(fault, str):
                fake.faults[fault] += 1
                self.misbehave(fault)
            else:
                self.reply(*fault)
        finally:
            with fake.lock:
                fake.busy -= 1

    def answer(self, fake: FakeServer, body: Body) -> None:
        choices = []
        for index in range(body.get("n", 1)):
            said = fake.answer(body, index)
            choice = said if isinstance(said, dict) else {"message": {"content": said}, "finish_reason": "stop"}
            choices.append({"index": index, **choice})
        usage = {"prompt_tokens": 3, "completion_tokens": 7 * len(choices)}
        self.reply(200, {}, json.dumps({"choices": choices, "usage": usage}).encode())

    def misbehave(self, fault: str) -> None:
        if fault == "429":
            self.reply(429, {"retry-after-ms": "20"}, b'{"error": {"message": "too many requests"}}')
        elif fault == "500":
            self.reply(500, {}, b"Internal Server Error")
        elif fault == "503":
            self.reply(503, {}, b"<html>overloaded</html>")
        elif fault == "400":
            self.reply(400, {}, b'{"error": {"message": "the prompt is too long"}}')
        elif fault == "malformed":
            self.reply(200, {}, b'{"choices": [{"message": {"content": "half an ans')
        elif fault == "choiceless":
            self.reply(200, {}, b'{"object": "chat.completion"}')
        elif fault == "timeout":
            self.server.fake.released.wait(5)
            self.close_connection = True
        elif fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choices": [')
            self.close_connection = True
        elif fault == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            for _ in range(100):  # a byte now and then keeps every time limit between two bytes from running out
                self.wfile.write(b" ")
                self.wfile.flush()
                if self.server.fake.released.wait(0.05):
                    break
            self.close_connection = True
        elif fault == "reset":
            self.close_connection = True
        else:
            raise AssertionError(fault)

    def reply(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up are part of the tests


@contextmanager
def serving(
    fault: Callable[[Body, int], Fault] = lambda body, attempt: None,
    answer: Callable[[Body, int], str | Body] = echo,
    slow: float = 0.0,
) -> Iterator[FakeServer]:
    """A server for the time of the block."""
    fake = FakeServer(fault, answer, slow)
    server = _Server(("127.0.0.1", 0), Handler)
    server.fake = fake  # type: ignore[attr-defined]
    fake.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def at_rates(rates: Mapping[str, float], seed: int = 0, most: int = 3) -> Callable[[Body, int], Fault]:
    """Faults at given rates, drawn from the prompt, the try and the seed; after `most` tries of a prompt nothing fails."""

    def fault(body: Body, attempt: int) -> Fault:
        if attempt >= most:
            return None
        draw = random.Random(f"{seed}:{text_of(body)}:{attempt}").random()
        for name, rate in rates.items():
            if draw < rate:
                return name
            draw -= rate
        return None

    return fault
