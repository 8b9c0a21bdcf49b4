"""Small pictures of faces, for dashboards and reports."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageOps

MAX_SOURCE_PIXELS = 200_000_000
"""Larger sources are refused: decoding one would take more than half a gigabyte."""


def thumbnail(path: Path, side: int = 128, quality: int = 78) -> bytes:
    """A JPEG of at most `side` x `side` pixels, upright (EXIF orientation applied), RGB, without metadata.

    Transparent parts become white; 16-bit and floating-point greys are stretched to their own range.

    Raises:
        OSError: the file is missing, is no image, or is larger than `MAX_SOURCE_PIXELS`.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_SOURCE_PIXELS:
                raise OSError(f"{path}: {image.width}x{image.height} pixels are too many for a thumbnail")
            image.draft("RGB", (2 * side, 2 * side))  # JPEG: decode at reduced size
            small = _rgb(ImageOps.exif_transpose(image))
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(f"{path}: not a readable image: {error}") from error
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        grey = image.convert("F")
        low, high = (float(bound) for bound in grey.getextrema())  # type: ignore[arg-type]
        scale = 255.0 / (high - low) if high > low else 0.0
        return grey.point(lambda value: value * scale - low * scale).convert("L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")
