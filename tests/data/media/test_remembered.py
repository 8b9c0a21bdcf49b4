"""A file is looked at once; a changed or broken one again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facial_r1.data.media import checking, looking
from facial_r1.data.media.remembered import FILE, recall, remember
from facial_r1.data.record import Record
from tests.data.media.made import tone, write_sound

OLD = 1_700_000_000


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were opened."""
    opened: list[str] = []
    own = looking.look_at
    monkeypatch.setattr(looking, "look_at", lambda path, *rest, **more: (opened.append(path), own(path, *rest, **more))[1])
    return opened


def record(path: Path) -> Record:
    return Record("a", "d", (), "?", None, ("anger",), audio=str(path), source="a.jsonl:1")


def sound(folder: Path, name: str = "a.wav") -> Path:
    path = write_sound(folder / name, tone(0.3))
    os.utime(path, (OLD, OLD))
    return path


def test_the_second_run_opens_nothing_and_finds_the_same(tmp_path: Path, looked: list[str]):
    path = sound(tmp_path)
    first, second = (checking.check_media([record(path)]) for _ in range(2))
    assert looked == [str(path)]
    assert first == second and first.digests


def test_a_file_that_changed_is_looked_at_again(tmp_path: Path, looked: list[str]):
    path = sound(tmp_path)
    checking.check_media([record(path)])
    path.write_bytes(path.read_bytes()[:20])
    os.utime(path, (OLD, OLD))
    assert checking.check_media([record(path)]).problems, "the time of the last change alone does not tell"
    assert len(looked) == 2


def test_a_broken_file_is_looked_at_each_time(tmp_path: Path, looked: list[str]):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF")
    os.utime(path, (OLD, OLD))
    assert [bool(checking.check_media([record(path)]).problems) for _ in range(2)] == [True, True]
    assert len(looked) == 2


def test_a_file_that_was_written_just_now_is_not_kept(tmp_path: Path, looked: list[str]):
    path = write_sound(tmp_path / "a.wav", tone(0.3))
    for _ in range(2):
        checking.check_media([record(path)])
    assert len(looked) == 2


def test_what_was_looked_at_with_sound_is_kept_apart(tmp_path: Path):
    path = sound(tmp_path)
    use = (str(path), "audio")
    remember({use: looking.look_at(str(path), "audio")}, listen=True)
    assert list(recall([use], listen=True)) == [use]
    assert recall([use], listen=False) == {}


@pytest.mark.parametrize("content", [b"", b"no database"], ids=["empty", "another file"])
def test_a_cache_that_cannot_be_read_costs_time_only(content: bytes, cache: Path, tmp_path: Path, looked: list[str]):
    (cache / FILE).write_bytes(content)
    assert not checking.check_media([record(sound(tmp_path))]).problems
    assert len(looked) == 1
