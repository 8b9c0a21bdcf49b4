"""Frames are chosen by time, upright, in bounded memory, and cheap in long files."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facial_r1.data.media import MediaError, frames, probe, video
from facial_r1.data.media.sampling import sample_times
from tests.data.media.made import tone, write_sound, write_video


def shown(pictures: np.ndarray) -> list[int]:
    """Which picture each frame is, by its grey."""
    return [round(float(picture.mean()) / 9) for picture in pictures]


def test_frames_are_the_middles_of_equal_parts(tmp_path: Path):
    pictures, times = frames(write_video(tmp_path / "a.mp4", 20), 4)
    assert pictures.dtype == np.uint8 and pictures.shape == (4, 24, 32, 3)
    assert shown(pictures) == [2, 7, 12, 17] and np.allclose(times, [0.2, 0.7, 1.2, 1.7])


def test_a_rate_gives_frames_a_second_up_to_the_bound(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 20)
    assert len(frames(path, rate=5)[0]) == 10
    assert shown(frames(path, rate=5, max_frames=4)[0]) == [2, 7, 12, 17]


def test_a_short_clip_gives_each_frame_once(tmp_path: Path):
    pictures, times = frames(write_video(tmp_path / "a.mp4", 3), 8)
    assert shown(pictures) == [0, 1, 2] and (np.diff(times) > 0).all()


def test_only_the_first_seconds_are_looked_at(tmp_path: Path):
    assert shown(frames(write_video(tmp_path / "a.mp4", 20), 2, seconds=0.4)[0]) == [1, 3]


def test_a_variable_frame_rate_is_sampled_by_time(tmp_path: Path):
    """Five pictures in the first half second, then one for two seconds, then one more: most moments show the long one."""
    path = write_video(tmp_path / "a.mp4", 7, times=[0, 1, 2, 3, 4, 5, 25])
    pictures, times = frames(path, 5)
    assert shown(pictures) == [2, 5] and np.allclose(times, [0.2, 0.5])
    assert shown(frames(path, 26)[0]) == [0, 1, 2, 3, 4, 5, 6]


def test_the_rotation_of_a_phone_is_applied(tmp_path: Path):
    def corner(place: int) -> np.ndarray:
        picture = np.zeros((24, 32, 3), np.uint8)
        picture[:8, :8] = 255
        return picture

    for rotation, where in ((90, (-1, 0)), (-90, (0, -1)), (180, (-1, -1))):
        pictures, _ = frames(write_video(tmp_path / f"{rotation}.mp4", 3, picture=corner, rotation=rotation), 1)
        assert pictures.shape[1:3] == ((32, 24) if abs(rotation) == 90 else (24, 32))
        assert pictures[0][where].mean() > 200 and pictures[0][0, 0].mean() < 50


def test_pixels_that_are_not_square_are_stretched(tmp_path: Path):
    assert frames(write_video(tmp_path / "a.mp4", 2, aspect=Fraction(2, 1)), 1)[0].shape[1:3] == (24, 64)


def test_large_pictures_are_reduced_to_the_bound(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 4, size=(320, 240))
    assert frames(path, 4, max_bytes=4 * 3 * 160 * 120)[0].shape == (4, 120, 160, 3)


def test_a_long_file_is_jumped_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An hour at 1 frame a second with a key frame each minute: 8 frames cost 8 minutes of decoding at most."""
    path = write_video(tmp_path / "a.mp4", 3600, 1.0, gop=60)
    decoded = []

    def counted(*arguments):
        for frame in original(*arguments):
            decoded.append(frame.pts)
            yield frame

    original = video.first_frames
    monkeypatch.setattr(video, "first_frames", counted)
    pictures, times = frames(path, 8)
    assert np.allclose(times, [225, 675, 1125, 1575, 2025, 2475, 2925, 3375])
    assert shown(pictures) == [round(int(time) * 9 % 250 / 9) for time in times]
    assert len(decoded) < 8 * 61


def test_memory_does_not_grow_with_the_length(tmp_path: Path):
    """Two hours of 160 x 120 would be 200 MB when decoded; the process that takes 16 frames grows by less than 60 MB."""
    write_video(tmp_path / "a.mp4", 3600, 0.5, (160, 120), gop=60)
    code = (
        "import resource, sys\n"
        "from facial_r1.data.media import frames\n"
        "from facial_r1.data.media.opening import library\n"
        "library(); import numpy\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"assert len(frames({str(tmp_path / 'a.mp4')!r}, 16)[0]) == 16\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60


def test_a_recording_without_a_length_is_measured(tmp_path: Path):
    """Browsers write WebM and Matroska as streams, whose header knows no length."""
    path = write_video(tmp_path / "a.mkv", 20, container={"live": "1"})
    assert shown(frames(path, 4)[0]) == [2, 7, 12, 17]


def test_sound_is_no_video(tmp_path: Path):
    with pytest.raises(MediaError, match="only sound"):
        frames(write_sound(tmp_path / "a.wav", tone()))


def test_streams_are_known_without_decoding(tmp_path: Path):
    facts = probe(write_video(tmp_path / "a.mp4", 10, sound=tone()))
    assert facts.video is not None and facts.audio is not None
    assert (facts.video.width, facts.video.height, facts.video.rate, facts.audio.rate) == (32, 24, 10.0, 16_000)
    assert abs(facts.seconds - 1.0) < 0.1


@pytest.mark.parametrize(("arguments", "expected"), [((2.0, 2), [0.5, 1.5]), ((2.0, 5, 1.0), [0.5, 1.5]), ((0.0, 3), [0.0] * 3)])
def test_moments(arguments: tuple, expected: list[float]):
    assert sample_times(*arguments) == expected


def test_a_playlist_opens_nothing(tmp_path: Path):
    (tmp_path / "a.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(MediaError, match="this is text"):
        frames(tmp_path / "a.mp4")


def test_decoding_imports_no_torch(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 3)
    code = f"import sys\nfrom facial_r1.data.media import frames\nframes({str(path)!r})\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
