"""Drawing: every unit moves its own part, and the same face gives the same pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facial_r1.data.schematic import TRAIN_PEOPLE, Face, draw, face
from facial_r1.data.schematic.expressions import DRAWN_UNITS

REGIONS: dict[str, tuple[int, int, int, int]] = {
    "AU1": (26, 22, 86, 50),
    "AU2": (26, 22, 86, 50),
    "AU4": (26, 32, 86, 56),
    "AU5": (26, 42, 86, 60),
    "AU6": (20, 44, 92, 80),
    "AU7": (26, 44, 86, 64),
    "AU9": (40, 48, 72, 80),
    "AU10": (32, 56, 80, 94),
    "AU12": (32, 68, 80, 96),
    "AU15": (32, 76, 80, 100),
    "AU17": (38, 74, 74, 106),
    "AU20": (26, 74, 86, 94),
    "AU23": (36, 74, 76, 94),
    "AU25": (36, 74, 76, 98),
    "AU26": (20, 64, 92, 112),
}
"""Unit -> left, top, right, bottom of the part of a 112 x 112 picture in which it is seen."""

BARE = 2
"""A person without beard and glasses."""


def still(person: int, **pulls: float) -> Face:
    """A face of the person looking straight ahead, in even light, with the given units."""
    one = face(0, 2, TRAIN_PEOPLE)
    calm = replace(
        one.nuisance, roll=0.0, shift=(0.0, 0.0), yaw=0.0, scale=1.0, occluder="", noise=0, light=(0.0, 0.0), brightness=1.0
    )
    return replace(one, person=person, nuisance=calm, intensities={unit: (pull, pull) for unit, pull in pulls.items()})


def pixels(one: Face, size: int = 112) -> np.ndarray:
    return np.asarray(draw(one, size)).astype(int)


def test_reference_person_is_bare() -> None:
    who = still(BARE).identity
    assert not (who.beard or who.glasses)


@pytest.mark.parametrize("unit", DRAWN_UNITS)
@pytest.mark.parametrize("person", [2, 11, 17, 21])
def test_unit_changes_its_part_and_nothing_else(unit: str, person: int) -> None:
    left, top, right, bottom = REGIONS[unit]
    change = np.abs(pixels(still(person, **{unit: 1.0})) - pixels(still(person))).sum(axis=2)
    outside = change.copy()
    outside[top:bottom, left:right] = 0
    assert outside.sum() < 0.02 * change.sum()


@pytest.mark.parametrize("unit", DRAWN_UNITS)
def test_unit_is_seen_at_its_weakest_and_grows(unit: str) -> None:
    rest = pixels(still(BARE))
    changes = [np.abs(pixels(still(BARE, **{unit: pull})) - rest).sum() for pull in (0.3, 0.6, 1.0)]
    clearly = (np.abs(pixels(still(BARE, **{unit: 0.3})) - rest).sum(axis=2) > 60).sum()
    assert clearly >= 40, f"{clearly} of 12544 pixels"
    assert changes[0] < changes[1] < changes[2]


def test_units_look_different_from_each_other() -> None:
    pictures = {unit: pixels(still(BARE, **{unit: 0.7})) for unit in DRAWN_UNITS}
    for first in DRAWN_UNITS:
        for second in DRAWN_UNITS:
            if first < second:
                change = np.abs(pictures[first] - pictures[second]).sum(axis=2)
                assert (change > 60).sum() >= 60, (first, second)


def test_left_of_the_person_is_right_in_the_picture() -> None:
    one = replace(still(BARE), intensities={"AU2": (1.0, 0.3)})
    change = np.abs(pixels(one) - pixels(replace(one, intensities={"AU2": (0.3, 0.3)}))).sum(axis=2)
    assert change[:, 57:].sum() > 5 * change[:, :55].sum()


def test_same_face_gives_the_same_pixels() -> None:
    one = face(3, 14, TRAIN_PEOPLE)
    assert np.array_equal(pixels(one), pixels(face(3, 14, TRAIN_PEOPLE)))


def test_pictures_of_a_seed_differ() -> None:
    pictures = {draw(face(0, index, TRAIN_PEOPLE)).tobytes() for index in range(60)}
    assert len(pictures) == 60


@pytest.mark.parametrize("size", [28, 56, 112, 160, 224])
def test_size_and_mode(size: int) -> None:
    picture = draw(face(0, 5, TRAIN_PEOPLE), size)
    assert (picture.mode, picture.size) == ("RGB", (size, size))


def test_larger_pictures_show_the_same() -> None:
    one = replace(face(0, 4, TRAIN_PEOPLE), nuisance=replace(face(0, 4, TRAIN_PEOPLE).nuisance, noise=0))
    large = np.asarray(draw(one, 224).reduce(2)).astype(int)
    assert np.abs(large - pixels(one)).mean() < 4.0


@pytest.mark.parametrize("occluder", ["hand", "microphone", "strand"])
@pytest.mark.parametrize("side", [-1, 1])
def test_occlusion_covers_a_small_part(occluder: str, side: int) -> None:
    one = still(BARE)
    covered = replace(one, nuisance=replace(one.nuisance, occluder=occluder, side=side))
    change = np.abs(pixels(covered) - pixels(one)).sum(axis=2)
    assert 0.005 < (change > 30).mean() < 0.15


def test_persons_are_told_apart() -> None:
    pictures = [pixels(still(person)) for person in range(40)]
    differences = [np.abs(a - b).mean() for k, a in enumerate(pictures) for b in pictures[k + 1 :]]
    assert min(differences) > 1.0


def test_exposure_stays_in_range() -> None:
    means = [pixels(face(2, index, TRAIN_PEOPLE))[30:90, 35:77].mean() for index in range(150)]
    assert min(means) > 45
    assert max(means) < 235
