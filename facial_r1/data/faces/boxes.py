"""Boxes around faces, in fractions of the picture, so that they fit the same picture at every size."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in [0, 1]; may reach a little beyond the picture."""


def largest(boxes: Sequence[Box]) -> Box | None:
    """The box of the largest area, None without boxes."""
    return max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]), default=None)


def median_box(boxes: Sequence[Box]) -> Box:
    """The median of each side: still where single frames were found wrongly.

    >>> median_box([(0.1, 0.1, 0.3, 0.3), (0.2, 0.1, 0.4, 0.3), (0.8, 0.8, 0.9, 0.9)])
    (0.2, 0.1, 0.4, 0.3)
    """
    left, top, right, bottom = (float(median(box[side] for box in boxes)) for side in range(4))
    return left, top, right, bottom


def square(box: Box, width: int, height: int, margin: float) -> tuple[int, int, int]:
    """Left, top and side, in pixels, of the square around a face.

    It is moved into the picture where it reaches beyond, and as small as the picture's shorter side where it is larger than that, so
    that nothing has to be made up around the face.

    Args:
        margin: Added on each side, as a share of the longer side of the box.

    >>> square((0.4, 0.4, 0.6, 0.6), 100, 100, 0.25)
    (35, 35, 30)
    >>> square((0.8, 0.0, 1.0, 0.2), 100, 100, 0.25)
    (70, 0, 30)
    """
    longer = max((box[2] - box[0]) * width, (box[3] - box[1]) * height)
    side = max(1, min(round(longer * (1 + 2 * margin)), width, height))
    left = round((box[0] + box[2]) / 2 * width - side / 2)
    top = round((box[1] + box[3]) / 2 * height - side / 2)
    return min(max(left, 0), width - side), min(max(top, 0), height - side), side
