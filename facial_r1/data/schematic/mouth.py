"""Lips, teeth and chin: AU10 12 15 17 20 23 25 26."""

from __future__ import annotations

from facial_r1.data.schematic.canvas import Canvas, Point, bow, curve
from facial_r1.data.schematic.people import mix
from facial_r1.data.schematic.tones import Look

MOUTH_Y = 84.0
_STEPS = [k / 8 for k in range(-8, 9)]
_SQUARES = [t * t for t in _STEPS]
_BOW = [max(0.0, (1 - abs(t) ** 1.7)) * (0.80 if t == 0 else 0.93 if abs(t) < 0.2 else 1.0) for t in _STEPS]
_SQUARED_OFF = [1 - t**6 for t in _STEPS]
_ROUND = [1 - t * t for t in _STEPS]
TEETH = (252, 248, 240)
CAVITY = (66, 18, 26)
TONGUE = (196, 86, 92)


def draw_mouth(canvas: Canvas, look: Look) -> None:
    """Draw the lips and what is seen between them, and the marks that each unit leaves around the mouth."""
    canvas.depth(1.15)
    who = look.person
    ten, chin, tight = look.mean("AU10"), look.mean("AU17"), look.mean("AU23")
    part, jaw, wide = look.mean("AU25"), look.mean("AU26"), look.mean("AU20")
    smile, frown = look.mean("AU12"), look.mean("AU15")
    y = MOUTH_Y + who.mouth_height
    corners = {side: _corner(look, side, y) for side in (-1, 1)}
    middle = y - 3.0 * chin + 1.6 * smile - 1.4 * frown - 0.9 * ten
    top = middle - 0.9 * part - 0.6 * jaw
    bottom = middle + 3.4 * part + 8.6 * jaw
    upper_edge, lower_edge = _edge(corners, top), _edge(corners, bottom)
    if jaw:
        # A dropped jaw rounds the opening: the lower edge leaves the corners steeply.
        lower_edge = [(x, ly + 0.22 * (bottom - top) * r * (1 - r) * 2) for (x, ly), r in zip(lower_edge, _ROUND, strict=True)]
    thin = 1.0 - 0.68 * tight - 0.22 * wide - 0.12 * smile
    upper_lip, lower_lip = 3.1 * who.lip_fullness * thin, 4.1 * who.lip_fullness * thin * (1.0 + 0.12 * chin)
    profile = [b + (s - b) * 0.6 * ten for b, s in zip(_BOW, _SQUARED_OFF, strict=True)]
    rim = [(x, uy - (upper_lip + 3.6 * ten) * b) for (x, uy), b in zip(upper_edge, profile, strict=True)]
    base = [(x, ly + lower_lip * r) for (x, ly), r in zip(lower_edge, _ROUND, strict=True)]
    _shadow(canvas, look, base)
    colour = mix(who.lip, mix(look.skin, who.lip, 0.5), 0.5 * tight)
    if part or jaw:
        _opening(canvas, upper_edge, lower_edge, bottom - top, bool(jaw))
    canvas.polygon(rim + upper_edge[::-1], mix(colour, (70, 16, 26), 0.2))
    canvas.polygon(lower_edge + base[::-1], colour)
    if lower_lip > 2.2:
        canvas.stroke(bow((51.5, bottom + lower_lip * 0.5), (60.5, bottom + lower_lip * 0.5), -0.4), 1.1, (255, 235, 228, 90))
    line = mix(colour, (34, 8, 14), 0.72)
    if not (part or jaw):
        canvas.ribbon(upper_edge, [0.9] + [1.5] * 15 + [0.9], line)
    else:
        canvas.ribbon(upper_edge, [0.8] * 17, (*line, 150))
    for side in (-1, 1):
        _around_corner(canvas, look, side, corners[side])
    if tight:
        _tightness(canvas, look, tight, top - upper_lip, bottom + lower_lip)
    if chin:
        _chin(canvas, look, chin)


def _corner(look: Look, side: int, y: float) -> Point:
    smile, frown, wide = look.at("AU12", side), look.at("AU15", side), look.at("AU20", side)
    x = look.person.mouth_width + 2.6 * smile + 6.2 * wide - 3.0 * look.at("AU23", side) - 0.4 * frown - 0.8 * look.mean("AU26")
    return 56 + side * x, y - 6.2 * smile + 6.0 * frown + 0.6 * wide + 2.2 * look.mean("AU26")


