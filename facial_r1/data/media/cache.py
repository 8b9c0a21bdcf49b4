"""Decoded media in memory, bounded by their bytes: what was used longest ago goes first."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TypeVar

import numpy as np

Arrays = np.ndarray | tuple[np.ndarray, ...]
A = TypeVar("A", bound=Arrays)

LIMIT = 256 * 1024 * 1024
"""Bytes that the cache of a process holds: 850 clips of 8 frames of 112 x 112 pixels, 40 of 8 frames of 512 x 512."""


class MediaCache:
    """Results by key. Threads may share it; a forked worker begins with what its parent held, each bounded for itself.

    What comes out is not writable, since others are given the same array.

    Args:
        limit: Bytes of all arrays together. Something larger is made, given and not kept.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit, self.bytes = limit, 0
        self._held: OrderedDict[Hashable, Arrays] = OrderedDict()
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._after_fork)

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Hashable, make: Callable[[], A]) -> A:
        """What is held under `key`, or what `make` gives. Two threads that ask at the same time may both make it."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]  # type: ignore[return-value]
        made = make()
        for array in _arrays(made):
            array.setflags(write=False)
        size = _bytes(made)
        if size > self.limit:
            return made
        with self._lock:
            if key not in self._held:
                self._held[key] = made
                self.bytes += size
            while self.bytes > self.limit:
                self.bytes -= _bytes(self._held.popitem(last=False)[1])
        return made

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._held.clear()
            self.bytes = 0

    def _after_fork(self) -> None:
        self._lock = threading.Lock()  # another thread of the parent may have held it


def file_key(path: str | os.PathLike[str], *settings: Hashable) -> Hashable:
    """A key that changes with the file and with how it is read."""
    try:
        look = Path(path).stat()
    except OSError:
        return (os.fspath(path), *settings)
    return (os.fspath(path), look.st_size, look.st_mtime_ns, *settings)


def _arrays(value: Arrays) -> tuple[np.ndarray, ...]:
    return value if isinstance(value, tuple) else (value,)


def _bytes(value: Arrays) -> int:
    return sum(array.nbytes for array in _arrays(value))


shared = MediaCache()
"""The cache of this process."""
