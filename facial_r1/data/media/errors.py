"""A video or a sound that cannot be used, with the reason and what to do."""

from __future__ import annotations

import os

from facial_r1.errors import InputError


class MediaError(InputError):
    """A file that cannot be used. `reason` and `fix` say why and what to do, without the path."""

    def __init__(self, path: str | os.PathLike[str], reason: str, fix: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}\n    fix: {fix}")
        self.path, self.reason, self.fix = os.fspath(path), reason, fix

    def __reduce__(self) -> tuple[type[MediaError], tuple[str, str, str]]:
        """Survive the way from a worker process."""
        return MediaError, (self.path, self.reason, self.fix)
