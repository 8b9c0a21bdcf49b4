"""Filled shapes in face coordinates.

Face coordinates are those of a 112 x 112 picture, x to the right and y down, with the middle of the face at x = 56.
The canvas turns them into pixels: head pose, picture size and supersampling live here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

import numpy as np
from PIL import Image, ImageDraw

from facial_r1.data.schematic.people import Colour

Point = tuple[float, float]

UNIT = 112.0
CENTRE = (56.0, 60.0)
_CIRCLE = [(math.cos(math.tau * k / 24), math.sin(math.tau * k / 24)) for k in range(24)]
_STEPS = [k / 8 for k in range(9)]
_QUADRATIC = [((1 - t) ** 2, 2 * t * (1 - t), t * t) for t in _STEPS]


class Canvas:
    """An RGB picture that takes shapes in face coordinates; fills with four components are blended over it.

    Shapes are collected, and painted in their order by `paint`: turning all corners into pixels at once is several times
    faster than shape by shape.

    Args:
        image: The picture, square, already supersampled.
        shift: Displacement of the head (right, down).
        roll: Rotation in degrees, clockwise as seen.
        scale: Size factor of the head.
        yaw: Sideways displacement for a depth of 1.
    """

    def __init__(self, image: Image.Image, shift: Point, roll: float, scale: float, yaw: float) -> None:
        self.image = image
        pixels = image.width / UNIT
        angle = math.radians(roll)
        self._cos = math.cos(angle) * scale * pixels
        self._sin = math.sin(angle) * scale * pixels
        self._middle = ((CENTRE[0] + shift[0]) * pixels + 0.5, (CENTRE[1] + shift[1]) * pixels + 0.5)
        self._yaw = yaw
        self._corners: list[Point] = []
        self._shapes: list[tuple[int, Point, tuple[int, ...]]] = []
        self._origin: Point = (0.0, 0.0)
        self.depth(0.0)

    def depth(self, depth: float) -> None:
        """Set how far the following shapes lie before the head's axis: 0 the skull, 1 the eyes, 1.6 the nose tip."""
        x, y = CENTRE[0] - self._yaw * depth, CENTRE[1]
        self._origin = (
            self._middle[0] - x * self._cos + y * self._sin,
            self._middle[1] - x * self._sin - y * self._cos,
        )

    def paint(self) -> None:
        """Paint the shapes collected so far into the picture."""
        counts = [count for count, _, _ in self._shapes]
        points = np.fromiter(chain.from_iterable(self._corners), float, 2 * len(self._corners)).reshape(-1, 2)
        x0 = np.repeat([origin[0] for _, origin, _ in self._shapes], counts)
        y0 = np.repeat([origin[1] for _, origin, _ in self._shapes], counts)
        x, y = points[:, 0], points[:, 1]
        pixels = np.empty(points.shape, np.int64)
        pixels[:, 0] = x0 + x * self._cos - y * self._sin
        pixels[:, 1] = y0 + x * self._sin + y * self._cos
        flat = pixels.ravel().tolist()
        opaque, blended = ImageDraw.Draw(self.image), ImageDraw.Draw(self.image, "RGBA")
        start = 0
        for count, _, fill in self._shapes:
            # Opaque fills are several times faster than blended ones.
            (opaque if len(fill) == 3 else blended).polygon(flat[start : start + 2 * count], fill=fill)
            start += 2 * count
        self._corners.clear()
        self._shapes.clear()

    def polygon(self, points: Sequence[Point], fill: tuple[int, ...]) -> None:
        """Fill a polygon."""
        self._corners.extend(points)
        self._shapes.append((len(points), self._origin, fill))

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: tuple[int, ...]) -> None:
        """Fill an ellipse with the given centre and radii."""
        self.polygon([(x + rx * c, y + ry * s) for c, s in _CIRCLE], fill)

    def glow(self, x: float, y: float, rx: float, ry: float, colour: Colour, strength: float) -> None:
        """Blend a soft spot: three nested ellipses, ``strength`` (0..1) in the middle."""
        alpha = max(1, int(strength * 255 / 3))
        for part in (1.0, 0.78, 0.54):
            self.ellipse(x, y, rx * part, ry * part, (*colour, alpha))

    def stroke(self, points: Sequence[Point], width: float, fill: tuple[int, ...], taper: float = 0.75) -> None:
        """Draw a line that gets thinner toward its ends.

        Args:
            points: At least two points of the middle line.
            width: Thickness in the middle.
            fill: Colour, RGB or RGBA.
            taper: 0 for even thickness, 1 for ends that run to a point.
        """
        last = len(points) - 1
        widths = [width * (1.0 - taper * abs(2.0 * k / last - 1.0) ** 2) for k in range(last + 1)]
        self.ribbon(points, widths, fill)

    def ribbon(self, points: Sequence[Point], widths: Sequence[float], fill: tuple[int, ...]) -> None:
        """Draw a line with a thickness given at each point."""
        above: list[Point] = []
        below: list[Point] = []
        before, after = (points[0], *points[:-1]), (*points[1:], points[-1])
        for (ax, ay), (x, y), (bx, by), width in zip(before, points, after, widths, strict=True):
            dx, dy = bx - ax, by - ay
            half = 0.5 * width / (math.sqrt(dx * dx + dy * dy) or 1.0)
            above.append((x - dy * half, y + dx * half))
            below.append((x + dy * half, y - dx * half))
        self.polygon(above + below[::-1], fill)


def curve(start: Point, control: Point, end: Point) -> list[Point]:
    """Nine points of a quadratic Bezier curve."""
    (ax, ay), (bx, by), (cx, cy) = start, control, end
    return [(ax * p + bx * q + cx * r, ay * p + by * q + cy * r) for p, q, r in _QUADRATIC]


def bow(start: Point, end: Point, height: float) -> list[Point]:
    """Nine points of an arc whose middle lies ``height`` above (negative: below) the chord's middle."""
    return curve(start, ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 - 2 * height), end)


def smooth(points: Sequence[Point]) -> list[Point]:
    """Closed outline through the middles of the given corners (quadratic B-spline), four points a corner."""
    result: list[Point] = []
    count = len(points)
    for k in range(count):
        ax, ay = points[k - 1]
        bx, by = points[k]
        cx, cy = points[(k + 1) % count]
        for t in (0.0, 0.25, 0.5, 0.75):
            p, q, r = 0.5 * (1 - t) ** 2, 0.5 + t * (1 - t), 0.5 * t * t
            result.append((ax * p + bx * q + cx * r, ay * p + by * q + cy * r))
    return result
