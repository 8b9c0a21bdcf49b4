"""Clips and sounds as a chat-completions server takes them: a video as a file or as pictures, a sound as 16-bit WAV.

The parts are those of vLLM's server: `video_url` with a data URL, `input_audio` with base64 data and its format (OpenAI's own), and
`image_url` for frames. A clip and its sound are two parts: the server hears the sound beside the frames.
"""

from __future__ import annotations

import base64
import io
import tempfile
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from facial_r1.data.media.crops import is_crops
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from facial_r1.models.media import Clip

MEBI = 1024 * 1024
LARGEST = 20 * MEBI
"""Bytes of one clip or sound, before base64 adds a third."""

TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".avi": "video/x-msvideo",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
}
SOUND_RATE = 16_000
_FULL_SCALE = 32767

File = tuple[str, bytes]
"""Media type and content."""


@dataclass(frozen=True)
class MediaParts:
    """Makes the parts of a message.

    Attributes:
        opener: Opens files; for clips and sounds it has `clip` and `sound` (`prompt_batch.MediaLoader`).
        picture: A picture as a data URL.
        video: `file` sends a video, `frames` each of its frames as a picture, for models that take no video.
        video_file: The file that stands for a clip; None writes one that holds the frames of `opener.clip` and no others.
        largest: Most bytes of a clip or sound.
        advice: What to change when there are more, for the message.
    """

    opener: Any
    picture: Callable[[Image.Image], str]
    video: Literal["file", "frames"] = "file"
    video_file: Callable[[str], File] | None = None
    largest: int = LARGEST
    advice: str = ""

    def image(self, path: str) -> dict[str, Any]:
        """A picture."""
        return _image(self.picture(self.opener(path)))

    def clip(self, path: str) -> list[dict[str, Any]]:
        """A video: one part, or one for each frame.

        Raises:
            InputError: It is too large, or what opens files here opens pictures alone.
        """
        if self.video == "frames":
            urls = [self.picture(Image.fromarray(frame)) for frame in self._opened("clip", path).frames]
            self._fits(path, sum(len(url) * 3 // 4 for url in urls))
            return [_image(url) for url in urls]
        kind, content = self.video_file(path) if self.video_file is not None else encoded(self._opened("clip", path))
        self._fits(path, len(content))
        return [{"type": "video_url", "video_url": {"url": f"data:{kind};base64,{_base64(content)}"}}]

    def sound(self, path: str) -> dict[str, Any]:
        """A sound. Raises InputError as `clip` does."""
        content = wav(self._opened("sound", path), getattr(self.opener, "rate", None) or SOUND_RATE)
        self._fits(path, len(content))
        return {"type": "input_audio", "input_audio": {"data": _base64(content), "format": "wav"}}

    def _opened(self, what: str, path: str) -> Any:
        opened = getattr(self.opener, what, None)
        if opened is None:
            raise InputError(f"{path}: the row names a {what}, and what opens files here opens pictures alone")
        return opened(path)

    def _fits(self, path: str, size: int) -> None:
        if size > self.largest:
            raise InputError(
                f"{path}: {size / MEBI:.1f} MiB to send, where {self.largest / MEBI:g} MiB are the most. Save it smaller or shorter"
                + (f", or {self.advice}" if self.advice else "")
            )


def own_file(path: str) -> File:
    """A video file as it is.

    Raises:
        InputError: It is missing, or of a kind that servers do not take.
    """
    kind = TYPES.get(Path(path).suffix.lower())
    if kind is None or is_crops(path):
        raise InputError(
            f"{path}: no video file that a server takes ({', '.join(TYPES)}); send its frames as pictures: +reward.judge.video=frames"
        )
    try:
        return kind, Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the video cannot be read ({error.strerror or error})") from error


def encoded(clip: Clip) -> File:
    """An MP4 with the frames of a clip and no others, at their own rate; odd sides are repeated by a pixel."""
    from facial_r1.data.schematic.clip_files import write_video

    height, width = clip.frames.shape[1:3]
    frames = np.pad(clip.frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_video(path, frames, len(frames) / clip.seconds)
        return "video/mp4", path.read_bytes()


def wav(sound: np.ndarray, rate: int) -> bytes:
    """A mono waveform in [-1, 1] as a WAV file of 16 bits."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        file.writeframes(np.round(np.clip(sound, -1, 1) * _FULL_SCALE).astype("<i2").tobytes())
    return stream.getvalue()


def _image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
