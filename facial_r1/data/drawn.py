"""Where the drawn faces lie in the cache, drawn once also when several processes ask for them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from facial_r1.data.locate import absolute
from facial_r1.errors import InputError
from facial_r1.progress import progress_bar

if TYPE_CHECKING:
    from facial_r1.config.schema import Schematic


def cache_folder(cache: str | None = None) -> Path:
    """Where derived files are kept: `cache`, or $FACIAL_R1_CACHE, or ~/.cache/facial_r1."""
    return absolute(cache or os.environ.get("FACIAL_R1_CACHE") or "~/.cache/facial_r1")


def drawn_faces(settings: Schematic, cache: str | None = None) -> Path:
    """Folder with `images/`, `train.jsonl` and `test.jsonl` of the drawn faces; drawn now if not there yet.

    Processes that ask at the same time draw once: the others wait. What a killed process left is drawn again.

    Args:
        settings: counts, size and seed; `folder` overrides the place in the cache. With `vocabulary: open` the folder returned
            is another, beside that of the pictures, with rows that carry emotion words and transcripts.

    Raises:
        InputError: impossible settings, a folder that holds something else, or one that cannot be written.
    """
    # Drawing needs numpy and some modules; data from files does not.
    from facial_r1.data.schematic.dataset import materialise
    from facial_r1.data.schematic.faces import VERSION

    name = f"schematic-{settings.train}-{settings.test}-{settings.instructions}-{settings.size}px-seed{settings.seed}-v{VERSION}"
    folder = absolute(settings.folder) if settings.folder else cache_folder(cache) / name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            exclusive(folder.with_name(f".{folder.name}.lock")),
            progress_bar(settings.train + settings.test, "drawing faces", "faces") as advance,
        ):
            before = 0

            def drawn(done: int, total: int) -> None:
                nonlocal before
                advance(done - before)
                before = done

            materialise(
                folder,
                seed=settings.seed,
                train=settings.train,
                test=settings.test,
                instructions=settings.instructions,
                size=settings.size,
                workers=settings.workers,
                progress=drawn,
            )
            if settings.vocabulary == "open":
                from facial_r1.data.schematic.open_vocabulary import VERSION as WORDING
                from facial_r1.data.schematic.open_vocabulary import write_open

                return write_open(folder, folder.with_name(f"{folder.name}-open{WORDING}"), settings.seed)
    except OSError as error:
        raise InputError(
            f"the drawn faces cannot be written to {folder}: {error.strerror or error}. "
            "Set data.cache or FACIAL_R1_CACHE to a folder that you may write"
        ) from error
    return folder


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Exclusive among processes; the system frees it when a process dies."""
    with open(path, "w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
