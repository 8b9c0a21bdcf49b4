"""Sound is one channel at the rate asked for, and bounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facial_r1.data.media import MediaError, waveform
from tests.data.media.made import RATE, tone, write_sound, write_video


def test_samples_are_those_of_the_file(tmp_path: Path):
    sound = tone(0.5)
    heard = waveform(write_sound(tmp_path / "a.wav", sound))
    assert heard.dtype == np.float32 and heard.shape == (RATE // 2,)
    assert np.abs(heard - sound).max() < 1e-4


def test_another_rate_and_two_channels_become_one_at_16_khz(tmp_path: Path):
    heard = waveform(write_sound(tmp_path / "a.wav", tone(1.0, rate=44_100), rate=44_100, channels=2))
    assert abs(len(heard) - RATE) <= 32
    peak = np.abs(np.fft.rfft(heard[:RATE])).argmax()
    assert abs(int(peak) - 440) <= 2, "the tone keeps its pitch"
    assert 0.2 < np.abs(heard).max() < 0.4, "one of two channels at half scale"


def test_the_sound_of_a_video(tmp_path: Path):
    heard = waveform(write_video(tmp_path / "a.mp4", 10, sound=tone(1.0)))
    assert abs(len(heard) - RATE) < 2200 and np.abs(heard).max() > 0.4


def test_only_the_first_seconds_are_decoded(tmp_path: Path):
    """Two hours; half a second of it is heard."""
    path = write_sound(tmp_path / "a.wav", np.zeros(7200 * 1000, np.float32), rate=1000)
    assert waveform(path, 8000, seconds=0.5).shape == (4000,)


def test_a_video_without_sound(tmp_path: Path):
    with pytest.raises(MediaError, match="no sound track"):
        waveform(write_video(tmp_path / "a.mp4", 3))


def test_no_samples(tmp_path: Path):
    with pytest.raises(MediaError, match=r"no samples|unreadable"):
        waveform(write_sound(tmp_path / "a.wav", np.zeros(0, np.float32)))


def test_values_that_are_no_numbers(tmp_path: Path):
    import struct

    samples = np.full(100, np.nan, "<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, 1, RATE, 4 * RATE, 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(samples)) + samples
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    with pytest.raises(MediaError, match="no numbers"):
        waveform(tmp_path / "a.wav")
