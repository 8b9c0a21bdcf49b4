"""Photographs as people have them: opened upright in RGB, or refused with the file's name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facial_r1.data import ImageError, decode_count, open_image
from facial_r1.data.images import MAX_PIXELS, digest, verify
from facial_r1.errors import InputError

ORIENTATION = 0x0112


def gradient(width: int = 40, height: int = 30) -> np.ndarray:
    """Red grows to the right, green downwards, so that every orientation looks different. (height, width, 3) uint8."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), np.full_like(x, 60)], -1).astype(np.uint8)


def pixels(path: Path, **options) -> np.ndarray:
    image = open_image(path, **options)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def close(actual: np.ndarray, wanted: np.ndarray, tolerance: float) -> bool:
    return actual.shape == wanted.shape and bool(np.abs(actual - wanted.astype(int)).max() <= tolerance)


# --- modes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "jpg", "gif"])
def test_rgb_formats(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {"quality": 95, "subsampling": 0} if suffix == "jpg" else {}
    Image.fromarray(gradient()).save(path, **options)
    assert close(pixels(path), gradient(), {"jpg": 8, "gif": 24}.get(suffix, 0))


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_bilevel(tmp_path, mode):
    source = Image.fromarray(gradient()).convert(mode)
    source.save(tmp_path / "a.png")
    wanted = np.asarray(source.convert("L"))[..., None].repeat(3, -1)
    assert close(pixels(tmp_path / "a.png"), wanted, 0)


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (200, 40, 10, 0)), ("LA", (10, 0))])
def test_transparency_is_put_on_white(tmp_path, mode, colour):
    Image.new(mode, (4, 4), colour).save(tmp_path / "a.png")
    assert (pixels(tmp_path / "a.png") == 255).all()


def test_half_transparency_is_mixed_with_white(tmp_path):
    Image.new("RGBA", (4, 4), (200, 0, 100, 128)).save(tmp_path / "a.png")
    assert close(pixels(tmp_path / "a.png"), np.full((4, 4, 3), (227, 127, 177)), 1)


def test_opaque_palette(tmp_path):
    source = Image.fromarray(gradient()).quantize(64)
    source.save(tmp_path / "a.png")
    assert close(pixels(tmp_path / "a.png"), np.asarray(source.convert("RGB")), 0)


def test_transparent_palette_colour_is_put_on_white(tmp_path):
    source = Image.new("P", (4, 4), 0)
    source.putpalette([0, 0, 0, 250, 0, 0])
    source.putpixel((1, 2), 1)
    source.save(tmp_path / "a.png", transparency=0)
    seen = pixels(tmp_path / "a.png")
    assert tuple(seen[0, 0]) == (255, 255, 255) and tuple(seen[2, 1]) == (250, 0, 0)


def test_transparent_rgb_colour_is_put_on_white(tmp_path):
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "a.png", transparency=(1, 2, 3))
    assert (pixels(tmp_path / "a.png") == 255).all()


def test_cmyk_jpeg(tmp_path):
    Image.fromarray(gradient()).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert close(pixels(tmp_path / "a.jpg"), gradient(), 40)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, suffix):
    deep = (np.linspace(0, 65535, 256).astype(np.uint16))[None, :].repeat(4, 0)
    Image.fromarray(deep).save(tmp_path / f"a.{suffix}")
    seen = pixels(tmp_path / f"a.{suffix}")
    assert close(seen, np.arange(256)[None, :, None] + np.zeros((4, 256, 3)), 1)
    assert len(np.unique(seen)) > 250, "steps above 8 bits are not cut off"


def test_big_endian_sixteen_bits(tmp_path):
    deep = np.array([[0, 32768, 65535]], dtype=">u2")
    header = b"P5 3 1 65535\n"
    (tmp_path / "a.pgm").write_bytes(header + deep.tobytes())
    assert close(pixels(tmp_path / "a.pgm"), np.array([[[0] * 3, [128] * 3, [255] * 3]]), 1)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([-2.0, 0.0, 2.0], [0, 128, 255]),
    ],
    ids=["0..1", "0..255", "own range"],
)
def test_floating_values(tmp_path, values, wanted):
    Image.fromarray(np.array([values], dtype=np.float32)).save(tmp_path / "a.tif")
    assert close(pixels(tmp_path / "a.tif"), np.array(wanted)[None, :, None].repeat(3, -1), 1)


def test_thirty_two_bit_integers_take_their_own_range(tmp_path):
    Image.fromarray(np.array([[0, 1_000_000, 2_000_000]], dtype=np.int32)).save(tmp_path / "a.tif")
    assert close(pixels(tmp_path / "a.tif"), np.array([[[0] * 3, [128] * 3, [255] * 3]]), 1)


