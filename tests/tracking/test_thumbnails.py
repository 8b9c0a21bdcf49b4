"""Pictures as people have them become small upright JPEGs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facial_r1.tracking.thumbnails import thumbnail


def opened(path: Path, side: int = 128) -> Image.Image:
    image = Image.open(io.BytesIO(thumbnail(path, side)))
    assert image.format == "JPEG" and image.mode == "RGB" and max(image.size) <= side
    return image


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_gives_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("x.tiff" if mode in ("CMYK", "F", "I") else "x.png")
    image = Image.fromarray(np.full((40, 30), 1000, np.uint16)) if mode == "I;16" else Image.new(mode, (30, 40))
    image.save(path)
    assert opened(path).size == (30, 40)


def test_sixteen_bits_keep_their_contrast(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 60_000, 64, dtype=np.uint16), (64, 1))
    Image.fromarray(ramp).save(tmp_path / "x.png")
    pixels = np.asarray(opened(tmp_path / "x.png").convert("L"))
    assert pixels[:, 0].mean() < 15 and pixels[:, -1].mean() > 240


def test_exif_orientation_is_applied_and_metadata_dropped(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (200, 100)).save(tmp_path / "x.jpg", exif=exif)
    small = opened(tmp_path / "x.jpg")
    assert small.size == (64, 128) and not small.getexif()


def test_one_pixel_and_a_large_photograph(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    Image.new("RGB", (8000, 6000)).save(tmp_path / "large.jpg")
    assert opened(tmp_path / "one.png").size == (1, 1)
    assert opened(tmp_path / "large.jpg").size == (128, 96)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n broken"])
def test_what_is_no_image_is_an_oserror(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(OSError):
        thumbnail(tmp_path / "x.png")
