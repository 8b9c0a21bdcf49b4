"""Looks at media files that are kept between runs, so that a file is opened and listened to once and not at the start of every run.

A look holds as long as the file has the size, the times and the inode that it had. Files that fail are looked at again each time.
"""

from __future__ import annotations

import json
import sqlite3
import stat
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facial_r1.data.drawn import cache_folder
from facial_r1.data.media.looking import Kind, Look
from facial_r1.data.media.probing import AudioFacts, MediaFacts, VideoFacts

FILE = "media.sqlite"
#: Goes up when what a look finds, or how it is written, changes.
_VERSION = 1
_SETTLED = 2.0
"""Seconds since the last change before a look is kept: some file systems tell times no finer."""
_TABLE = "CREATE TABLE IF NOT EXISTS looks (path TEXT, kind TEXT, listened INTEGER, stamp TEXT, look TEXT, PRIMARY KEY (path, kind, listened))"

Use = tuple[str, Kind]


def recall(uses: Sequence[Use], listen: bool, cache: str | None = None) -> dict[Use, Look]:
    """What is known of these files as they are now; empty where no cache can be read.

    Args:
        uses: Files and what they are used as.
        listen: As in `look_at`.
        cache: Folder of derived files; null as in `cache_folder`.
    """
    file = Path(cache_folder(cache)) / FILE
    if not file.is_file():
        return {}
    try:
        with closing(_connected(file)) as base:
            rows = base.execute("SELECT path, kind, stamp, look FROM looks WHERE listened = ?", (listen,)).fetchall()
    except sqlite3.Error:
        return {}
    known = {(path, kind): (stamp, look) for path, kind, stamp, look in rows}
    found = {}
    for use in uses:
        stamp, look = known.get(use, ("", ""))
        if stamp and stamp == _stamp(use[0]):
            found[use] = _read(json.loads(look))
    return found


def remember(looks: Mapping[Use, Look], listen: bool, cache: str | None = None) -> None:
    """Keep looks for later runs. A cache that cannot be written costs time, not the run."""
    now = time.time()
    rows = []
    for (path, kind), look in looks.items():
        stamp = _stamp(path)
        if stamp and now - Path(path).stat().st_mtime > _SETTLED:
            rows.append((path, kind, listen, stamp, json.dumps(asdict(look))))
    if not rows:
        return
    file = Path(cache_folder(cache)) / FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(_connected(file)) as base, base:
            base.execute(_TABLE)
            base.executemany("INSERT OR REPLACE INTO looks VALUES (?, ?, ?, ?, ?)", rows)
    except (OSError, sqlite3.Error):
        return


def _connected(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=30)


def _stamp(path: str) -> str:
    """What changes when a file does; empty for anything but a regular file."""
    try:
        look = Path(path).stat()
    except OSError:
        return ""
    if not stat.S_ISREG(look.st_mode):
        return ""
    return f"{_VERSION} {look.st_size} {look.st_mtime_ns} {look.st_ctime_ns} {look.st_ino}"


def _read(look: dict[str, Any]) -> Look:
    facts = look["facts"]
    video, audio = facts["video"], facts["audio"]
    return Look(
        MediaFacts(facts["seconds"], video and VideoFacts(**video), audio and AudioFacts(**audio)),
        look["digest"],
        look["still"],
        look["silent"],
    )
