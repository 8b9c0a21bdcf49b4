"""Drawn clips in the published record form."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from facial_r1.data.schematic.clip_language import clip_description
from facial_r1.data.schematic.clips import ClipSpec
from facial_r1.data.schematic.records import subject_name
from facial_r1.data.schematic.stream import Stream

DATASET = "schematic_clips"

QUESTIONS: tuple[str, ...] = (
    "What is the emotion of this person?",
    "Which emotion does this person show?",
    "What does this person feel?",
)


def clip_record(spec: ClipSpec, identifier: str, video: str, audio: str, split: str, described: bool = True) -> dict[str, Any]:
    """The record of a clip, as one JSON object of the published form.

    Args:
        identifier: Value of ``id``.
        video, audio: Paths relative to the record file.
        split: ``train`` or ``test``.
        described: Whether the record carries its reasoned description.
    """
    who, apex = spec.face.identity, spec.face
    return {
        "id": identifier,
        "dataset": DATASET,
        "video": video,
        "audio": audio,
        "question": Stream(spec.wording, 2).choice(QUESTIONS),
        "AUs": list(spec.action_units),
        "labels": [spec.emotion],
        "description": clip_description(spec) if described else "",
        "subject": subject_name(apex.person),
        "split": split,
        "transcript": spec.sentence,
        "meta_info": {
            "carrier": spec.carrier,
            "intensities": {unit: list(apex.intensities[unit]) for unit in apex.action_units},
            "course": asdict(spec.course),
            "occluded": bool(apex.nuisance.occluder),
            "conflicting": apex.conflicting,
            "sex": who.sex,
            "age_group": who.age_group,
            "skin_tone": who.skin_tone,
        },
    }
