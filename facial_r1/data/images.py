"""Photographs as people have them: upright, in RGB, with bounded memory, or refused with the file's name."""

from __future__ import annotations

import hashlib
import os
import struct
import threading
import warnings
import zlib
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from facial_r1.errors import InputError

MAX_PIXELS = 4 * 1024 * 1024
"""Images are reduced while they are read, by a whole factor that leaves at least this many pixels."""

PIXEL_LIMIT = 2 * 89_478_485
"""Larger images are refused (as Pillow does against decompression bombs): 0.7 GB when decoded to RGB."""

_BACKGROUND = (255, 255, 255)
_STRIP_PIXELS = 1024 * 1024
_SAMPLE = 4096
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its EXIF orientation (EXIF 2.3, tag 0x0112)."""

_DECODING = (
    OSError,
    SyntaxError,  # Pillow's word for a broken PNG
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises on files that are not sound images."""

# Images of 89 to 179 megapixels are accepted (108 MP telephones make them); Pillow would warn about each.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageError(InputError):
    """An image that cannot be used. `reason` and `fix` say why and what to do, without the path."""

    def __init__(self, path: str | os.PathLike[str], reason: str, fix: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}\n    fix: {fix}")
        self.path, self.reason, self.fix = os.fspath(path), reason, fix


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the header of an image says, and a digest that changes with its content.

    Attributes:
        width, height: pixels, as stored (before EXIF rotation).
        digest: blake2b-128 over the byte size, the first and the last 4 KiB of the file.
    """

    width: int
    height: int
    digest: str


class _Counter:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.value = 0

    def add(self) -> None:
        with self._lock:
            self.value += 1


_decodes = _Counter()


def decode_count() -> int:
    """How many images `open_image` has decoded in this process, for tests that nothing is decoded twice."""
    return _decodes.value


def open_image(path: str | os.PathLike[str], max_pixels: int | None = MAX_PIXELS) -> Image.Image:
    """Read an image as upright 8-bit RGB.

    Rotation in EXIF is applied. Transparency is put on white, as the Qwen vision preprocessing does. 16-bit
    values are scaled to 8 bits (0..65535 to 0..255); 32-bit and floating values by their own range. Of
    several frames the first is taken. Colour profiles are not applied; CMYK is converted by Pillow's plain
    formula.

    Args:
        max_pixels: large images are reduced while reading by the largest whole factor that leaves at least so
            many pixels, and fewer than four times as many; None keeps all. JPEG is decoded at reduced size,
            so that its memory is bounded by the result; other formats are decoded once in their own depth.

    Raises:
        ImageError: the file is missing, not an image, cut off, or larger than `PIXEL_LIMIT`.
    """
    _decodes.add()
    try:
        with Image.open(path) as image:
            _limit(path, image)
            factor = 1
            if max_pixels is not None:
                factor = max(1, isqrt(image.width * image.height // max_pixels))
            full_width = image.width
            image.draft(None, (image.width // factor, image.height // factor))
            factor = max(1, factor // max(1, round(full_width / image.width)))
            image.load()
            orientation = _orientation(image)  # after load, which it would do itself for PNG, and hide its errors
            upright = _to_rgb(image, factor)
    except _DECODING as error:
        raise _explain(path, error) from error
    operation = _UPRIGHT.get(orientation)
    return upright if operation is None else upright.transpose(operation)


def verify(path: str | os.PathLike[str]) -> ImageFacts:
    """Check an image by its header and its end; pixels are decoded only when the end is odd.

    Raises:
        ImageError: as for `open_image`, except for damage in the middle of the file.
    """
    try:
        with open(path, "rb") as stream:
            head, tail, size = _ends(stream)
            stream.seek(0)
            with Image.open(stream) as image:
                _limit(path, image)
                width, height = image.size
                if not _has_end(head, tail, size):
                    image.draft(None, (max(1, width // 8), max(1, height // 8)))
                    image.load()
    except _DECODING as error:
        raise _explain(path, error) from error
    return ImageFacts(width, height, _digest(head, tail, size))


def digest(path: str | os.PathLike[str]) -> str:
    """The digest of `ImageFacts` without looking at the header; "missing" for a file that is not there."""
    try:
        with open(path, "rb") as stream:
            return _digest(*_ends(stream))
    except OSError:
        return "missing"


def _ends(stream: BinaryIO) -> tuple[bytes, bytes, int]:
    head = stream.read(_SAMPLE)
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _SAMPLE))
    return head, stream.read(_SAMPLE), size


def _digest(head: bytes, tail: bytes, size: int) -> str:
    return hashlib.blake2b(head + tail + str(size).encode(), digest_size=16).hexdigest()


def _has_end(head: bytes, tail: bytes, size: int) -> bool:
    """Whether the file ends as its format says. False also for trailers and formats without an end mark."""
    if head.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in tail
    if head.startswith(b"\x89PNG"):
        return b"IEND" in tail
    if head.startswith(b"RIFF"):
        return int.from_bytes(head[4:8], "little") + 8 <= size
    if head.startswith(b"BM"):
        return 0 < int.from_bytes(head[2:6], "little") <= size
    if head.startswith(b"GIF8"):
        return tail.endswith(b";")
    return False


def _limit(path: str | os.PathLike[str], image: Image.Image) -> None:
    if image.width * image.height > PIXEL_LIMIT:
        raise _too_large(path, f"{image.width}x{image.height} pixels")


def _too_large(path: str | os.PathLike[str], size: str) -> ImageError:
    reason = f"the image is too large: {size}, the limit is {PIXEL_LIMIT:,} pixels"
    return ImageError(path, reason, "save it smaller, or crop the face")


def _explain(path: str | os.PathLike[str], error: BaseException) -> ImageError:
    name = Path(path)
    if isinstance(error, FileNotFoundError):
        return ImageError(path, "the image is missing", "check the path and data.images")
    if isinstance(error, IsADirectoryError):
        return ImageError(path, "this is a folder, not an image", "name the image file")
    if isinstance(error, PermissionError):
        return ImageError(path, "the image may not be read by this user", "change its permissions")
    if isinstance(error, Image.DecompressionBombError):
        return _too_large(path, "more than Pillow allows")
    if isinstance(error, MemoryError):
        return ImageError(path, "there is not enough memory to decode the image", "save it smaller")
    if name.exists() and name.stat().st_size == 0:
        return ImageError(path, "the image file is empty (0 bytes)", "copy it again, or remove its row")
    if name.suffix.lower() in (".heic", ".heif"):
        return ImageError(path, "HEIC images are not supported", "convert it to JPEG or PNG")
    detail = "its format is not known" if isinstance(error, UnidentifiedImageError) else str(error)
    return ImageError(path, f"unreadable image: {detail}", "replace the file by a whole JPEG or PNG, or remove its row")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 when the image has none or its EXIF block is broken."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except _DECODING:
        return 1


def _to_rgb(image: Image.Image, factor: int) -> Image.Image:
    """Convert to RGB and reduce by `factor`, strip by strip so that no second full-size copy exists."""
    scale = _scale(image)
    if factor == 1 and image.width * image.height <= _STRIP_PIXELS:
        return _convert(image, scale)
    width = -(-image.width // factor)
    height = -(-image.height // factor)
    result = Image.new("RGB", (width, height))
    rows = max(1, _STRIP_PIXELS // max(1, image.width * factor)) * factor
    for top in range(0, image.height, rows):
        strip = _convert(image.crop((0, top, image.width, min(top + rows, image.height))), scale)
        result.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    return result


def _scale(image: Image.Image) -> tuple[float, float] | None:
    """`(scale, offset)` that brings deep grey values to 0..255, or None for 8-bit modes.

    32-bit integers above 16 bits, and floating values outside 0..255, have no agreed white, so that their own
    range is taken.
    """
    if image.mode.startswith("I;16"):
        return 255 / 65535, 0.0
    if image.mode not in ("I", "F"):
        return None
    low, high = (float(value) for value in image.getextrema())  # type: ignore[arg-type]
    if low >= 0 and image.mode == "I" and high <= 65535:
        return (1.0 if high <= 255 else 255 / 65535), 0.0
    if low >= 0 and image.mode == "F" and high <= 255:
        return (255.0 if high <= 1 else 1.0), 0.0
    spread = 255 / (high - low) if high > low else 0.0
    return spread, -low * spread


def _convert(image: Image.Image, scale: tuple[float, float] | None) -> Image.Image:
    if scale is not None:
        factor, offset = scale
        deep = image if image.mode in ("I", "F") else image.convert("I")
        return deep.convert("F").point(lambda value: value * factor + (offset + 0.5)).convert("L").convert("RGB")
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy()
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (*_BACKGROUND, 255))
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
