"""Drawn faces: a small data set with known action units, made from integers alone."""

from __future__ import annotations

from facial_r1.data.schematic.contact_sheet import contact_sheet
from facial_r1.data.schematic.dataset import materialise
from facial_r1.data.schematic.drawing import draw
from facial_r1.data.schematic.faces import PRETRAINING_PEOPLE, TEST_PEOPLE, TRAIN_PEOPLE, Face, Nuisance, face
from facial_r1.data.schematic.language import neutral_description, reasoned_description
from facial_r1.data.schematic.records import to_record

__all__ = [
    "PRETRAINING_PEOPLE",
    "TEST_PEOPLE",
    "TRAIN_PEOPLE",
    "Face",
    "Nuisance",
    "contact_sheet",
    "draw",
    "face",
    "materialise",
    "neutral_description",
    "reasoned_description",
    "to_record",
]
