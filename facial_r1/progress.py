"""Progress of long work: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

T = TypeVar("T")

QUIET_SECONDS = 30.0
"""Where standard error is not a terminal: the time between two lines, and the time before the first."""


def progress(iterable: Iterable[T], total: int | None = None, what: str = "", unit: str = "it") -> Iterator[T]:
    """Yield from `iterable` and show how far it is, how fast, and the time left, on standard error.

    Args:
        total: number of items; taken from `len(iterable)` when it has one. Without it the time left is not
            known.
        what: what is going on, for example "reading records".
        unit: what one item is, for example "rows".
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)  # type: ignore[arg-type]
    with progress_bar(total, what, unit) as advance:
        for item in iterable:
            yield item
            advance(1)


@contextmanager
def progress_bar(total: int | None, what: str = "", unit: str = "it") -> Iterator[Callable[[int], None]]:
    """Context for work without an iterable: call its value with the number of items done since last time.

    The bar ends where the work ended, also when it fails.
    """
    stream = sys.stderr
    if stream is not None and stream.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=what, unit=f" {unit}", file=stream, dynamic_ncols=True, leave=True) as bar:
            yield bar.update
        return
    lines = _Lines(stream, total, what, unit)
    yield lines.advance
    lines.close()


class _Lines:
    """Progress for logs: a line after `QUIET_SECONDS`, then one each such time; short work says nothing."""

    def __init__(self, stream: TextIO | None, total: int | None, what: str, unit: str) -> None:
        self._stream, self._total, self._what, self._unit = stream, total, what, unit
        self._done = 0
        self._start = self._last = time.monotonic()
        self._spoken = False

    def advance(self, count: int = 1) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._last >= QUIET_SECONDS:
            self._last = now
            self._spoken = True
            self._write(now)

    def close(self) -> None:
        if self._spoken:
            self._write(time.monotonic(), ended=True)

    def _write(self, now: float, ended: bool = False) -> None:
        if self._stream is None:
            return
        seconds = max(now - self._start, 1e-9)
        rate = self._done / seconds
        of = f"/{self._total}" if self._total is not None else ""
        text = f"{self._what}: {self._done}{of} {self._unit}, {rate:.1f} {self._unit}/s"
        if ended:
            text += f", done in {duration(seconds)}"
        elif self._total is not None and rate > 0:
            text += f", {duration((self._total - self._done) / rate)} left"
        print(text, file=self._stream, flush=True)


def duration(seconds: float) -> str:
    """Seconds as people say them: "8s", "3m 05s", "2h 10m"."""
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