def _edge(corners: dict[int, Point], middle: float) -> list[Point]:
    points = []
    for t, square in zip(_STEPS, _SQUARES, strict=True):
        x, y = corners[1 if t > 0 else -1]
        points.append((56 + (x - 56) * abs(t), middle + (y - middle) * square))
    return points


def _shadow(canvas: Canvas, look: Look, base: list[Point]) -> None:
    canvas.stroke([(56 + (x - 56) * 0.62, y + 2.0) for x, y in base[4:13]], 1.8, (*look.shade, 130), 0.9)


def _opening(canvas: Canvas, upper: list[Point], lower: list[Point], gap: float, tongue_seen: bool) -> None:
    canvas.polygon(upper + lower[::-1], CAVITY)
    teeth = min(3.2, 0.55 * gap)
    strip = [(x, min(y + teeth, ly)) for (x, y), (_, ly) in zip(upper[1:16], lower[1:16], strict=True)]
    canvas.polygon(upper[1:16] + strip[::-1], TEETH)
    if tongue_seen:
        height = 0.34 * gap
        tongue = [(x, y - height * r) for (x, y), r in zip(lower[4:13], _ROUND[4:13], strict=True)]
        canvas.polygon(tongue + lower[4:13][::-1], TONGUE)


def _around_corner(canvas: Canvas, look: Look, side: int, corner: Point) -> None:
    x, y = corner
    smile, frown, wide = look.at("AU12", side), look.at("AU15", side), look.at("AU20", side)
    if smile:
        canvas.stroke(
            curve((x + side * 1.4, y - 4.4), (x + side * 4.8, y - 0.5), (x + side * 1.6, y + 3.8)),
            1.1 + 0.8 * smile,
            look.mark,
            0.8,
        )
    if frown:
        canvas.stroke(
            curve((x + side * 0.4, y + 0.6), (x + side * 3.4, y + 2.6), (x + side * 3.6, y + 7.2)),
            1.1 + 0.9 * frown,
            look.mark,
            0.8,
        )
    if wide:
        canvas.stroke(
            curve((x + side * 2.2, y - 5.0), (x + side * 3.4, y), (x + side * 2.2, y + 5.0)), 1.1 + 0.8 * wide, look.mark, 0.6
        )
        canvas.stroke(
            curve((x + side * 4.8, y - 3.6), (x + side * 5.8, y), (x + side * 4.8, y + 3.6)), 0.9 + 0.6 * wide, look.mark, 0.6
        )


def _tightness(canvas: Canvas, look: Look, pull: float, top: float, bottom: float) -> None:
    """Puckered skin around tightened lips: short fans above and below, and a pale rim."""
    rim = (*look.light, 130)
    canvas.stroke(bow((45.5, top - 0.6), (66.5, top - 0.6), 0.8), 1.4, rim, 0.6)
    canvas.stroke(bow((46.5, bottom + 0.8), (65.5, bottom + 0.8), -0.8), 1.4, rim, 0.6)
    for k in (-6.4, -2.2, 2.2, 6.4):
        x, width = 56 + k, 0.7 + 0.7 * pull
        canvas.stroke([(x, top - 1.6), (x + 0.06 * k, top - 3.0), (x + 0.16 * k, top - 4.4)], width, look.mark, 0.7)
        canvas.stroke([(x, bottom + 1.6), (x + 0.06 * k, bottom + 2.8), (x + 0.16 * k, bottom + 4.0)], width, look.mark, 0.7)


def _chin(canvas: Canvas, look: Look, pull: float) -> None:
    y = 96.6 + look.drop
    bearded = look.person.beard in ("full", "goatee")
    canvas.glow(56, y, 8.5, 4.6, mix(look.light, (255, 255, 255), 0.1), 0.2 if bearded else 0.62)
    # On a beard, dimples are lighter than the hair around them; on skin they are darker.
    mark = (*look.light, 210) if bearded else look.mark
    canvas.stroke(bow((47.0, y - 1.4), (65.0, y - 1.4), 2.9), 1.2 + 0.9 * pull, mark, 0.8)
    for dx, dy in ((-4.6, 0.6), (-1.6, -0.4), (1.6, -0.4), (4.6, 0.6), (-3.0, 2.6), (0.0, 2.2), (3.0, 2.6)):
        canvas.ellipse(56 + dx, y + dy, 0.65 + 0.35 * pull, 0.6 + 0.3 * pull, mark)
