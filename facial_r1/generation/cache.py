"""Answers that were generated once, kept by everything they depend on: one SQLite file for all models, jobs and ranks.

WAL mode lets readers go on while one process writes; writers wait for each other. A process that is killed loses the answer
it was writing and nothing else. WAL needs memory that processes share, so on a network file system the rollback journal is
used instead. Empty answers, and those that were cut off by an error, are never stored.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facial_r1.config.schema import Sampling
from facial_r1.data.drawn import cache_folder
from facial_r1.data.locate import absolute
from facial_r1.errors import InputError
from facial_r1.generation.engine import Completion, Request

FILE = "responses.sqlite"
_VERSION = 1
_KEYS_PER_QUERY = 500
_PATIENCE = 60.0
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "9p", "afs", "panfs", "wekafs", "glusterfs"}
    | {f"fuse.{name}" for name in ("sshfs", "glusterfs", "ceph", "juicefs", "gcsfuse", "s3fs", "rclone", "beegfs")}
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
    key BLOB PRIMARY KEY, value TEXT NOT NULL, model TEXT NOT NULL, weights TEXT NOT NULL, engine TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS files (stamp TEXT PRIMARY KEY, digest TEXT NOT NULL);
"""

# Connections of a parent process: closing them in its child would disturb the parent.
_inherited: list[sqlite3.Connection] = []


def key(identity: Mapping[str, Any], request: Request, sampling: Sampling, seed: int, image_digests: Sequence[str] = ()) -> bytes:
    """What an answer is kept under: sha256 (32 bytes) over the canonical JSON of everything it depends on.

    Args:
        identity: what is the same for all requests of an engine: its name, the fingerprint of the weights, template and
            processor, how pictures are shown; see `facial_r1.generation.cached_engine`.
        request: its messages and sample index count, its key does not.
        image_digests: of the pictures that the image parts show, in order. Paths do not count.

    Raises:
        ValueError: a number that is not finite, which has no canonical form.
    """
    content = {
        "version": _VERSION,
        "identity": identity,
        "messages": [_without_paths(turn) for turn in request.messages],
        "images": list(image_digests),
        "sampling": dataclasses.asdict(sampling),
        "seed": seed,
        "sample": request.sample,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).digest()


def _without_paths(turn: Mapping[str, Any]) -> Mapping[str, Any]:
    content = turn["content"]
    if isinstance(content, str):
        return turn
    return {**turn, "content": [{"type": "image"} if part.get("type") == "image" else part for part in content]}


def storable(completion: Completion) -> bool:
    """Whether an answer is kept: it is not empty and it was not aborted."""
    return completion.finish_reason in ("stop", "length") and bool(completion.text.strip())


@dataclass(frozen=True)
class Share:
    """What a cache holds of one model: entries, bytes of answers, and when (Unix time) the first and last were stored."""

    model: str
    weights: str
    engine: str
    entries: int
    bytes: int
    first: float
    last: float


class ResponseCache:
    """The cache in one file. Safe to share between threads, forked processes, ranks and jobs.

    Args:
        path: of the SQLite file; made when missing.
        patience: seconds to wait for another writer.

    Raises:
        InputError: the file cannot be made or is no such cache.
    """

    def __init__(self, path: str | Path, patience: float = _PATIENCE) -> None:
        self.path, self._patience = absolute(path), patience
        self._lock, self._process = threading.RLock(), os.getpid()
        self._open: sqlite3.Connection | None = None
        with self._connection():
            pass

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Completion]:
        """The answers that are there, by key."""
        found: dict[bytes, Completion] = {}
        with self._connection() as database:
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                part = keys[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(part))
                for name, value in database.execute(f"SELECT key, value FROM responses WHERE key IN ({marks})", part):
                    found[name] = _completion(value)
        return found

    def put_many(self, items: Iterable[tuple[bytes, Completion]], identity: Mapping[str, Any]) -> int:
        """Store answers in one transaction; what is there already stays. Returns how many are new.

        Args:
            identity: its "model", "weights" and "engine" are stored to be shown, and to prune by.
        """
        now, labels = time.time(), tuple(str(identity.get(name) or "") for name in ("model", "weights", "engine"))
        rows = [(name, _text(completion), *labels, now) for name, completion in items if storable(completion)]
        if not rows:
            return 0
        with self._connection() as database, _transaction(database):
            before = database.total_changes
            database.executemany("INSERT OR IGNORE INTO responses VALUES (?, ?, ?, ?, ?, ?)", rows)
            return database.total_changes - before

    def stats(self) -> list[Share]:
        """What there is, by model, largest first."""
        query = (
            "SELECT model, weights, engine, count(*), sum(length(CAST(value AS BLOB))), min(created), max(created) "
            "FROM responses GROUP BY model, weights, engine ORDER BY 5 DESC"
        )
        with self._connection() as database:
            return [Share(*row) for row in database.execute(query)]

    def prune(self, older_than: float | None = None, max_bytes: int | None = None, model: str | None = None) -> int:
        """Delete answers and give their space back. Returns how many were deleted.

        Args:
            older_than: deletes those stored more than so many seconds ago.
            max_bytes: then deletes the oldest until the answers take at most so many bytes.
            model: only answers of this model; alone, all of them.

        Raises:
            ValueError: nothing says what to delete.
        """
        if older_than is None and max_bytes is None and model is None:
            raise ValueError("give older_than, max_bytes or model")
        where, values = ("model = ?", [model]) if model is not None else ("1", [])
        deleted = 0
        with self._connection() as database:
            with _transaction(database):
                if older_than is not None:
                    limit = time.time() - older_than
                    deleted += database.execute(f"DELETE FROM responses WHERE {where} AND created < ?", [*values, limit]).rowcount
                if max_bytes is not None:
                    # The newest answers whose sizes add up to no more than the limit are kept.
                    deleted += database.execute(
                        f"DELETE FROM responses WHERE {where} AND rowid NOT IN (SELECT rowid FROM (SELECT rowid, "
                        "sum(length(CAST(value AS BLOB))) OVER (ORDER BY created DESC, rowid DESC) AS total "
                        f"FROM responses WHERE {where}) WHERE total <= ?)",
                        [*values, *values, max_bytes],
                    ).rowcount
                if older_than is None and max_bytes is None:
                    deleted += database.execute(f"DELETE FROM responses WHERE {where}", values).rowcount
            # A page a step, and `execute` takes one step of a statement without rows.
            database.executescript("PRAGMA incremental_vacuum")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return deleted

    def recall_file(self, stamp: str) -> str | None:
        """See `facial_r1.models.fingerprint.Memory`."""
        with self._connection() as database:
            row = database.execute("SELECT digest FROM files WHERE stamp = ?", (stamp,)).fetchone()
        return str(row[0]) if row else None

    def remember_file(self, stamp: str, digest: str) -> None:
        """See `facial_r1.models.fingerprint.Memory`."""
        with self._connection() as database, _transaction(database):
            database.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (stamp, digest))

    def close(self) -> None:
        """Close the file; it opens again when it is used."""
        with self._lock:
            if self._open is not None and self._process == os.getpid():
                self._open.close()
            self._open = None

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """This process's connection, for one thread at a time."""
        if self._process != os.getpid():
            self._lock, self._process = threading.RLock(), os.getpid()
            if self._open is not None:
                _inherited.append(self._open)
            self._open = None
        with self._lock:
            if self._open is None:
                self._open = _connect(self.path, self._patience)
            try:
                yield self._open
            except sqlite3.OperationalError:  # locked for too long, disk full: the caller's to judge
                raise
            except sqlite3.DatabaseError as error:
                raise InputError(_unusable(self.path, error)) from error


