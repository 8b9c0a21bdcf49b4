"""The one owner of image size: how large a model sees an image, resized once, and how many placeholders that takes.

Qwen-VL processors work on a grid of cells (patch size times merge size, 28 or 32 pixels): both sides are whole cells
and their area lies between two bounds. `ImageSizer` picks such a size, resizes the image to it, and sets the same
bounds in the processor, which then finds nothing left to do. Whoever else reads the processor (a saved model
directory, an inference engine) meets the same bounds. Processors without such a grid resize by themselves; the sizer
then says so.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from facial_r1.config.schema import ImageSize
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from transformers import ProcessorMixin

logger = logging.getLogger(__name__)

MAX_ASPECT = 200
"""Longest side over shortest beyond which Qwen's processors refuse an image; more extreme ones are stretched to it."""


@dataclass(frozen=True)
class ImageSizer:
    """Sizes and resizes images for one processor. Make it with `from_processor`.

    Attributes:
        cell: Side in pixels of the square that becomes one placeholder; None when the processor has no such grid.
        min_pixels: Smallest area of a resized image.
        max_pixels: Largest area of a resized image.
        square: Fixed side in pixels of a square image, or None to keep the aspect ratio.
        note: What the sizer leaves to the processor, in words; empty when it is in full control.
    """

    cell: int | None
    min_pixels: int
    max_pixels: int
    square: int | None
    note: str
    _processor: ProcessorMixin | None
    _frames: bool = False

    @classmethod
    def from_processor(cls, processor: ProcessorMixin, image_size: ImageSize) -> ImageSizer:
        """Make the sizer of a processor and write its bounds into the processor.

        Args:
            processor: Of any vision-language model.
            image_size: ``native`` takes the processor's own bounds; ``budget`` overrides either bound; ``square``
                takes every image to ``side`` x ``side`` pixels, rounded to whole cells.

        Raises:
            InputError: No image size fits the bounds.
        """
        own = _bounds(processor)
        if own is None:
            return cls._without_grid(processor, image_size)
        cell, low, high = own
        square = None
        if image_size.mode == "square":
            square = max(1, round((image_size.side or cell) / cell)) * cell
            low = high = square * square
        elif image_size.mode == "budget":
            low, high = image_size.min_pixels or low, image_size.max_pixels or high
            low = min(low, high) if image_size.min_pixels is None else low
        if not _fits(math.ceil(low / cell**2), high // cell**2):
            raise InputError(
                f"model.image_size: no image of whole {cell} x {cell} pixel cells has between {low} and {high} pixels; "
                f"set max_pixels to {max(1, math.ceil(low / cell**2)) * cell**2} or more, or lower min_pixels"
            )
        frames = image_size.mode != "native"
        _set_bounds(processor, low, high, frames)
        return cls(cell, low, high, square, "", processor, frames)

    @classmethod
    def without_processor(cls, image_size: ImageSize) -> ImageSizer:
        """Make the sizer for a model behind a server, which resizes by itself: a square side or an upper bound come first."""
        square = image_size.side if image_size.mode == "square" else None
        bound = image_size.max_pixels if image_size.mode == "budget" else None
        return cls(None, 1, bound or 2**62, square, "the server resizes by itself", None)

    @classmethod
    def _without_grid(cls, processor: ProcessorMixin, image_size: ImageSize) -> ImageSizer:
        name = type(processor).__name__
        note = f"{name} has no cell grid: it resizes and tiles images by itself"
        square = image_size.side if image_size.mode == "square" else None
        bound = image_size.max_pixels if image_size.mode == "budget" else None
        if square:
            note += f", after they were taken to {square} x {square} pixels"
        elif bound:
            note += f", after they were taken down to at most {bound} pixels"
        logger.info(note)
        return cls(None, 1, bound or 2**62, square, note, processor)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Give the size (width, height) at which the model sees an image of the given size."""
        if width < 1 or height < 1:
            raise ValueError(f"an image of {width} x {height} pixels has no area")
        if self.square:
            return self.square, self.square
        if self.cell is None:
            shrink = min(1.0, math.sqrt(self.max_pixels / (width * height)))
            return max(1, int(width * shrink)), max(1, int(height * shrink))
        columns, rows = _cells(width, height, self.cell, self.min_pixels, self.max_pixels)
        return columns * self.cell, rows * self.cell

    def apply(self, image: Image.Image) -> Image.Image:
        """Resize an image to `size`, bicubic; one that has that size already is returned as it is."""
        size = self.size(*image.size)
        return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)

    def apply_frames(self, frames: np.ndarray) -> np.ndarray:
        """Resize the frames of a clip, (frames, height, width, 3), as pictures of their size.

        With native sizes they stay as they are: processors have bounds of their own for clips, which are far lower.
        """
        height, width = frames.shape[1:3]
        if not self._frames or self.size(width, height) == (width, height):
            return frames
        return np.stack([np.asarray(self.apply(Image.fromarray(frame))) for frame in frames])

    def placeholders(self, width: int, height: int) -> int:
        """Count the placeholder tokens of an image of the given size (before `apply`).

        Without a grid, the processor is asked by giving it a blank image; keep the answer if you need it often.
        """
        width, height = self.size(width, height)
        if self.cell is not None:
            return width * height // self.cell**2
        # The library's own count differs between processors in whether it includes the marks around an image.
        processor: Any = self._processor
        ids = processor(text=[processor.image_token], images=[Image.new("RGB", (width, height))])["input_ids"][0]
        return list(ids).count(processor.image_token_id)


def _bounds(processor: ProcessorMixin) -> tuple[int, int, int] | None:
    """Give cell side and area bounds of a Qwen-like image processor, None for any other."""
    image_processor: Any = processor.image_processor
    patch: Any = getattr(image_processor, "patch_size", None)
    merge: Any = getattr(image_processor, "merge_size", None)
    size = getattr(image_processor, "size", None) or {}
    low, high = _entry(size, "shortest_edge"), _entry(size, "longest_edge")
    if not all(isinstance(value, int) for value in (patch, merge, low, high)):
        return None
    return patch * merge, low, high


def _entry(size: Any, name: str) -> Any:
    return size.get(name) if isinstance(size, dict) else getattr(size, name, None)


def _set_bounds(processor: ProcessorMixin, low: int, high: int, frames: bool) -> None:
    """Set the area bounds of the image processor, and for `frames` those of clips, also under the names of older readers."""
    owners: list[Any] = [processor.image_processor]
    if frames and getattr(processor, "video_processor", None) is not None:
        owners.append(processor.video_processor)
    for owner in owners:
        # A new mapping: the library's own may be shared by every processor of the class.
        owner.size = type(owner.size)(shortest_edge=low, longest_edge=high)
        for name, value in (("min_pixels", low), ("max_pixels", high)):
            if getattr(owner, name, None) is not None:
                setattr(owner, name, value)


def _fits(least: int, most: int) -> bool:
    """True when some grid of an allowed aspect ratio has at least ``least`` and at most ``most`` cells."""
    shortest = range(1, math.isqrt(max(0, most)) + 1)
    return any(short <= most // short >= math.ceil(least / short) <= MAX_ASPECT * short for short in shortest)


def _cells(width: int, height: int, cell: int, low: int, high: int) -> tuple[int, int]:
    """Give (columns, rows) for an image, like the processor would, or the closest fit where its rule leaves the bounds.

    Rounding each side to whole cells is tried first, then shrinking or growing to the bound; what remains (bounds closer
    than the rounding, extreme aspect ratios) is searched: the aspect ratio counts first, the area second.
    """
    least, most = math.ceil(low / cell**2), high // cell**2
    columns, rows = round(width / cell), round(height / cell)
    if columns * rows > most:
        shrink = math.sqrt(width * height / high)
        columns, rows = max(1, math.floor(width / shrink / cell)), max(1, math.floor(height / shrink / cell))
    elif columns * rows * cell**2 < low:
        grow = math.sqrt(low / (width * height))
        columns, rows = math.ceil(width * grow / cell), math.ceil(height * grow / cell)
    if columns and rows and least <= columns * rows <= most and max(columns, rows) <= MAX_ASPECT * min(columns, rows):
        return columns, rows
    aspect = min(MAX_ASPECT, max(1 / MAX_ASPECT, width / height))
    target = min(most, max(least, width * height / cell**2))
    best: tuple[float, float, int, int] | None = None
    for short in range(1, math.isqrt(most) + 1):
        ideal = max(short, min(most // short, max(math.ceil(least / short), round(short * max(aspect, 1 / aspect)))))
        long = min(ideal, MAX_ASPECT * short)
        if not least <= short * long <= most:
            continue
        columns, rows = (long, short) if aspect >= 1 else (short, long)
        miss = round(abs(math.log(columns / rows / aspect)), 2)
        rank = (miss, abs(math.log(short * long / target)), columns, rows)
        best = rank if best is None else min(best, rank)
    assert best is not None, "from_processor admits only bounds that some grid fits"
    return best[2], best[3]
