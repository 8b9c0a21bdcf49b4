"""Video and sound: the parts `modalities`, `video`, `audio` and `clips` of `data`.

They stand in the files of conf/data that are about clips and in no other, so that runs on pictures are named as before
(`facial_r1.runs.identity` hashes what is composed). In other data, `+data.video.frames=16` adds them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

_strict = ConfigDict(extra="forbid", arbitrary_types_allowed=False)

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Modality = Literal["video", "audio", "text"]


@dataclass(config=_strict)
class Video:
    """Which frames of a clip are seen.

    Attributes:
        frames: How many, under sampling=uniform: the middles of as many equal parts of the clip.
        sampling: uniform, or rate for `rate` frames a second.
        rate: Frames a second.
        max_frames: Most frames under sampling=rate; a longer clip has them further apart.
        max_seconds: A longer clip is refused.
    """

    frames: PositiveInt = 8
    sampling: Literal["uniform", "rate"] = "uniform"
    rate: PositiveFloat | None = None
    max_frames: PositiveInt = 64
    max_seconds: PositiveFloat = 60.0

    def __post_init__(self) -> None:
        if self.sampling == "rate" and self.rate is None:
            raise ValueError("sampling=rate needs a rate, in frames a second: data.video.rate=2")
        if self.sampling == "uniform" and self.rate is not None:
            raise ValueError(f"rate={self.rate} is for sampling=rate: set data.video.sampling=rate, or data.video.rate=null")
        if self.sampling == "uniform" and self.frames > self.max_frames:
            raise ValueError(f"frames={self.frames} is above max_frames={self.max_frames}")


@dataclass(config=_strict)
class Audio:
    """How sound is heard: samples a second of the one channel, and the length from which on a recording is refused."""

    rate: Annotated[int, Field(ge=1000, le=192_000)] = 16_000
    max_seconds: PositiveFloat = 30.0


@dataclass(config=_strict)
class Carriers:
    """Shares of the drawn clips that show the emotion in the face, the voice, the words, or all three."""

    face: Annotated[float, Field(ge=0)] = 0.25
    voice: Annotated[float, Field(ge=0)] = 0.25
    words: Annotated[float, Field(ge=0)] = 0.25
    all: Annotated[float, Field(ge=0)] = 0.25

    def __post_init__(self) -> None:
        if not self.face + self.voice + self.words + self.all > 0:
            raise ValueError("every share of carriers is zero: give at least one, for example data.clips.carriers.all=1.0")


@dataclass(config=_strict)
class Clips:
    """Drawn clips in place of drawn pictures; counts, size, seed and folder are those of `data.schematic`."""

    seconds: Annotated[float, Field(ge=0.4, le=20)] = 1.6
    fps: Annotated[float, Field(ge=2, le=30)] = 10.0
    carriers: Carriers = Field(default_factory=Carriers)


@dataclass(config=_strict)
class CropFaces:
    """Faces cut out of pictures and videos while a dataset is prepared.

    Attributes:
        detector: haar (comes with OpenCV), yunet (better; needs its weights), or None for no cropping.
        weights: YuNet's .onnx file, or another cascade (.xml) for haar.
        margin: Added on each side of the face, as a share of its longer side.
        size: Width and height of what is written, in pixels, even.
        on_missing: What has no face is kept whole, or skipped.
    """

    detector: Literal["haar", "yunet"] | None = None
    weights: str | None = None
    margin: Annotated[float, Field(ge=0, le=2)] = 0.25
    size: Annotated[int, Field(ge=32, le=1024, multiple_of=2)] = 224
    on_missing: Literal["whole", "skip"] = "whole"

    def __post_init__(self) -> None:
        if self.detector == "yunet" and self.weights is None:
            raise ValueError(
                "detector=yunet needs its weights: stage.crop_faces.weights=/path/to/face_detection_yunet_2023mar.onnx "
                "(from OpenCV's model zoo); detector=haar needs no file"
            )


def check_modalities(modalities: list[Modality] | None) -> None:
    """Raise ValueError for a list that is empty or names one twice."""
    if modalities is None:
        return
    if not modalities:
        raise ValueError("modalities=[]: nothing would be left to see, hear or read; give some of [video, audio, text], or null")
    if len(set(modalities)) < len(modalities):
        raise ValueError(f"modalities={modalities}: one is named twice")
