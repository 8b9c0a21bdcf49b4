"""A record: one face with what is known about it, and the published JSON form of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """One example of any dataset.

    Attributes:
        id: unique within one load.
        dataset: name of the dataset that the example comes from.
        images: absolute paths, in the order in which the model sees them.
        question: what is asked about the images; may be empty (the prompt then asks its own).
        AUs: canonical codes such as "AU12"; `None` is "nobody coded this face", `()` is "coded, none active".
        labels: emotion nouns of the protocol's label space, the first one decides; `()` is "not annotated".
        description: the written target, `<think>...</think><answer>...</answer>`, or "".
        subject: who is shown; splits and intervals are grouped by it.
        split: the side that the owner of the dataset put this row on, as written in the file.
        candidate_labels: the classes to choose from, for question-answer sets that carry their own.
        transcript: what is said, for clips of speech.
        video: absolute path of a video file, of a folder of pictures or of an array of face crops; "" without.
        audio: absolute path of a file whose sound is used; the video's own where that has the sound; "" without.
        meta_info: whatever the owner added.
        source: "file.jsonl:12", for messages.
        extra: keys of the row that are none of the above, kept so that writing the record loses nothing.
    """

    id: str
    dataset: str
    images: tuple[str, ...]
    question: str
    AUs: tuple[str, ...] | None
    labels: tuple[str, ...]
    description: str = ""
    subject: str | None = None
    split: str | None = None
    candidate_labels: tuple[str, ...] = ()
    transcript: str = ""
    meta_info: dict[str, Any] = field(default_factory=dict, hash=False)
    source: str = field(default="", compare=False)
    extra: dict[str, Any] = field(default_factory=dict, hash=False)
    video: str = ""
    audio: str = ""

    def to_json(self, relative_to: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """The published record form.

        One image is written as a string and several as a list, both under `image`. Faces without AU coding
        carry `"AUs": null`, so that they differ from faces without an active AU (`[]`). Optional keys are
        left out when empty. `"audio": "video"` is the sound of the video.

        Args:
            relative_to: folder that paths are written relative to; absolute paths without it.
        """
        images, video, audio = list(self.images), self.video, self.audio
        if relative_to is not None:
            images = [_relative(path, relative_to) for path in images]
            video, audio = (_relative(path, relative_to) if path else "" for path in (video, audio))
        row: dict[str, Any] = {"id": self.id, "dataset": self.dataset}
        if images:
            row["image"] = images[0] if len(images) == 1 else images
        if video:
            row["video"] = video
        if audio:
            row["audio"] = "video" if self.audio == self.video else audio
        row |= {
            "question": self.question,
            "AUs": None if self.AUs is None else list(self.AUs),
            "labels": list(self.labels),
            "description": self.description,
            "meta_info": dict(self.meta_info),
        }
        optional = {
            "subject": self.subject,
            "split": self.split,
            "candidate_labels": list(self.candidate_labels),
            "transcript": self.transcript,
        }
        row |= {key: value for key, value in optional.items() if value}
        return row | self.extra


def _relative(path: str, folder: str | os.PathLike[str]) -> str:
    return os.path.relpath(path, folder).replace(os.sep, "/")