@pytest.mark.parametrize("suffix", ["gif", "tif", "png", "webp"])
def test_the_first_frame_is_taken(tmp_path, suffix):
    first, second = Image.new("RGB", (5, 5), (200, 0, 0)), Image.new("RGB", (5, 5), (0, 0, 200))
    options = {"lossless": True} if suffix == "webp" else {}
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second], **options)
    assert close(pixels(tmp_path / f"a.{suffix}"), np.full((5, 5, 3), (200, 0, 0)), 2)


def test_one_pixel(tmp_path):
    Image.new("RGB", (1, 1), (3, 4, 5)).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").tolist() == [[[3, 4, 5]]]


# --- orientation ---------------------------------------------------------------------------------------------


def stored(image: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores of the upright `image` under an EXIF orientation (EXIF 2.3: row 0 and column 0)."""
    t = image.swapaxes(0, 1)
    return {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: t,
        6: t[::-1],
        7: t[::-1, ::-1],
        8: t[:, ::-1],
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_exif_rotation(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    camera = Image.fromarray(np.ascontiguousarray(stored(gradient(), orientation)))
    camera.save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
    assert close(pixels(tmp_path / f"a.{suffix}"), gradient(), {"jpg": 12, "webp": 24}.get(suffix, 0))


@pytest.mark.parametrize("orientation", [0, 9, 6000])
def test_meaningless_orientation_is_ignored(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(gradient()).save(tmp_path / "a.png", exif=exif)
    assert close(pixels(tmp_path / "a.png"), gradient(), 0)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_is_ignored(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "a.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff", quality=95)
    assert close(pixels(tmp_path / "a.jpg"), gradient(), 12)


def test_a_real_photograph_opens_upright(tmp_path):
    astronaut = pytest.importorskip("skimage.data").astronaut()  # public domain, ships with scikit-image
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(np.ascontiguousarray(stored(astronaut, 6))).save(tmp_path / "a.jpg", exif=exif, quality=92)
    seen = pixels(tmp_path / "a.jpg")
    assert seen.shape == astronaut.shape
    assert np.abs(seen - astronaut.astype(int)).mean() < 4
    assert np.abs(seen[::-1] - astronaut.astype(int)).mean() > 40, "the measure tells upright from upside down"


# --- size and memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "jpg"), ("CMYK", "jpg"), ("RGB", "png"), ("RGBA", "png"), ("P", "png"), ("I;16", "png")],
)
def test_reduced_images_look_the_same(tmp_path, mode, suffix):
    large = gradient(640, 480)
    if mode == "I;16":
        Image.fromarray(large[..., 0].astype(np.uint16) * 257).save(tmp_path / f"a.{suffix}")
    else:
        Image.fromarray(large).convert(mode).save(tmp_path / f"a.{suffix}", quality=95)
    limit = 640 * 480 // 10
    seen, full = (
        open_image(tmp_path / f"a.{suffix}", max_pixels=limit),
        open_image(tmp_path / f"a.{suffix}", None),
    )
    assert full.size == (640, 480)
    assert limit <= seen.width * seen.height < 4 * limit
    shrunk = np.asarray(full.resize(seen.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(np.asarray(seen) - shrunk).mean() < 2


def test_images_up_to_the_limit_keep_their_pixels(tmp_path):
    side = int(MAX_PIXELS**0.5)
    Image.new("RGB", (side, side)).save(tmp_path / "a.jpg")
    assert open_image(tmp_path / "a.jpg").size == (side, side)


PEAK = """
import re, sys
from pathlib import Path
from facial_r1.data import open_image

def peak():  # of this program alone: getrusage would count what the process was before it, a large parent
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

open_image(sys.argv[2])
before = peak()
image = open_image(sys.argv[1])
print(peak() - before, image.width, image.height)
"""


@pytest.mark.parametrize(
    ("mode", "suffix", "megabytes"),
    # Pillow's open and convert("RGB") takes 366 MB (RGB, RGBA, CMYK), 274 MB (16 bits) and 229 MB (grey, palette).
    # Here JPEG is decoded at half size, and PNG once with 4, 1 or 2 bytes a pixel.
    [
        ("RGB", "jpg", 130),
        ("CMYK", "jpg", 130),
        ("RGB", "png", 260),
        ("RGBA", "png", 260),
        ("L", "png", 130),
        ("P", "png", 130),
        ("I;16", "png", 170),
    ],
)
def test_8000x6000_in_bounded_memory(tmp_path, mode, suffix, megabytes):
    image = Image.new(
        mode,
        (8000, 6000),
        {"RGB": (90, 120, 200), "RGBA": (90, 120, 200, 255), "CMYK": (9, 8, 7, 6)}.get(mode, 90),
    )
    image.save(tmp_path / f"large.{suffix}", compress_level=1)
    Image.new(mode, (8, 8)).save(tmp_path / f"small.{suffix}")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / f"large.{suffix}"), str(tmp_path / f"small.{suffix}")],
        capture_output=True,
        text=True,
        check=True,
    )
    peak, width, height = map(float, done.stdout.split())
    assert MAX_PIXELS <= width * height < 4 * MAX_PIXELS
    assert peak < megabytes, f"opening took {peak:.0f} MB"


# --- refused -------------------------------------------------------------------------------------------------


def damaged(path: Path, kind: str) -> Path:
    if kind == "missing":
        return path / "gone.jpg"
    if kind == "folder":
        return path
    file = path / {"heic": "a.heic", "png cut": "a.png", "png body": "a.png", "bomb": "a.png"}.get(kind, "a.jpg")
    if kind == "heic":
        file.touch()
    elif kind == "png cut":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(file)
    elif kind == "bomb":
        Image.new("1", (20000, 20000)).save(file)
        return file
    else:
        Image.fromarray(gradient(400, 300)).save(file)
    content = file.read_bytes()
    half = len(content) // 2
    file.write_bytes(
        {
            "empty": b"",
            "text": b"hello, I am a text",
            "heic": b"\x00\x00\x00\x18ftypheic",
            "png body": content.replace(b"IDATx", b"IDAT\xff"),  # the first byte of the compressed stream
        }.get(kind, content[:half])
    )
    return file


REFUSED = {
    "missing": "the image is missing",
    "folder": "this is a folder",
    "empty": "0 bytes",
    "text": "its format is not known",
    "heic": "convert it to JPEG or PNG",
    "jpg cut": "truncated",
    "png cut": "unreadable image",
    "bomb": "too large",
}


@pytest.mark.parametrize("look", [open_image, verify])
@pytest.mark.parametrize("kind", REFUSED)
def test_refused_with_name_and_fix(tmp_path, kind, look):
    path = damaged(tmp_path, kind)
    with pytest.raises(InputError) as caught:
        look(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n    fix: " in str(caught.value)
    assert REFUSED[kind] in str(caught.value)


def test_damage_inside_is_found_when_the_image_is_opened(tmp_path):
    path = damaged(tmp_path, "png body")
    with pytest.raises(ImageError, match="unreadable image"):
        open_image(path)


def test_an_unreadable_file_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("RGB", (2, 2)).save(path)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(ImageError, match="may not be read by this user"):
        open_image(path)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp"])
def test_damaged_files_raise_nothing_else(tmp_path, suffix):
    """Bytes at random places set to random values: an image, or an error that a user can read."""
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(gradient()).save(path)
    whole, random = path.read_bytes(), np.random.default_rng(5)
    outcomes = set()
    for _ in range(150):
        content = bytearray(whole[: random.integers(1, len(whole) + 1)] if random.random() < 0.3 else whole)
        for place in random.integers(0, min(len(content), 400), 6):
            content[place] = random.integers(0, 256)
        path.write_bytes(content)
        for look in (open_image, verify):
            try:
                look(path)
                outcomes.add("image")
            except ImageError:
                outcomes.add("refused")
    assert outcomes >= {"refused"}


# --- the cheap check -----------------------------------------------------------------------------------------


def test_verify_reads_the_header_only(tmp_path, monkeypatch):
    Image.fromarray(gradient(400, 300)).save(tmp_path / "a.jpg")

    def decode(self, *args, **kwargs):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load", decode)
    facts = verify(tmp_path / "a.jpg")
    assert (facts.width, facts.height) == (400, 300)


def test_verify_accepts_bytes_after_the_end(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(gradient()).save(path)
    path.write_bytes(path.read_bytes() + b"x" * 10_000)
    assert verify(path).width == 40


def test_digest_is_of_content_not_of_name_or_time(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    Image.fromarray(gradient()[::-1]).save(tmp_path / "c.png")
    assert digest(tmp_path / "a.png") == digest(tmp_path / "b.png") == verify(tmp_path / "a.png").digest
    assert digest(tmp_path / "a.png") != digest(tmp_path / "c.png")
    assert digest(tmp_path / "gone.png") == "missing"


def test_decodes_are_counted_and_checks_are_not(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    before = decode_count()
    verify(tmp_path / "a.png")
    digest(tmp_path / "a.png")
    assert decode_count() == before
    open_image(tmp_path / "a.png")
    open_image(tmp_path / "a.png")
    assert decode_count() == before + 2
