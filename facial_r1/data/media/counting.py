"""How much was decoded, for tests that nothing is decoded twice."""

from __future__ import annotations

import threading


class Counter:
    """A number that several threads raise."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.value = 0

    def add(self) -> None:
        """Raise it by one."""
        with self._lock:
            self.value += 1


decodes = Counter()
"""Calls of `frames` and `waveform` in this process that were not answered by a cache."""
