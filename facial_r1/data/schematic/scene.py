"""What surrounds the head: background, glasses, things in the way, light and noise."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from facial_r1.data.schematic.canvas import Canvas, curve
from facial_r1.data.schematic.faces import Nuisance
from facial_r1.data.schematic.people import mix
from facial_r1.data.schematic.stream import Stream
from facial_r1.data.schematic.tones import Look
from facial_r1.data.schematic.upper_face import EYE_Y


def background(nuisance: Nuisance, side: int) -> Image.Image:
    """Return an RGB picture of ``side`` x ``side`` pixels to draw on."""
    first, second = nuisance.colours
    if nuisance.background == "flat":
        return Image.new("RGB", (side, side), first)
    if nuisance.background == "gradient":
        ramp = Image.frombytes("RGB", (1, 16), bytes(level for k in range(16) for level in mix(first, second, k / 15)))
        return ramp.resize((1, side), Image.Resampling.BILINEAR).resize((side, side), Image.Resampling.NEAREST)
    # Shapes are drawn small and enlarged, which blurs them like a room out of focus.
    stream = Stream(nuisance.seed, 0x5CE)
    small = Image.new("RGB", (28, 28), first)
    pen = ImageDraw.Draw(small)
    for _ in range(5):
        x, y, w, h = (stream.integer(28), stream.integer(28), 4 + stream.integer(9), 4 + stream.integer(14))
        box = (x - w // 2, y - h // 2, x + w - w // 2, y + h - h // 2)
        fill = mix(first, second, stream.uniform(0.4, 1.0))
        if stream.chance(0.5):
            pen.rectangle(box, fill=fill)
        else:
            pen.ellipse(box, fill=fill)
    soft = small.filter(ImageFilter.BoxBlur(1)).resize((side // 3, side // 3), Image.Resampling.BILINEAR)
    return soft.resize((side, side), Image.Resampling.NEAREST)


def draw_glasses(canvas: Canvas, look: Look) -> None:
    """Thin frames; the eyes and the crow's feet stay visible."""
    shape = look.person.glasses
    if not shape:
        return
    canvas.depth(1.2)
    frame = (40, 36, 44, 175)
    for side in (-1, 1):
        x, y = 56 + side * look.person.eye_spacing, EYE_Y + 1.4
        rx, ry = 11.6, 10.2
        if shape == "round":
            ring = curve((x - rx, y), (x - rx, y - ry), (x, y - ry)) + curve((x, y - ry), (x + rx, y - ry), (x + rx, y))[1:]
            ring += curve((x + rx, y), (x + rx, y + ry), (x, y + ry))[1:] + curve((x, y + ry), (x - rx, y + ry), (x - rx, y))[1:]
        else:
            ring = [
                (x - rx, y - 7),
                (x - rx + 2, y - 8.6),
                (x + rx - 2, y - 8.6),
                (x + rx, y - 7),
                (x + rx - 1, y + 7),
                (x + rx - 3, y + 9),
            ]
            ring += [(x - rx + 3, y + 9), (x - rx + 1, y + 7), (x - rx, y - 7)]
        canvas.stroke(ring, 1.2, frame, 0.0)
        canvas.stroke([(x + side * rx, y - 3), (56 + side * 31.5, y - 4)], 1.2, frame, 0.0)
        canvas.stroke([(x - 6, y + 4), (x - 1, y - 3)], 1.4, (255, 255, 255, 46), 0.3)
    canvas.stroke(
        curve((56 - look.person.eye_spacing + 11.4, EYE_Y), (56, EYE_Y - 2.6), (56 + look.person.eye_spacing - 11.4, EYE_Y)),
        1.3,
        frame,
        0.0,
    )


def draw_occluder(canvas: Canvas, look: Look, nuisance: Nuisance) -> None:
    """A hand at the cheek, a microphone at the chin or a strand over one brow: a small part, never the whole face."""
    side = nuisance.side
    canvas.depth(0.6)
    if nuisance.occluder == "hand":
        skin, edge = mix(look.skin, look.shade, 0.25), mix(look.skin, (70, 30, 26), 0.45)
        canvas.polygon([(56 + side * x, y) for x, y in ((22, 92), (44, 84), (56, 120), (30, 124))], skin)
        for k in range(4):
            x, y = 24.0 + 4.6 * k, 80.0 - 1.5 * k
            line = [(56 + side * (x + 6.0), y + 16), (56 + side * (x + 1.5), y + 4), (56 + side * (x - 0.5), y - 6 + 2.0 * k)]
            canvas.stroke(line, 6.4, edge, 0.25)
            canvas.stroke(line, 5.2, skin, 0.25)
    elif nuisance.occluder == "microphone":
        canvas.stroke([(56 + side * 18, 103), (56 + side * 26, 124)], 7.0, (44, 46, 52), 0.0)
        canvas.ellipse(56 + side * 15.5, 97.5, 7.0, 7.6, (70, 72, 80))
        canvas.ellipse(56 + side * 14.0, 95.0, 3.4, 3.4, (126, 128, 138))
    elif nuisance.occluder == "strand":
        hair = mix(look.person.hair, (40, 30, 28), 0.2)
        for offset in (0.0, 3.0):
            canvas.stroke(
                curve((56 + side * (9 + offset), 18), (56 + side * (27 + offset), 36), (56 + side * (25 + offset), 66)),
                4.6,
                hair,
                0.8,
            )


def light_and_noise(pixels: np.ndarray, nuisance: Nuisance) -> np.ndarray:
    """Apply brightness, a light gradient and luminance noise in integer arithmetic (the same on every machine).

    Args:
        pixels: uint8 of shape [side, side, 3].
        nuisance: Circumstances of the picture.

    Returns:
        uint8 of the same shape.
    """
    side = pixels.shape[0]
    ramp = np.arange(side, dtype=np.int32) * 2 - (side - 1)
    across = ramp * int(nuisance.light[0] * 1024) // side
    down = ramp * int(nuisance.light[1] * 1024) // side
    gain = int(nuisance.brightness * 1024) + down[:, None] - across[None, :]
    result = pixels * gain[:, :, None]
    result >>= 10
    if nuisance.noise:
        grain = Stream(nuisance.seed, 0x6A1).octets(side * side).reshape(side, side).astype(np.int32)
        grain *= 2 * nuisance.noise + 1
        grain >>= 8
        result += (grain - nuisance.noise)[:, :, None]
    np.maximum(result, 0, out=result)
    return np.minimum(result, 255, out=result).astype(np.uint8)
