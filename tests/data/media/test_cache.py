"""Decoded media stay in memory as long as there is room, and are decoded anew when the file changes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from facial_r1.config.media_schema import Audio, Video
from facial_r1.data.media import MediaCache, hear, see
from facial_r1.data.media.counting import decodes
from tests.data.media.made import tone, write_sound, write_video


def test_what_was_used_longest_ago_goes_first():
    cache = MediaCache(limit=250)
    made = []

    def make(name: str):
        def work() -> np.ndarray:
            made.append(name)
            return np.zeros(100, np.uint8)

        return work

    for name in ("a", "b", "a", "c", "a", "b"):
        cache.get(name, make(name))
    assert made == ["a", "b", "c", "b"] and cache.bytes == 200 and len(cache) == 2


def test_what_is_too_large_is_given_and_not_kept():
    cache = MediaCache(limit=10)
    assert cache.get("a", lambda: np.zeros(100, np.uint8)).shape == (100,)
    assert len(cache) == 0 and cache.bytes == 0


def test_a_clip_is_decoded_once_until_it_changes(tmp_path: Path):
    cache, path = MediaCache(), write_video(tmp_path / "a.mp4", 4)
    before = decodes.value
    first, again = see(str(path), Video(frames=2), cache), see(str(path), Video(frames=2), cache)
    assert first[0] is again[0] and decodes.value == before + 1
    see(str(path), Video(frames=3), cache)
    assert decodes.value == before + 2, "other frames"
    os.utime(path, ns=(1, 1))
    see(str(path), Video(frames=2), cache)
    assert decodes.value == before + 3, "another time of change"


def test_nobody_writes_into_what_others_see(tmp_path: Path):
    heard = hear(str(write_sound(tmp_path / "a.wav", tone(0.1))), Audio(), MediaCache())
    with pytest.raises(ValueError, match="read-only"):
        heard[0] = 1.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_worker_is_not_locked_out():
    cache = MediaCache()
    with cache._lock:
        child = os.fork()
        if child == 0:
            cache.get("a", lambda: np.zeros(1, np.uint8))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
