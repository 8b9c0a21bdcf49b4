"""A full disk, told apart from faults of ours: what was being written, how much is free, how to go on."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
# Libraries below Python report a failed write in words: safetensors, torch's zip writer, Arrow.
_SAID = (
    "No space left on device",
    "Disk quota exceeded",
    "os error 28",
    "os error 122",
    "file write failed",
    "PytorchStreamWriter failed",
    ". unexpected pos ",
)


class DiskFull(OSError):
    """A file could not be written because there is no room for it; what was there before is whole.

    Attributes:
        what: what was being written, in words.
        folder: where.
    """

    def __init__(self, what: str, folder: Path) -> None:
        super().__init__(
            f"the disk is full: {what} could not be written into {folder} ({free(folder)} free there). "
            "What was saved before is whole; free some space, then the same command continues"
        )
        self.what, self.folder = what, folder


@contextmanager
def writing(what: str, folder: Path) -> Iterator[None]:
    """Turn the failure of a write inside of the block into `DiskFull` where the disk is full; other errors pass."""
    try:
        yield
    except DiskFull:
        raise
    except Exception as error:
        if is_full(error):
            raise DiskFull(what, folder) from error
        raise


def is_full(error: BaseException) -> bool:
    """Whether an error, or one behind it, says that a disk or a quota is exhausted."""
    seen: set[int] = set()
    here: BaseException | None = error
    while here is not None and id(here) not in seen:
        seen.add(id(here))
        if isinstance(here, DiskFull) or (isinstance(here, OSError) and here.errno in _FULL):
            return True
        if any(words in str(here) for words in _SAID):
            return True
        here = here.__cause__ or here.__context__
    return False


def free(folder: Path) -> str:
    """Free space on the disk of a folder, in words; of the nearest folder above that exists.

    >>> free(Path("/proc/nowhere"))
    '0 B'
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    amount = float(shutil.disk_usage(folder).free)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
