"""Crops of pictures and clips, with a detector that knows where to look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facial_r1.data.faces.cutting import LOOKED, cut_clip, cut_picture
from facial_r1.data.media import frames, probe
from facial_r1.data.media.errors import MediaError
from facial_r1.data.media.video import every_frame
from tests.data.media.made import tone, write_video

BRIGHT = (64, 32, 96, 64)
"""Where `scene` has a bright square: left, top, right, bottom of 160 x 96 pixels."""


def scene(place: int) -> np.ndarray:
    picture = np.full((96, 160, 3), 30 + place, np.uint8)
    picture[BRIGHT[1] : BRIGHT[3], BRIGHT[0] : BRIGHT[2]] = 200
    return picture


def bright(picture: np.ndarray) -> list[tuple[float, float, float, float]]:
    """A detector of bright squares."""
    high, wide = picture.shape[:2]
    rows, columns = np.nonzero(picture[..., 0] > 150)
    if not len(rows):
        return []
    return [(columns.min() / wide, rows.min() / high, (columns.max() + 1) / wide, (rows.max() + 1) / high)]


def test_a_picture_is_cut_square_with_its_margin(tmp_path: Path):
    Image.fromarray(scene(0)).save(tmp_path / "a.png")
    found = cut_picture(str(tmp_path / "a.png"), tmp_path / "faces" / "a.jpg", bright, 0.5, 64)
    assert found.box == (64 / 160, 32 / 96, 96 / 160, 64 / 96)
    face = np.asarray(Image.open(tmp_path / "faces" / "a.jpg")).astype(int)
    assert face.shape == (64, 64, 3)
    assert abs(face[20:44, 20:44].mean() - 200) < 4 and abs(face[:12].mean() - 30) < 4, "half of the side is margin"


def test_nothing_is_written_without_a_face(tmp_path: Path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    assert cut_picture(str(tmp_path / "a.png"), tmp_path / "f" / "a.jpg", bright, 0.25, 64).box is None
    assert not (tmp_path / "f").exists()


def test_frames_keep_their_times(tmp_path: Path):
    """Also at a variable frame rate."""
    source = write_video(tmp_path / "a.mp4", 8, size=(160, 96), picture=scene, times=[0, 1, 2, 5, 6, 9, 13, 14], sound=tone(1.5))
    found = cut_clip(str(source), tmp_path / "b.mp4", bright, 0.25, 64)
    assert found.hits == found.looked and found.box is not None
    whole, cut = ([float(one.pts * one.base) for one in every_frame(path)] for path in (source, tmp_path / "b.mp4"))
    assert np.allclose(whole, cut, atol=1e-3) and len(cut) == 8
    assert np.allclose(frames(source, 6)[1], frames(tmp_path / "b.mp4", 6)[1], atol=1e-3)
    facts = probe(tmp_path / "b.mp4")
    assert facts.video is not None and (facts.video.width, facts.video.height) == (64, 64) and facts.audio is None


def test_one_box_for_all_frames(tmp_path: Path):
    """A detector that jumps in one frame of five does not move the picture."""
    source = write_video(tmp_path / "a.mp4", 10, size=(160, 96), picture=scene)
    calls = iter(range(100))

    def jumping(picture: np.ndarray) -> list[tuple[float, float, float, float]]:
        return [(0.0, 0.0, 0.1, 0.1)] if next(calls) % 5 == 0 else bright(picture)

    cut_clip(str(source), tmp_path / "b.mp4", jumping, 0.0, 64)
    for one in every_frame(tmp_path / "b.mp4"):
        assert one.picture.mean() > 185


def test_frames_without_a_face_are_cut_like_the_others(tmp_path: Path):
    source = write_video(tmp_path / "a.mp4", 12, size=(160, 96), picture=lambda n: scene(n) if n % 3 else scene(n) // 4)
    found = cut_clip(str(source), tmp_path / "b.mp4", bright, 0.25, 64)
    assert 0 < found.hits < found.looked == LOOKED
    assert len(list(every_frame(tmp_path / "b.mp4"))) == 12


def test_a_turned_video_is_cut_upright(tmp_path: Path):
    source = write_video(tmp_path / "a.mp4", 4, size=(160, 96), picture=scene, rotation=90)
    found = cut_clip(str(source), tmp_path / "b.mp4", bright, 0.0, 64)
    assert found.box is not None and frames(source, 1)[0].shape[1:3] == (160, 96)
    assert next(every_frame(tmp_path / "b.mp4")).picture.mean() > 185


def test_a_cut_off_clip_leaves_nothing_behind(tmp_path: Path):
    source = write_video(tmp_path / "a.mp4", 30, size=(160, 96), picture=scene)
    source.write_bytes(source.read_bytes()[:-400])
    with pytest.raises(MediaError):
        cut_clip(str(source), tmp_path / "f" / "b.mp4", bright, 0.25, 64)
    assert not list(tmp_path.glob("f/*"))


def test_a_failure_while_writing_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from facial_r1.data.faces import cutting

    source = write_video(tmp_path / "a.mp4", 4, size=(160, 96), picture=scene)

    def breaking(path: str):
        yield from list(every_frame(path))[:2]
        raise MediaError(path, "breaks off", "copy it")

    monkeypatch.setattr(cutting, "every_frame", breaking)
    with pytest.raises(MediaError):
        cut_clip(str(source), tmp_path / "f" / "b.mp4", bright, 0.25, 64)
    assert not list((tmp_path / "f").iterdir())
