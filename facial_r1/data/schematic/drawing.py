"""Draw a face: the order of the layers, supersampling and the finish."""

from __future__ import annotations

import numpy as np
from PIL import Image

from facial_r1.data.schematic.canvas import Canvas
from facial_r1.data.schematic.faces import Face
from facial_r1.data.schematic.head import draw_beard, draw_behind, draw_earrings, draw_hair, draw_skull
from facial_r1.data.schematic.mouth import draw_mouth
from facial_r1.data.schematic.scene import background, draw_glasses, draw_occluder, light_and_noise
from facial_r1.data.schematic.tones import look
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
    nuisance = face.nuisance
    image = background(nuisance, size * SUPERSAMPLING)
    canvas = Canvas(image, nuisance.shift, nuisance.roll, nuisance.scale, nuisance.yaw)
    looks = look(face)
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
    return Image.fromarray(light_and_noise(small, nuisance))
