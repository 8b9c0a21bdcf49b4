"""Drawn faces in the published record form."""

from __future__ import annotations

from typing import Any

from facial_r1.data.schematic.faces import Face
from facial_r1.data.schematic.language import reasoned_description
from facial_r1.data.schematic.stream import Stream

DATASET = "schematic"

QUESTIONS: tuple[str, ...] = (
    "What is the emotion of this face?",
    "Which emotion does this face show?",
    "What does this face express?",
)


def to_record(face: Face, identifier: str, image: str, split: str, described: bool = True) -> dict[str, Any]:
    """Return the record of a face, as one JSON object of the published form.

    Args:
        face: The face.
        identifier: Value of ``id``.
        image: Value of ``image``, a path relative to the record file.
        split: ``train`` or ``test``.
        described: Whether the record carries its reasoned description; otherwise ``description`` is empty.
    """
    who, nuisance = face.identity, face.nuisance
    return {
        "id": identifier,
        "dataset": DATASET,
        "image": image,
        "question": Stream(face.wording, 2).choice(QUESTIONS),
        "AUs": list(face.action_units),
        "labels": [face.emotion],
        "description": reasoned_description(face) if described else "",
        "subject": subject_name(face.person),
        "split": split,
        "meta_info": {
            "intensities": {unit: list(face.intensities[unit]) for unit in face.action_units},
            "pose": {"shift": list(nuisance.shift), "roll": nuisance.roll, "yaw": nuisance.yaw, "scale": nuisance.scale},
            "occluded": bool(nuisance.occluder),
            "occluder": nuisance.occluder,
            "conflicting": face.conflicting,
            "foreign_AUs": list(face.foreign),
            "sex": who.sex,
            "age_group": who.age_group,
            "skin_tone": who.skin_tone,
            "hair": who.hair_style,
            "glasses": bool(who.glasses),
            "beard": bool(who.beard),
        },
    }


def subject_name(person: int) -> str:
    """Value of ``subject`` for a person's id."""
    return f"person-{person:04d}"
