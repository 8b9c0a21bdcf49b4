"""Faces cut out beforehand take the place of a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facial_r1.data.media import MediaError, frames, probe
from facial_r1.data.media.crops import write_crops
from tests.data.media.made import grey, write_video


def test_an_array_of_crops_is_sampled_like_a_video(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.stack([grey(place, 8, 8) for place in range(50)]))
    pictures, times = frames(tmp_path / "a.npy", 4)
    assert pictures.shape == (4, 8, 8, 3) and np.allclose(times, np.array([6, 18, 31, 43]) / 25)
    assert [int(picture[0, 0, 0]) for picture in pictures] == [6 * 9, 18 * 9, 31 * 9 % 250, 43 * 9 % 250]
    assert probe(tmp_path / "a.npy").seconds == 2.0


def test_a_folder_of_pictures_in_the_order_of_their_names(tmp_path: Path):
    for place in range(6):
        Image.fromarray(grey(place, 8, 8)).save(tmp_path / f"{place:04d}.png")
    pictures, _ = frames(tmp_path, 3)
    assert [int(picture[0, 0, 0]) // 9 for picture in pictures] == [1, 3, 5]


@pytest.mark.parametrize(
    ("array", "reason"),
    [(np.zeros((3, 8, 8), np.uint8), "shape"), (np.zeros((2, 8, 8, 3), np.float32), "float32"), (None, "unreadable")],
)
def test_what_is_no_crops(tmp_path: Path, array: np.ndarray | None, reason: str):
    if array is None:
        (tmp_path / "a.npy").write_bytes(b"no array")
    else:
        np.save(tmp_path / "a.npy", array)
    with pytest.raises(MediaError, match=reason):
        frames(tmp_path / "a.npy")


def test_a_detector_of_choice_writes_crops(tmp_path: Path):
    """Every second frame has no face."""
    shots, _ = frames(write_video(tmp_path / "a.mp4", 6), 6)
    seen = iter(range(6))
    count = write_crops(shots, tmp_path / "faces", lambda frame: frame[4:20, 8:24] if next(seen) % 2 else None)
    assert count == 3 and frames(tmp_path / "faces", 3)[0].shape == (3, 16, 16, 3)


def test_an_empty_folder(tmp_path: Path):
    with pytest.raises(MediaError, match="no pictures"):
        frames(tmp_path)
