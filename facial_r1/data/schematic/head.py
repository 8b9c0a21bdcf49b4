"""Everything that frames the features: shoulders, neck, ears, skull, hair and beard."""

from __future__ import annotations

from facial_r1.data.schematic.canvas import Canvas, Point, curve, smooth
from facial_r1.data.schematic.people import mix
from facial_r1.data.schematic.tones import Look

SCARVES = ((156, 74, 92), (74, 104, 128), (92, 116, 88), (176, 128, 84))


def draw_behind(canvas: Canvas, look: Look) -> None:
    """Hair behind the head, shoulders, clothes and neck."""
    who = look.person
    canvas.depth(0.0)
    wide = 34.0 * who.face_width + 3.0 * who.hair_volume
    if who.hair_style in ("long", "waves"):
        bottom = 124.0
        canvas.polygon(
            smooth(_mirror([(0, 5), (22, 6), (wide, 20), (wide + 3, 70), (wide + 2, bottom), (0, bottom)])), _back(look)
        )
        if who.hair_style == "waves":
            for y in (52.0, 66.0, 80.0, 94.0):
                for side in (-1, 1):
                    canvas.ellipse(56 + side * (wide - 1), y, 6.5, 9.0, _back(look))
    elif who.hair_style == "bob":
        canvas.polygon(
            smooth(_mirror([(0, 6), (22, 7), (wide + 1, 24), (wide + 4, 72), (wide + 1, 94), (wide - 12, 95), (0, 80)])),
            _back(look),
        )
    elif who.hair_style == "curly":
        radius = 9.0 + 2.5 * who.hair_volume
        for x, y in ((0, 12), (13, 13), (25, 20), (32, 31), (35, 43), (34, 54)):
            for side in (-1, 1):
                canvas.ellipse(56 + side * x, y, radius, radius, _back(look))
    elif who.hair_style == "bun":
        canvas.ellipse(56, 7.0, 12.5, 10.0, _back(look))
        canvas.ellipse(56, 6.0, 9.0, 6.5, (*mix(who.hair, (255, 240, 220), 0.12), 150))
    elif who.hair_style == "scarf":
        colour = _scarf(look)
        canvas.polygon(smooth(_mirror([(0, 5), (26, 7), (39, 30), (39, 64), (35, 92), (48, 130), (0, 130)])), colour)
    cloth = who.clothes
    canvas.polygon([(-30, 150), (-14, 124), (14, 110), (36, 105), (76, 105), (98, 110), (126, 124), (142, 150)], cloth)
    canvas.polygon(curve((30, 107), (56, 128), (82, 107)) + [(72, 100), (40, 100)], mix(cloth, (20, 20, 30), 0.28))
    neck = mix(look.skin, look.shade, 0.6)
    canvas.polygon([(41, 84), (71, 84), (72, 106), (78, 109), (56, 122), (34, 109), (40, 106)], neck)


def draw_skull(canvas: Canvas, look: Look) -> None:
    """Ears, the face's outline and its soft shading."""
    who = look.person
    width, drop = who.face_width, look.drop
    canvas.depth(-0.4)
    if who.hair_style not in ("scarf", "long", "bob", "waves"):
        for side in (-1, 1):
            x = 56 + side * 31.0 * width
            canvas.ellipse(x, 59, 5.2, 8.2, mix(look.skin, look.shade, 0.45))
            canvas.stroke(curve((x + side * 1.5, 54), (x + side * 4.5, 58), (x + side * 0.5, 63)), 1.3, look.faint[:3] + (110,))
    canvas.depth(0.0)
    outline = _outline(look, 0.0)
    canvas.polygon(outline, mix(look.skin, look.shade, 0.75))
    canvas.depth(0.25)
    canvas.polygon(_outline(look, 1.6), look.skin)
    canvas.depth(0.8)
    canvas.glow(56, 34, 21, 9, look.light, 0.5)
    blush = mix(look.skin, (226, 84, 78), 0.5)
    for side in (-1, 1):
        canvas.glow(56 + side * 19.5 * width, 71, 8.5, 6, blush, 0.34)
    canvas.glow(56, 96 + drop, 8, 4, look.light, 0.3)
    if who.freckles:
        for x, y in ((13, 67), (17, 69), (21, 67), (15, 71), (19, 72), (10, 69)):
            for side in (-1, 1):
                canvas.ellipse(56 + side * x, y + 0.4 * side, 0.6, 0.6, (*mix(look.skin, (140, 70, 40), 0.6), 150))
    if who.age_group == "older":
        for side in (-1, 1):
            canvas.stroke(curve((56 + side * 9, 72), (56 + side * 14, 76), (56 + side * 15.5, 81)), 0.8, look.faint)
            canvas.stroke(curve((56 + side * 10, 63.5), (56 + side * 15, 66), (56 + side * 20, 63)), 0.8, look.faint)


