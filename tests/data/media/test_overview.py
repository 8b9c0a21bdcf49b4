"""Counts of clips, and the sheet that shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facial_r1.config.media_schema import Audio, Video
from facial_r1.data.media.overview import SILENT, STILL, Overview, general_reason, histogram, overview
from facial_r1.data.media.sheet import media_sheet
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record
from tests.data.media.made import grey, tone, write_sound, write_video


def record(name: str, **media: str) -> Record:
    return Record(id=name, dataset="x", images=(), question="", AUs=None, labels=("fear",), **media)


@pytest.fixture
def mixed(tmp_path: Path) -> list[Record]:
    """A clip with sound, a still one, a silent recording, a sound, and words alone."""
    clip = str(write_video(tmp_path / "clip.mp4", 20, sound=tone(2.0)))
    still = str(write_video(tmp_path / "still.mp4", 10, picture=lambda place: grey(3)))
    silent = str(write_sound(tmp_path / "silent.wav", np.zeros(16_000, np.float32)))
    sound = str(write_sound(tmp_path / "sound.wav", tone(3.0)))
    return [
        record("a", video=clip, audio=clip, transcript="Hello."),
        record("b", video=still),
        record("c", audio=silent),
        record("d", audio=sound, transcript="It rains."),
        record("e", transcript="Only words."),
    ]


def test_what_there_is_is_counted(mixed: list[Record]):
    found = overview(mixed)
    assert (found.rows, found.videos, found.sounds, found.transcripts) == (5, 2, 3, 3)
    assert np.allclose(found.seconds, [2.0, 1.0, 1.0, 3.0], atol=0.1)


def test_silent_and_still_files_are_counted_by_reason(mixed: list[Record]):
    assert overview(mixed).faults == {SILENT: 1, STILL: 1}


def test_refused_rows_of_one_reason_are_counted_together():
    problems = [
        Problem("rows.jsonl", 1, "audio", "/a/x y.wav: the header promises 1,044 bytes, there are 500", "copy it"),
        Problem("rows.jsonl", 2, "audio", "/a/z.wav: the header promises 99 bytes, there are 98", "copy it"),
        Problem("rows.jsonl", 3, "labels", "unknown label", "mend it"),
    ]
    assert overview([], problems).faults == {"the header promises N bytes, there are N": 2}


def test_a_file_that_went_missing_is_a_fault(mixed: list[Record]):
    Path(mixed[3].audio).unlink()
    assert overview(mixed).faults["the file is missing"] == 1


@pytest.mark.parametrize("seconds", [[0.01], [1.6] * 4, [0.4, 59.9], [3600.0, 1.0, 7.5]])
def test_every_length_is_in_the_histogram(seconds: list[float]):
    edges, counts = histogram(seconds)
    assert sum(counts) == len(seconds) and len(edges) == len(counts) + 1 <= 21
    assert edges[0] == 0 and max(seconds) <= edges[-1]


def test_no_lengths_make_no_histogram():
    assert histogram([]) == ([], []) and Overview(0, 0, 0, 0).to_json()["seconds"] == {}


def test_reasons_lose_the_path_and_the_numbers():
    assert general_reason("/a b/c.d/x.mp4: it lasts 81.0 s, more than data.video.max_seconds=60") == (
        "it lasts N s, more than data.video.max_seconds=N"
    )


def test_rows_are_as_high_as_what_they_show(mixed: list[Record]):
    facts = overview(mixed)

    def height(*records: Record) -> int:
        return media_sheet(records, facts, Video(), Audio(), columns=4, tile=64).height

    empty, clip, still, sound = height(), height(mixed[0]), height(mixed[1]), height(mixed[3])
    assert clip - still == 38 + 15, "sound and one line of words"
    assert clip - sound == 64 + 4, "frames"
    assert height(mixed[0], mixed[3]) == clip + sound - empty


def test_frames_and_sound_are_drawn(mixed: list[Record]):
    sheet = np.asarray(media_sheet(mixed[:1], overview(mixed), Video(), Audio(), columns=4, tile=64))
    frame = sheet[150 + 22 + 32, 12 + 32]
    assert np.ptp(frame.astype(int)) <= 6 and frame[0] < 100, "a grey frame of the clip"
    blue = (np.abs(sheet.astype(int) - (66, 92, 140)).max(axis=2) < 8).sum(axis=1)
    assert blue[150 + 22 + 68 : 150 + 22 + 68 + 38].sum() > 2000, "the tone fills its strip"


def test_a_file_that_broke_since_says_so_in_its_row(tmp_path: Path, mixed: list[Record]):
    facts = overview(mixed)
    broken = record("f", audio=str(tmp_path / "gone.wav"))
    sheet = np.asarray(media_sheet([broken], facts, Video(), Audio()))
    red = np.abs(sheet[150:].astype(int) - (172, 62, 50)).max(axis=2) < 40
    assert red.sum() > 20


@pytest.mark.parametrize("words", ["", "word " * 200, "我今天很高兴", "x" * 400])
def test_transcripts_of_any_length_and_script_fit(words: str, mixed: list[Record]):
    one = record("w", audio=mixed[3].audio, transcript=words)
    sheet = media_sheet([one], overview(mixed), Video(), Audio(), columns=2, tile=32)
    assert sheet.width == 640 and np.asarray(sheet)[:, -8:].min() > 200, "nothing reaches the edge"
