"""The files behind a prompt, opened as the model takes them: pictures, clips and sounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from PIL import Image

from facial_r1.config.media_schema import Audio, Video
from facial_r1.data import Record, open_image
from facial_r1.errors import InputError
from facial_r1.stages.context import Context

if TYPE_CHECKING:
    from facial_r1.models.images import ImageSizer
    from facial_r1.models.media import Clip

GREY = 128


@dataclass(frozen=True)
class MediaOpener:
    """Opens what a prompt shows: called with the path of a picture, `clip` and `sound` with those of a video and a sound.

    Attributes:
        sizer: Gives pictures and frames the size that the model sees.
        video: Which frames of a clip are seen.
        audio: How sound is heard.
        rate: Samples a second that the model's processor expects; None for one that does not hear.
        blank: Show grey in place of pictures and frames; sound stays.
    """

    sizer: ImageSizer
    video: Video
    audio: Audio
    rate: int | None = None
    blank: bool = False

    def __call__(self, path: str) -> Image.Image:
        """A picture, upright, in RGB."""
        picture = self.sizer.apply(open_image(path))
        return Image.new("RGB", picture.size, (GREY, GREY, GREY)) if self.blank else picture

    def clip(self, path: str) -> Clip:
        """Frames of a video, and the time they span."""
        from facial_r1.data.media import see
        from facial_r1.models.media import Clip

        frames, times = see(path, self.video)
        shown = self.sizer.apply_frames(frames)
        return Clip(np.full_like(shown, GREY) if self.blank else shown, span(times))

    def sound(self, path: str) -> np.ndarray:
        """A waveform at the model's rate, float32, mono."""
        from facial_r1.data.media import hear

        if self.rate is not None and self.audio.rate != self.rate:
            raise InputError(
                f"data.audio.rate={self.audio.rate}: the model hears {self.rate} samples a second; set it to {self.rate}"
            )
        return hear(path, self.audio)


def span(times: np.ndarray) -> float:
    """Seconds that evenly spaced frames stand for, from their times: the middles of as many equal parts.

    >>> span(np.array([0.1, 0.3, 0.5, 0.7]))
    0.8
    """
    if len(times) < 2:
        return max(2.0 * float(times[0]), 0.1)
    return round(float(times[-1] - times[0]) * len(times) / (len(times) - 1), 6)


def picture_opener(context: Context, processor: Any) -> MediaOpener:
    """The opener of a job: pictures and frames at the size the model sees; grey under `stage.blank_images`.

    Without a processor (a server resizes by itself) only a square side or an upper bound on the area are applied.
    """
    from facial_r1.models.images import ImageSizer

    size, data = context.job.model.image_size, context.job.data
    sizer = ImageSizer.without_processor(size) if processor is None else ImageSizer.from_processor(processor, size)
    rate = getattr(getattr(processor, "feature_extractor", None), "sampling_rate", None)
    return MediaOpener(sizer, data.video, data.audio, rate, bool(getattr(context.job.stage, "blank_images", False)))


class Files(TypedDict):
    """Files by kind, in the order of a prompt's parts."""

    images: tuple[str, ...]
    videos: tuple[str, ...]
    audios: tuple[str, ...]


def shown(record: Record) -> Files:
    """The files of a record, as `Request`, `Example` and `Row` take them."""
    return Files(
        images=record.images,
        videos=(record.video,) if record.video else (),
        audios=(record.audio,) if record.audio else (),
    )