def draw_beard(canvas: Canvas, look: Look) -> None:
    """Beard below the mouth; thin enough that the chin shows through."""
    beard, drop = look.person.beard, look.drop
    if not beard:
        return
    canvas.depth(0.5)
    width = look.person.face_width
    alpha = {"stubble": 70, "full": 205, "goatee": 205}[beard]
    fill = (*mix(look.person.hair, look.skin, 0.18), alpha)
    mouth = 83.0 + look.person.mouth_height
    if beard == "goatee":
        canvas.polygon(
            smooth(_mirror([(0, 92 + drop), (9, 90 + drop), (12.5, 97 + drop), (7, 104 + drop), (0, 105 + drop)])), fill
        )
        return
    outer = [(31.2 * width, 66), (30 * width, 76), (25 * width, 90 + drop * 0.5), (14, 100.5 + drop), (0, 103 + drop)]
    inner = [(0, mouth - 7.0), (12, mouth - 6.0), (18.5, mouth + 1), (25, mouth - 9), (28.5 * width, 66)]
    right = outer + inner[:0]
    shape = [(56 + x, y) for x, y in right] + [(56 - x, y) for x, y in reversed(right)]
    hole = [(56 - x, y) for x, y in reversed(inner)] + [(56 + x, y) for x, y in inner]
    canvas.polygon(shape + hole, fill)


