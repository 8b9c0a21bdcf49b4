"""Stopping on request: a signal asks for a checkpoint, a second one stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


class Interrupted(Exception):
    """The job was asked to stop and has saved what it needs to go on."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass
class StopRequest:
    """Set by a signal handler, looked at between steps."""

    number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None

    def check(self) -> None:
        """Raise `Interrupted` when a stop was asked for. Call where nothing would be lost."""
        if self.number is not None:
            raise Interrupted(self.number)


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Turn SIGINT, SIGTERM and SIGUSR1 into a `StopRequest` while the block runs.

    The second SIGINT raises KeyboardInterrupt at once. Outside of the main thread signals are left alone.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def handle(number: int, frame: Any) -> None:
        if request.number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        if request.number is None:
            os.write(2, b"\nfacial_r1: stopping after this step, with a checkpoint; Ctrl-C again stops at once\n")
        request.number = number

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def is_behind(error: BaseException) -> bool:
    """Whether Ctrl-C is what an error goes back to: a library that is interrupted may fail while it cleans up, and says that."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        here = waiting.pop()
        if here is None or id(here) in seen:
            continue
        if isinstance(here, KeyboardInterrupt):
            return True
        seen.add(id(here))
        waiting += [here.__cause__, here.__context__]
    return False
