"""Identities: what stays the same in every picture of a person."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from facial_r1.data.schematic.stream import Stream

Colour = tuple[int, int, int]

_PURPOSE = 0x9E50
"""Key that keeps the identity streams apart from the expression streams."""

SKIN_TONES: tuple[tuple[str, Colour], ...] = (
    ("very light", (246, 216, 194)),
    ("light", (240, 202, 172)),
    ("light medium", (228, 181, 145)),
    ("medium", (205, 155, 115)),
    ("medium dark", (172, 120, 84)),
    ("dark", (138, 92, 64)),
)
HAIR_COLOURS: tuple[tuple[Colour, float], ...] = (
    ((38, 30, 30), 3.0),
    ((62, 42, 32), 3.0),
    ((102, 66, 40), 2.0),
    ((150, 84, 42), 1.0),
    ((206, 160, 88), 1.3),
    ((226, 196, 140), 0.7),
    ((150, 60, 38), 0.8),
)
GREYS: tuple[Colour, ...] = ((150, 148, 150), (196, 194, 196), (120, 116, 116))
IRIS_COLOURS: tuple[Colour, ...] = ((78, 48, 30), (58, 36, 26), (64, 104, 150), (84, 120, 74), (120, 84, 44))
CLOTHES: tuple[Colour, ...] = (
    (66, 92, 140),
    (150, 62, 66),
    (70, 118, 98),
    (214, 178, 92),
    (92, 78, 122),
    (58, 62, 72),
    (222, 214, 202),
    (196, 116, 84),
)
HAIR_STYLES: dict[str, tuple[tuple[str, float], ...]] = {
    "female": (("long", 3.0), ("bob", 2.0), ("bun", 1.6), ("curly", 1.5), ("waves", 1.6), ("scarf", 0.7), ("pixie", 1.0)),
    "male": (("short", 3.0), ("parted", 2.4), ("buzz", 1.4), ("curly", 1.2), ("bald", 1.2), ("quiff", 1.6), ("cap", 0.5)),
}


@dataclass(frozen=True, slots=True)
class Person:
    """The stable looks of one drawn person. Lengths are in units of a 112 x 112 picture, factors around 1."""

    id: int
    sex: str
    age_group: str
    skin_tone: str
    skin: Colour
    hair_style: str
    hair: Colour
    brow: Colour
    iris: Colour
    lip: Colour
    clothes: Colour
    beard: str
    glasses: str
    earrings: bool
    freckles: bool
    face_width: float
    jaw: float
    eye_spacing: float
    eye_size: float
    brow_weight: float
    brow_arch: float
    brow_height: float
    nose_width: float
    nose_length: float
    lip_fullness: float
    mouth_width: float
    mouth_height: float
    hair_volume: float
    part_side: int


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Blend two colours; ``share`` of the second, in [0, 1]."""
    (a, b, c), (d, e, f) = first, second
    return int(a + (d - a) * share + 0.5), int(b + (e - b) * share + 0.5), int(c + (f - c) * share + 0.5)


@lru_cache(maxsize=8192)
def person(identity: int) -> Person:
    """Return the person with this non-negative id; the same id is the same person in every data set.

    Which looks go with which sex is a drawing convention (beards, hair styles) and carries no information about the
    expression: both are drawn independently of it.
    """
    stream = Stream(_PURPOSE, identity)
    sex = stream.choice(("female", "male"))
    age = stream.weighted((("young", 4.0), ("adult", 4.0), ("older", 2.0)))
    tone, base = stream.choice(SKIN_TONES)
    shade = stream.uniform(-8, 8)
    warm = stream.uniform(-5, 5)
    skin = (_byte(base[0] + shade), _byte(base[1] + shade - warm * 0.4), _byte(base[2] + shade - warm))
    dark_skin = base[0] < 180
    hair = stream.weighted(HAIR_COLOURS[:3] if dark_skin else HAIR_COLOURS)
    if age == "older" and stream.chance(0.75):
        hair = stream.choice(GREYS)
    style = stream.weighted(HAIR_STYLES[sex])
    # Brows have to stand out from the skin, whatever the hair: they carry three action units.
    brow = mix(hair, (30, 20, 18), 0.55 if not dark_skin else 0.85)
    lip = mix(mix(skin, (178, 52, 62), 0.62), (90, 24, 34), 0.18 if not dark_skin else 0.34)
    beard = stream.weighted((("", 6.0), ("stubble", 1.6), ("full", 1.3), ("goatee", 0.8))) if sex == "male" else ""
    glasses = stream.weighted((("", 7.6), ("round", 1.2), ("square", 1.2)))
    return Person(
        id=identity,
        sex=sex,
        age_group=age,
        skin_tone=tone,
        skin=skin,
        hair_style=style,
        hair=hair,
        brow=brow,
        iris=stream.choice(IRIS_COLOURS[:2] if dark_skin else IRIS_COLOURS),
        lip=lip,
        clothes=stream.choice(CLOTHES),
        beard=beard,
        glasses=glasses,
        earrings=sex == "female" and stream.chance(0.4),
        freckles=not dark_skin and stream.chance(0.14),
        face_width=stream.around(1.0, 0.07),
        jaw=stream.around(0.5 if sex == "female" else 0.75, 0.3),
        eye_spacing=stream.around(14.6, 1.0),
        eye_size=stream.around(1.0, 0.08),
        brow_weight=stream.around(1.0 if sex == "female" else 1.25, 0.2),
        brow_arch=stream.around(1.6, 0.9),
        brow_height=stream.around(0.0, 0.8),
        nose_width=stream.around(1.0, 0.18),
        nose_length=stream.around(0.0, 1.2),
        lip_fullness=stream.around(1.08 if sex == "female" else 0.95, 0.16),
        mouth_width=stream.around(11.6, 0.9),
        mouth_height=stream.around(0.0, 0.9),
        hair_volume=stream.around(1.0, 0.25),
        part_side=stream.choice((-1, 1)),
    )


def _byte(value: float) -> int:
    return max(0, min(255, int(value + 0.5)))
