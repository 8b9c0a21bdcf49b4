"""A file that one process holds: for as long as it lives, and not a moment longer.

POSIX record locks: the kernel lets go of them when the process ends, `kill -9` included; children do not inherit them; network
file systems pass them between machines. So there is no stale lock to clear away. A process must not open the same file twice.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facial_r1.errors import Busy, InputError

_POLL_SECONDS = 0.5
#: A file system without locks: NFS without its lock service, Lustre without `flock`.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@contextmanager
def held(path: Path, *, busy: str | None = None) -> Iterator[None]:
    """Hold the lock file `path` while the block runs. The file stays; what it says is who held it last.

    Args:
        path: the file; its folder is made.
        busy: raise this message when another process holds it, "{owner}" replaced by who; None waits.

    Raises:
        Busy: another process holds it, and `busy` is given.
        InputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(
            f"cannot write {path.parent}: {error.strerror}. Choose another place with output_root=<folder>"
        ) from None
    try:
        while not _taken(handle, path):
            if busy is not None:
                raise Busy(busy.replace("{owner}", _owner(handle)))
            time.sleep(_POLL_SECONDS)
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        yield
    finally:
        os.close(handle)


def _taken(handle: int, path: Path) -> bool:
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        print(f"facial_r1: the file system of {path} has no locks; start nothing twice there", file=sys.stderr, flush=True)
    return True


def _owner(handle: int) -> str:
    try:
        owner = json.loads(os.pread(handle, 4096, 0))
        return f"process {owner['pid']} on {owner['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
