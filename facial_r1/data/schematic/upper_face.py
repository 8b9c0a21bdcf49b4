"""Brows, eyes, cheeks and nose: AU1 2 4 5 6 7 9, and the folds of AU10."""

from __future__ import annotations

from facial_r1.data.schematic.canvas import Canvas, bow, curve
from facial_r1.data.schematic.people import mix
from facial_r1.data.schematic.tones import Look

EYE_Y = 56.0
BROW_Y = 44.0


def draw_brows(canvas: Canvas, look: Look) -> None:
    """Brows as tapered strokes, with the forehead's furrows: inner (AU1), outer (AU2), between the brows (AU4)."""
    who = look.person
    canvas.depth(1.0)
    inner_pull, frown = look.mean("AU1"), look.mean("AU4")
    for side in (-1, 1):
        one, two, four = look.at("AU1", side), look.at("AU2", side), look.at("AU4", side)
        base = BROW_Y + who.brow_height
        inner = (56 + side * (7.6 - 3.6 * four), base + 0.6 - 7.2 * one + 4.6 * four * (1.0 - 0.75 * one))
        middle = (56 + side * 16.0, base - who.brow_arch - 3.4 * one - 5.4 * two + 3.4 * four * (1.0 - 0.5 * two))
        outer = (56 + side * 25.6, base + 1.6 - 7.4 * two + 1.6 * four * (1.0 - two))
        control = (2 * middle[0] - (inner[0] + outer[0]) / 2, 2 * middle[1] - (inner[1] + outer[1]) / 2)
        weight = 3.1 * who.brow_weight
        points = curve(inner, control, outer)
        widths = [weight * share for share in (0.78, 0.95, 1.05, 1.08, 1.02, 0.92, 0.76, 0.54, 0.2)]
        canvas.ribbon(points, widths, who.brow)
        if two:
            for k in range(2):
                y = 33.6 - 3.0 * k
                canvas.stroke(bow((56 + side * 13.5, y + 1.2), (56 + side * 24.5, y + 3.4), 1.6), 1.0 + 0.5 * two, look.mark)
    if inner_pull:
        for k in range(2):
            y = 33.8 - 3.2 * k
            canvas.stroke(bow((48.6, y), (63.4, y), -0.9), 1.0 + 0.5 * inner_pull, look.mark)
    if frown:
        for side in (-1, 1):
            x = 56 + side * 2.3
            top = 43.5 - 4.0 * inner_pull
            canvas.stroke(curve((x + side * 0.8, top + 8.5), (x - side * 0.4, top + 4), (x, top)), 1.2 + 0.8 * frown, look.mark)


def draw_eyes(canvas: Canvas, look: Look) -> None:
    """Eyes with iris, lids and lashes; AU5 opens upward, AU7 straightens the lower lid, AU6 adds crow's feet."""
    canvas.depth(1.0)
    for side in (-1, 1):
        _eye(canvas, look, side)


def _eye(canvas: Canvas, look: Look, side: int) -> None:
    who = look.person
    five, six, seven = look.at("AU5", side), look.at("AU6", side), look.at("AU7", side)
    x, half = 56 + side * who.eye_spacing, 8.4 * who.eye_size
    up = (3.9 + 3.6 * five - 0.9 * seven * (1.0 - 0.5 * (five > 0)) - 0.5 * six) * who.eye_size
    down = (3.5 - 2.9 * seven - 0.9 * six * (1.0 - 0.6 * (seven > 0))) * who.eye_size
    inner, outer = (x - side * half, EYE_Y + 0.7), (x + side * half, EYE_Y - 0.5)
    upper, lower = bow(inner, outer, up), bow(inner, outer, -down)
    canvas.glow(x, EYE_Y - 1, half + 3.5, 8.0, look.shade, 0.42)
    canvas.polygon(upper + lower[::-1], (252, 250, 246))
    iris_y = EYE_Y - 0.2
    canvas.ellipse(x, iris_y, 4.3, 4.3, mix(who.iris, (10, 8, 8), 0.45))
    canvas.ellipse(x, iris_y, 3.6, 3.6, who.iris)
    canvas.ellipse(x, iris_y, 2.0, 2.0, (16, 12, 14))
    canvas.ellipse(x - 1.2, iris_y - 1.4, 0.95, 0.95, (255, 255, 255))
    # The iris is a whole disc; what the lids hide of it is painted over in skin.
    lid = mix(look.skin, look.shade, 0.42)
    canvas.polygon(upper + bow(inner, outer, max(up + 0.8, 5.9))[::-1], lid)
    under = mix(look.skin, look.shade, 0.2)
    canvas.polygon(lower + bow(inner, outer, -max(down + 0.8, 5.7))[::-1], under)
    canvas.stroke(bow(inner, outer, max(up + 2.4, 5.6)), 0.9, (*look.mark[:3], 120), 0.9)
    lashes = (34, 22, 24)
    canvas.ribbon(upper, [0.8, 1.3, 1.6, 1.8, 1.9, 2.0, 2.1, 2.0, 1.3], lashes)
    if who.sex == "female":
        canvas.stroke([upper[7], (outer[0] + side * 1.2, outer[1] - 1.0), (outer[0] + side * 2.6, outer[1] - 2.8)], 1.3, lashes)
    canvas.stroke(lower, 0.7 + 0.7 * seven, (*look.mark[:3], 120 + int(105 * seven)), 0.5)
    if seven:
        canvas.stroke(
            bow((inner[0] + side * 1.5, EYE_Y + 3.0), (outer[0] - side * 0.5, EYE_Y + 2.6), -1.8), 0.9 + 0.7 * seven, look.mark
        )
    if six:
        _cheek(canvas, look, side, six, outer)


