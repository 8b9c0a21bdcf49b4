"""Every bad clip is named with file, line, field, reason and fix; silent ones are counted, not refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from facial_r1.data import load_data, load_records, write_skipped
from facial_r1.data.media import looking, opening
from facial_r1.errors import InputError
from tests.data.media.made import tone, write_sound, write_video


def truncated(path: Path, share: float = 0.6) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])


def cut_at_the_end(path: Path) -> None:
    truncated(write_video(path, 20))


def cut_after_the_index(path: Path) -> None:
    noise = np.random.default_rng(0)
    write_video(
        path, 20, picture=lambda place: noise.integers(0, 255, (24, 32, 3), np.uint8), container={"movflags": "faststart"}
    )
    truncated(path, 0.9)


def no_frames(path: Path) -> None:
    import av

    with av.open(str(path), "w", format="mp4") as file:  # sound alone would be no video at all
        stream = file.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        track = file.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(0.2)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        file.mux(track.encode(frame))
        file.mux(track.encode())


def wrong_header(path: Path) -> None:
    raw = bytearray(write_sound(path, tone(0.2)).read_bytes())
    raw[20:24] = b"\xff\xff\x00\x00"
    path.write_bytes(raw)


def too_short_for_its_header(path: Path) -> None:
    truncated(write_sound(path, tone(0.2)))


VIDEOS = {
    "cut at the end": (cut_at_the_end, r"cut off|promises|would take"),
    "cut after the index": (cut_after_the_index, r"its parts would take [\d,]+ bytes"),
    "no frames": (no_frames, r"no frames|only sound"),
    "text": (lambda path: path.write_text("this is no video\n"), "this is text"),
    "empty": (lambda path: path.write_bytes(b""), "0 bytes"),
    "two hours": (lambda path: write_video(path, 720, 0.1), r"it lasts 7,200.0 s, more than data.video.max_seconds=60"),
    "sound alone": (lambda path: write_sound(path.with_suffix(".wav"), tone()).rename(path), "only sound"),
}
SOUNDS = {
    "wrong header": (wrong_header, "unreadable|no samples|can be decoded"),
    "shorter than its header": (too_short_for_its_header, r"the header promises [\d,]+ bytes, there are"),
    "no samples": (lambda path: write_sound(path, np.zeros(0, np.float32)), "no samples|unreadable"),
    "text": (lambda path: path.write_text("no sound"), "this is text"),
    "two hours": (lambda path: write_sound(path, np.zeros(7_200_000, np.float32), 1000), "more than data.audio.max_seconds=30"),
    "video without sound": (lambda path: write_video(path.with_suffix(".mp4"), 3).rename(path), "no sound track"),
}
CASES = [*(("video", name) for name in VIDEOS), *(("audio", name) for name in SOUNDS)]


@pytest.mark.parametrize(("kind", "case"), CASES, ids=[f"{kind} {case}" for kind, case in CASES])
def test_bad_file(folder, kind: str, case: str):
    make, reason = (VIDEOS if kind == "video" else SOUNDS)[case]
    path = folder.path / ("a.mp4" if kind == "video" else "a.wav")
    make(path)
    file = folder.rows("a.jsonl", [{"image": "images/face.png", "labels": ["fear"]}, {kind: path.name, "labels": ["fear"]}])
    settings = {"files": [str(file)], "split": {"test": 0.0}}
    with pytest.raises(InputError) as caught:
        load_data(settings, need=("train",))
    assert f"{file}:2: {kind}: " in str(caught.value) and re.search(reason, str(caught.value)) and "fix: " in str(caught.value)
    data = load_data(settings | {"on_error": "skip"}, need=("train",))
    assert len(data.train) == 1 and [(problem.line, problem.field) for problem in data.problems] == [(2, kind)]
    assert any("1 bad rows were left out" in note for note in data.notes)
    write_skipped(folder.path / "skipped.jsonl", data.problems)
    row = json.loads((folder.path / "skipped.jsonl").read_text())
    assert row["line"] == 2 and row["field"] == kind and row["reason"] and row["fix"]


def test_a_missing_file_is_looked_for(folder):
    write_video(folder.path / "clips" / "smile.mp4", 2)
    file = folder.rows("a.jsonl", [{"video": "smile.avi"}])
    with pytest.raises(
        InputError, match=r"video 'smile.avi' is missing; looked for .*videos/smile.avi\n.*did you mean .*clips/smile.mp4"
    ):
        load_records(file)


def test_a_file_that_may_not_be_read(folder, monkeypatch: pytest.MonkeyPatch):
    path = write_video(folder.path / "a.mp4", 2)

    def refuse(name, *arguments, **options):
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(opening, "open", refuse, raising=False)
    with pytest.raises(InputError, match=r"a.jsonl:1: video: .*may not be read by this user\n.*change its permissions"):
        load_records(folder.rows("a.jsonl", [{"video": path.name}]))


def test_a_video_without_sound_is_refused_where_sound_is_asked_for(folder):
    write_video(folder.path / "a.mp4", 4)
    file = folder.rows("a.jsonl", [{"video": "a.mp4", "labels": ["fear"]}])
    with pytest.raises(InputError, match=r"audio: .*no sound track, and data.modalities asks for audio"):
        load_data({"files": [str(file)], "modalities": ["video", "audio"], "split": {"test": 0.0}}, need=("train",))
    [note] = load_records(file).notes
    assert note.startswith("1 video is without sound: ")
    with pytest.raises(InputError, match=r"audio: .*no sound track"):
        load_records(folder.rows("b.jsonl", [{"video": "a.mp4", "audio": "video"}]))


def test_silent_and_still_clips_are_counted(folder):
    write_video(folder.path / "still.mp4", 30, picture=lambda place: np.full((24, 32, 3), 90, np.uint8), sound=np.zeros(48_000))
    write_video(folder.path / "late.mp4", 30, picture=lambda place: np.full((24, 32, 3), 90 + 80 * (place > 26), np.uint8))
    late = tone(3.0)
    late[:24_000] = 0
    write_sound(folder.path / "late.wav", late)
    write_sound(folder.path / "silent.wav", np.zeros(48_000, np.float32))
    rows = [{"video": "still.mp4"}, {"video": "late.mp4", "audio": "late.wav"}, {"audio": "silent.wav"}]
    records = load_records(folder.rows("a.jsonl", rows))
    assert len(records) == 3 and not records.skipped
    assert "2 recordings are silent" in records.notes[0] and "silent.wav" in records.notes[0]
    assert records.notes[1] == f"1 video is still, the picture never changes: {folder.path / 'still.mp4'}"


def test_checking_decodes_few_frames(folder, monkeypatch: pytest.MonkeyPatch):
    write_video(folder.path / "a.mp4", 600)
    decoded = []

    def counted(*arguments):
        for frame in original(*arguments):
            decoded.append(frame.pts)
            yield frame

    original = looking.first_frames
    monkeypatch.setattr(looking, "first_frames", counted)
    load_records(folder.rows("a.jsonl", [{"video": "a.mp4"}]))
    assert len(decoded) <= 2


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ({"video": 7}, "video", "is a number, not a path"),
        ({"audio": ["a.wav"]}, "audio", "is a list, not a path"),
        ({"audio": "video"}, "audio", "the row has no video"),
        ({"vidoe": "a.mp4", "transcript": "well"}, "image", "the field is missing"),
        ({"labels": ["fear"]}, "image", "the field is missing"),
    ],
)
def test_rows_that_name_nothing(folder, row: dict, field: str, reason: str):
    [problem] = load_records(folder.rows("a.jsonl", [{"image": "face.png"}, row]), on_error="skip").skipped
    assert problem.line == 2 and problem.field == field and reason in problem.reason


def test_without_the_library_the_install_command_is_said(folder, monkeypatch: pytest.MonkeyPatch):
    import sys

    write_video(folder.path / "a.mp4", 2)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"pip install 'facial_r1\[media\]'"):
        load_records(folder.rows("a.jsonl", [{"video": "a.mp4"}]))
