"""Colours and unit strengths that all parts of one drawing share."""

from __future__ import annotations

from dataclasses import dataclass

from facial_r1.data.schematic.faces import Face
from facial_r1.data.schematic.people import Colour, Person, mix


@dataclass(frozen=True, slots=True)
class Look:
    """A face prepared for drawing.

    Attributes:
        person: The identity.
        pulls: Unit -> visible pull in [0.5, 1] on the (picture's left, picture's right) side; absent units are missing.
        skin: Base skin colour.
        shade: Skin in soft shadow.
        light: Skin in light.
        mark: Wrinkles and folds, RGBA.
        faint: Weak lines that belong to the person, RGBA.
    """

    person: Person
    pulls: dict[str, tuple[float, float]]
    skin: Colour
    shade: Colour
    light: Colour
    mark: tuple[int, int, int, int]
    faint: tuple[int, int, int, int]

    def at(self, unit: str, side: int) -> float:
        """Pull of a unit on one side of the picture (-1 left, +1 right), 0 when absent."""
        pull = self.pulls.get(unit)
        return 0.0 if pull is None else pull[side > 0]

    def mean(self, unit: str) -> float:
        """Pull of a unit over both sides, 0 when absent."""
        pull = self.pulls.get(unit)
        return 0.0 if pull is None else (pull[0] + pull[1]) / 2.0

    @property
    def drop(self) -> float:
        """How far the chin hangs lower, in face coordinates."""
        return 7.5 * self.mean("AU26")


def look(face: Face) -> Look:
    """Prepare colours and pulls of a face."""
    who = face.identity
    # Folds need the same contrast on dark skin as on light skin.
    dark = mix(who.skin, (44, 16, 16), 0.64) if who.skin[0] >= 190 else mix(who.skin, (22, 6, 6), 0.8)
    return Look(
        person=who,
        # The person's left side is on the picture's right.
        pulls={unit: (visible(right), visible(left)) for unit, (left, right) in face.intensities.items()},
        skin=who.skin,
        shade=mix(who.skin, (120, 60, 52), 0.26),
        light=mix(who.skin, (255, 250, 240), 0.22),
        mark=(*dark, 235),
        faint=(*dark, 46),
    )


def visible(strength: float) -> float:
    """Turn an intensity into a pull: linear, but with a step at 0 so that a weak unit (0.3) is seen at 112 pixels."""
    return 0.0 if strength <= 0.0 else 0.3 + 0.7 * strength
