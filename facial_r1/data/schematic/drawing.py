"""Draw a face: the order of the layers, supersampling and the finish."""

from __future__ import annotations

import numpy as np
from PIL import Image

from facial_r1.data.schematic.canvas import Canvas
from facial_r1.data.schematic.faces import Face, Nuisance
from facial_r1.data.schematic.head import draw_beard, draw_behind, draw_earrings, draw_hair, draw_skull
from facial_r1.data.schematic.mouth import draw_mouth
from facial_r1.data.schematic.scene import background, draw_glasses, draw_occluder, light_and_noise
from facial_r1.data.schematic.tones import Look, look
from facial_r1.data.schematic.upper_face import draw_brows, draw_eyes, draw_nose, draw_nose_wrinkles

SUPERSAMPLING = 3


def draw(face: Face, size: int = 112) -> Image.Image:
    """Draw a face.

    Args:
        face: What to draw.
        size: Side of the picture in pixels, 28 or more; the proportions do not depend on it.

    Returns:
        An RGB picture of size x size. With one release of Pillow, which rasterises the shapes, the same face and
        size give the same pixels on every machine.
    """
    return Image.fromarray(render(look(face), face.nuisance, size))


def render(looks: Look, nuisance: Nuisance, size: int, scene: Image.Image | None = None) -> np.ndarray:
    """Draw a prepared face, for example one frame of a clip, whose pulls are between rest and apex.

    Args:
        scene: The background, `SUPERSAMPLING` times as large, if it is there already; it is not drawn on.

    Returns:
        uint8 of shape (size, size, 3).
    """
    image = background(nuisance, size * SUPERSAMPLING) if scene is None else scene.copy()
    canvas = Canvas(image, nuisance.shift, nuisance.roll, nuisance.scale, nuisance.yaw)
    draw_behind(canvas, looks)
    draw_skull(canvas, looks)
    draw_beard(canvas, looks)
    draw_earrings(canvas, looks)
    draw_mouth(canvas, looks)
    draw_nose(canvas, looks)
    draw_glasses(canvas, looks)
    draw_nose_wrinkles(canvas, looks)
    draw_eyes(canvas, looks)
    draw_hair(canvas, looks)
    draw_brows(canvas, looks)
    if nuisance.occluder:
        draw_occluder(canvas, looks, nuisance)
    canvas.paint()
    small = np.asarray(image.reduce(SUPERSAMPLING))
    return light_and_noise(small, nuisance)