def open_cache(setting: bool | str) -> ResponseCache | None:
    """The cache that a `cache` key of the configuration asks for; None for false. See `cache_file`."""
    return None if setting is False else ResponseCache(cache_file(setting))


def cache_file(setting: bool | str = True) -> Path:
    """Where a cache lies: `responses.sqlite` in $FACIAL_R1_CACHE or ~/.cache/facial_r1, or the file or folder that is given."""
    if isinstance(setting, bool):
        return cache_folder() / FILE
    path = absolute(setting)
    return path / FILE if path.is_dir() or not path.suffix else path


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Autocommit: transactions are begun where they are meant. The lock of the cache keeps threads apart.
        database = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise InputError(_unusable(path, error)) from error
    try:
        _prepare(database, path, patience)
    except sqlite3.Error as error:
        database.close()
        raise InputError(_unusable(path, error)) from error
    except InputError:
        database.close()
        raise
    return database


def _unusable(path: Path, error: Exception) -> str:
    return (
        f"{path}: cannot be used as a cache of answers ({error}). Delete it if it is damaged, give another file "
        f"(generation.cache=/folder/{FILE}, or set FACIAL_R1_CACHE), or go without (generation.cache=false)"
    )


def _prepare(database: sqlite3.Connection, path: Path, patience: float) -> None:
    journal, sync = ("DELETE", "FULL") if _on_network(path) else ("WAL", "NORMAL")
    deadline = time.monotonic() + patience
    while True:
        try:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version > _VERSION:
                raise InputError(f"{path}: written by a newer facial_r1 (format {version}); update, or give another cache")
            if not version:
                database.execute("PRAGMA auto_vacuum=INCREMENTAL")
            if database.execute("PRAGMA journal_mode").fetchone()[0].upper() != journal:
                database.execute(f"PRAGMA journal_mode={journal}").fetchone()
            database.execute(f"PRAGMA synchronous={sync}")
            if not version:
                with _transaction(database):
                    _make_tables(database, path)
            return
        except sqlite3.OperationalError as error:
            # SQLite does not wait by itself when several processes turn a new file to WAL at once.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _make_tables(database: sqlite3.Connection, path: Path) -> None:
    if database.execute("PRAGMA user_version").fetchone()[0]:
        return  # another process was faster
    if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise InputError(f"{path}: a database of something else; give the cache another file")
    for statement in _SCHEMA.split(";"):
        database.execute(statement)
    database.execute(f"PRAGMA user_version={_VERSION}")


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _on_network(path: Path) -> bool:
    """Whether the file lies on a network file system, as far as Linux tells."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    best, kind = "", ""
    for line in lines:
        fields, _, rest = line.partition(" - ")
        place = fields.split()[4].replace("\\040", " ")
        if path.is_relative_to(place) and len(place) >= len(best):
            best, kind = place, rest.split()[0]
    return kind in _NETWORK


def _text(completion: Completion) -> str:
    fields: dict[str, Any] = {"text": completion.text, "finish_reason": completion.finish_reason}
    if completion.token_ids:
        fields["token_ids"] = list(completion.token_ids)
    if completion.logprobs is not None:
        fields["logprobs"] = list(completion.logprobs)
    if completion.tokens is not None:
        fields["tokens"] = completion.tokens
    return json.dumps(fields, separators=(",", ":"))


def _completion(value: str) -> Completion:
    fields = json.loads(value)
    logprobs = fields.get("logprobs")
    return Completion(
        fields["text"],
        tuple(fields.get("token_ids", ())),
        fields["finish_reason"],
        logprobs=None if logprobs is None else tuple(logprobs),
        tokens=fields.get("tokens"),
    )