def draw_hair(canvas: Canvas, look: Look) -> None:
    """Hair, scarf or cap over the forehead; it ends above the brows' highest place."""
    who = look.person
    canvas.depth(0.15)
    style, hair = who.hair_style, who.hair
    wide = 32.3 * who.face_width
    shine = (*mix(hair, (255, 244, 226), 0.24), 120)
    top = 11.0 - 2.5 * (who.hair_volume - 1.0)
    side = who.part_side
    if style == "bald":
        canvas.glow(56 + side * 9, 24, 9, 5, (255, 255, 255), 0.34)
        return
    if style == "scarf":
        colour = _scarf(look)
        inner = [(0, 26), (17, 27), (27, 38), (29.5, 60), (26, 84), (14, 101 + look.drop), (0, 105 + look.drop)]
        rim = [(0, 8), (26, 10), (37, 34), (37, 66), (33, 92), (18, 110 + look.drop), (0, 114 + look.drop)]
        for sign in (-1, 1):
            canvas.polygon([(56 + sign * x, y) for x, y in rim] + [(56 + sign * x, y) for x, y in reversed(inner)], colour)
        canvas.stroke(curve((24, 44), (32, 18), (58, 15)), 1.6, (*mix(colour, (255, 255, 255), 0.35), 150))
        return
    if style == "cap":
        cloth = mix(who.clothes, (24, 26, 34), 0.25)
        canvas.polygon(smooth(_mirror([(0, 5), (26, 7), (wide + 2, 20), (wide + 2, 28), (0, 25)])), cloth)
        canvas.polygon(smooth(_mirror([(0, 21), (27, 23), (wide + 3, 28), (24, 31), (0, 28)])), mix(cloth, (0, 0, 0), 0.3))
        return
    if style == "buzz":
        canvas.polygon(
            smooth(_mirror([(0, 14), (24, 16), (wide, 32), (wide - 0.5, 50), (wide - 4, 36), (20, 25), (0, 25)])), (*hair, 225)
        )
        return
    temple = {"short": 50.0, "parted": 52.0, "quiff": 48.0, "pixie": 56.0, "curly": 58.0, "bun": 46.0}.get(style, 62.0)
    cap: list[Point] = [(0, top - 3.5), (18, top - 2.5), (wide - 2, 19), (wide + 2, 40), (wide, temple), (wide - 3, temple - 4)]
    if style in ("parted", "pixie", "long", "bob"):
        # Two sweeps that overlap at the parting, the wider one falling across the forehead.
        near = [*cap, (wide - 4, 38), (25, 29), (16, 23), (10, 14), (2, top)]
        far = [*cap, (wide - 4, 40), (24, 31), (8, 26), (-9, 21.5), (-13.5, 15), (-9, top)]
        canvas.polygon(smooth([(56 + side * x, y) for x, y in near]), hair)
        canvas.polygon(smooth([(56 - side * x, y) for x, y in far]), hair)
        canvas.stroke(curve((56 + side * 8, 14), (56 - side * 12, 13), (56 - side * 25, 26)), 1.8, shine)
        canvas.stroke(curve((56 + side * 14, 13), (56 + side * 22, 15), (56 + side * 27, 25)), 1.2, shine)
    elif style == "quiff":
        canvas.polygon(smooth(_mirror([*cap, (wide - 4, 36), (24, 26), (0, 24)])), hair)
        canvas.polygon(smooth([(32, 24), (34, 10), (56, 2), (80, 8), (81, 24), (56, 22)]), hair)
        canvas.stroke(curve((38, 16), (54, 4), (74, 11)), 2.0, shine)
    elif style == "curly":
        for x, y in ((-26, 25), (-17, 19), (-6, 17), (6, 17), (17, 19), (26, 25), (-30, 34), (30, 34)):
            canvas.ellipse(56 + x, y, 8.2, 7.4, hair)
        for x, y in ((-18, 17), (2, 13), (17, 17)):
            canvas.stroke(curve((56 + x - 4, y), (56 + x, y - 4), (56 + x + 4, y)), 1.5, shine)
    else:
        canvas.polygon(smooth(_mirror([*cap, (wide - 4, 37), (22, 26), (0, 25.5)])), hair)
        canvas.stroke(curve((36, 20), (50, 10), (74, 17)), 1.8, shine)
    if style in ("long", "waves", "bob"):
        end = 88.0 if style == "bob" else 116.0
        for sign in (-1, 1):
            lock = [(wide - 5, 36), (wide + 3, 32), (wide + 5, 66), (wide + 4, end), (wide - 4, end), (wide - 1, 66)]
            canvas.polygon(smooth([(56 + sign * x, y) for x, y in lock]), hair)


def draw_earrings(canvas: Canvas, look: Look) -> None:
    """Small earrings where the ears can be seen."""
    if look.person.earrings and look.person.hair_style in ("bun", "pixie", "curly"):
        canvas.depth(-0.4)
        for side in (-1, 1):
            canvas.ellipse(56 + side * 33.0 * look.person.face_width, 69, 1.7, 1.7, (236, 206, 110))


def _outline(look: Look, inset: float) -> list[Point]:
    who, drop = look.person, look.drop
    width, jaw = who.face_width, who.jaw
    return smooth(
        _mirror(
            [
                (0, 14 + inset),
                (20, 15 + inset),
                (32.5 * width - inset, 30),
                (33.2 * width - inset, 52),
                (32.0 * width - inset, 70),
                ((23.5 + 4.5 * jaw) * width - inset, 87 + 0.55 * drop),
                (12.5 + 4.0 * jaw - 0.6 * inset, 100.5 + 0.95 * drop - 0.6 * inset),
                (0, 103 + drop - inset),
            ]
        )
    )


def _mirror(half: list[Point]) -> list[Point]:
    """Turn the right half of an outline (x relative to the middle) into the whole outline."""
    return [(56 + x, y) for x, y in half] + [(56 - x, y) for x, y in reversed(half) if x > 0]


def _back(look: Look) -> tuple[int, int, int]:
    return mix(look.person.hair, (16, 10, 14), 0.22)


def _scarf(look: Look) -> tuple[int, int, int]:
    return SCARVES[look.person.id % len(SCARVES)]
