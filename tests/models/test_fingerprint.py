"""Names of weights: every byte counts, and a large file is read once."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from facial_r1.generation.cache import ResponseCache
from facial_r1.models.fingerprint import file_digest, folder_fingerprint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint whose files are old enough to be remembered."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "model-00001.safetensors").write_bytes(os.urandom(300_000))
    (made / "model-00002.safetensors").write_bytes(os.urandom(1000))
    (made / "config.json").write_text("{}")
    (made / "chat_template.jinja").write_text("{{ messages }}")
    return made


@pytest.fixture
def memory(tmp_path: Path) -> ResponseCache:
    return ResponseCache(tmp_path / "responses.sqlite")


def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds later."""
    now = time.time()
    monkeypatch.setattr("facial_r1.models.fingerprint.time.time", lambda: now + 10)


def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read from now on."""
    seen: list[str] = []
    plain = hashlib.file_digest

    def noted(stream: object, name: str) -> object:
        seen.append(Path(stream.name).name)  # type: ignore[attr-defined]
        return plain(stream, name)  # type: ignore[arg-type]

    monkeypatch.setattr("facial_r1.models.fingerprint.hashlib.file_digest", noted)
    return seen


@pytest.mark.parametrize("file", ["model-00001.safetensors", "model-00002.safetensors", "config.json", "chat_template.jinja"])
def test_every_byte_of_every_file_counts(folder: Path, file: str):
    before = folder_fingerprint(folder)
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    assert folder_fingerprint(folder) != before


def test_other_files_and_other_places_do_not_count(folder: Path):
    before = folder_fingerprint(folder)
    (folder / "README.md").write_text("about")
    moved = folder.rename(folder.parent / "elsewhere")
    assert folder_fingerprint(moved) == before


def test_unchanged_files_are_read_once(folder: Path, memory: ResponseCache, monkeypatch: pytest.MonkeyPatch):
    settled(monkeypatch)
    seen = readings(monkeypatch)
    first = folder_fingerprint(folder, memory)
    assert len(seen) == 4
    other_process = ResponseCache(memory.path)
    assert folder_fingerprint(folder, other_process) == first and len(seen) == 4


def test_a_change_that_keeps_size_and_time_is_seen(folder: Path, memory: ResponseCache, monkeypatch: pytest.MonkeyPatch):
    """As after `cp -p`: the time of the inode's change gives it away."""
    settled(monkeypatch)
    path = folder / "model-00002.safetensors"
    before, state = file_digest(path, memory), path.stat()
    path.write_bytes(os.urandom(1000))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_mtime_ns == state.st_mtime_ns and file_digest(path, memory) != before


def test_a_file_that_was_just_written_is_not_remembered(folder: Path, memory: ResponseCache, monkeypatch: pytest.MonkeyPatch):
    """It could change again within the resolution of its time stamp."""
    written = (folder / "config.json").stat().st_ctime
    monkeypatch.setattr("facial_r1.models.fingerprint.time.time", lambda: written + 1)  # however long the fixtures took
    seen = readings(monkeypatch)
    for _ in range(2):
        file_digest(folder / "config.json", memory)
    assert seen == ["config.json"] * 2
