"""Batches made by a process of its own while another one trains."""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections.abc import Callable
from types import TracebackType
from typing import Any


class Ahead:
    """A background process that makes batches in order; a context manager.

    Args:
        make: Gives the batch of ``(first, size)``; a function of a module, since the process is a fresh one.
        first: Number of the first member.
        size: Members of a batch.
        ahead: Batches that wait to be taken, at most.
        niceness: How far the process steps back for others.
    """

    def __init__(self, make: Callable[[int, int], Any], first: int, size: int, *, ahead: int = 64, niceness: int = 5) -> None:
        context = multiprocessing.get_context("spawn")
        self._batches: multiprocessing.Queue[Any] = context.Queue(ahead)
        arguments = (make, self._batches, first, size, niceness, os.getpid())
        self._process = context.Process(target=_make, args=arguments, daemon=True)

    def __enter__(self) -> Ahead:
        self._process.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        self._process.join()

    def take(self) -> Any:
        """Wait for the next batch.

        Raises:
            RuntimeError: The process has ended.
        """
        while True:
            try:
                return self._batches.get(timeout=5)
            except queue.Empty:
                if not self._process.is_alive():
                    raise RuntimeError(f"drawing ended with exit code {self._process.exitcode}") from None


def _make(make: Callable[[int, int], Any], batches: Any, first: int, size: int, niceness: int, parent: int) -> None:
    """Make without end, as long as the parent lives."""
    os.nice(niceness)
    while True:
        made = make(first, size)
        first += size
        while True:
            if os.getppid() != parent:
                # Nobody will read what is left; without this the queue's feeder waits for a reader for ever.
                batches.cancel_join_thread()
                return
            try:
                batches.put(made, timeout=5)
                break
            except queue.Full:
                continue