def _cheek(canvas: Canvas, look: Look, side: int, pull: float, outer: tuple[float, float]) -> None:
    blush = mix(look.skin, (232, 76, 70), 0.55)
    canvas.glow(56 + side * 18.5, 70.0 - 2.0 * pull, 8.5, 5.0, blush, 0.28 + 0.3 * pull)
    canvas.stroke(
        bow((56 + side * 9.5, 66.5 - 1.8 * pull), (56 + side * 26.0, 65.5 - 2.2 * pull), 2.0), 1.1 + 0.8 * pull, look.mark, 0.9
    )
    reach = 2.6 + 2.6 * pull
    for rise in (-0.75, 0.05, 0.85):
        start = (outer[0] + side * 1.8, outer[1] + 0.6 + 2.0 * rise)
        canvas.stroke(
            [
                start,
                (start[0] + side * reach * 0.5, start[1] + reach * 0.42 * rise),
                (start[0] + side * reach, start[1] + reach * rise),
            ],
            1.0 + 0.4 * pull,
            look.mark,
            0.6,
        )


def draw_nose(canvas: Canvas, look: Look) -> None:
    """Nose with nostrils; AU9 wrinkles its bridge and lifts the wings, AU10 cuts the nasolabial folds."""
    who = look.person
    nine, ten = look.mean("AU9"), look.mean("AU10")
    width = 5.4 * who.nose_width + 1.3 * nine + 0.6 * ten
    tip = 71.5 + who.nose_length - 2.6 * nine - 0.8 * ten
    canvas.depth(1.3)
    canvas.polygon(
        [(53.4, 53), (56 - width * 0.55, tip - 4), (56 - width, tip), (56, tip + 2.4), (56 - 0.5, tip - 6)],
        (*look.shade, 110),
    )
    canvas.stroke([(56.9, 53), (57.2, tip - 8), (57.4, tip - 3)], 2.2, (*look.light, 150), 0.6)
    canvas.depth(1.6)
    canvas.ellipse(56, tip - 1.2, width * 0.72, 3.3, mix(look.skin, look.light, 0.35))
    for side in (-1, 1):
        wing = 56 + side * width
        canvas.stroke(
            curve((wing - side * 0.8, tip - 3.2 - nine), (wing + side * 1.6, tip - 0.6), (wing - side * 1.6, tip + 1.6)),
            1.3,
            (*look.mark[:3], 170),
        )
        canvas.ellipse(56 + side * width * 0.45, tip + 1.2, 1.5, 0.9, mix(look.skin, (60, 20, 20), 0.7))
    canvas.stroke(bow((56 - width * 0.4, tip + 2.0), (56 + width * 0.4, tip + 2.0), -0.5), 0.9, (*look.mark[:3], 150))
    for side in (-1, 1):
        fold = look.at("AU10", side)
        if fold:
            canvas.depth(1.0)
            canvas.stroke(
                curve((56 + side * (width + 2.2), tip - 3.0), (56 + side * 15.5, tip + 2.5), (56 + side * 18.0, 83.5)),
                1.3 + 1.1 * fold,
                look.mark,
                0.7,
            )


def draw_nose_wrinkles(canvas: Canvas, look: Look) -> None:
    """AU9: wrinkles across the bridge and down both sides of the nose; drawn over glasses."""
    nine = look.mean("AU9")
    if not nine:
        return
    canvas.depth(1.2)
    for k in range(3):
        y, reach = 53.6 + 3.3 * k, 4.8 - 0.5 * k
        canvas.stroke(bow((56 - reach, y + 0.8), (56 + reach, y + 0.8), 1.6), 1.4 + 0.8 * nine, look.mark, 0.8)
    for side in (-1, 1):
        for y in (63.6, 66.8):
            line = curve((56 + side * 3.4, y), (56 + side * 6.4, y - 2.2), (56 + side * 9.2, y - 0.4))
            canvas.stroke(line, 1.3 + 0.7 * nine, look.mark)
