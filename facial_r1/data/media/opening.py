"""Opening a file with PyAV: only files, never addresses, and every failure in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from facial_r1.data.media.errors import MediaError
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

_TEXT = 512
_REPLACE = "replace the file by a whole one, or remove its row"
_OPTIONS = {"protocol_whitelist": "file"}
"""A playlist that somebody calls clip.mp4 must not open addresses."""


def library() -> ModuleType:
    """PyAV. Raises InputError with the command that installs it when it is not there."""
    try:
        import av
    except ImportError as error:
        raise InputError(
            f"video and sound need PyAV ({error}): pip install 'facial_r1[media]'. Or leave them out: data.modalities=[text]"
        ) from error
    return av


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[InputContainer]:
    """The container of a file; what goes wrong inside of the block is said about the file.

    Raises:
        MediaError: the file is missing, a folder, empty, not readable by this user, no medium, or broken.
    """
    av = library()
    try:
        if Path(path).is_dir():
            raise MediaError(path, "this is a folder, not a video or sound file", "name the file")
        with open(path, "rb") as stream:  # permissions and absence, before libav puts them into words of its own
            head = stream.read(_TEXT)
        if not head:
            raise MediaError(path, "the file is empty (0 bytes)", "copy it again, or remove its row")
        with av.open(f"file:{os.fspath(path)}", options=_OPTIONS, metadata_errors="ignore") as container:
            yield container
    except MediaError:
        raise
    except (av.error.FFmpegError, OSError, EOFError, MemoryError) as error:
        raise _explain(path, error) from error


def video_stream(container: InputContainer) -> VideoStream | None:
    """The first video stream that can be decoded and is no cover picture of a sound file."""
    from av.stream import Disposition

    streams = (stream for stream in container.streams.video if stream.codec_context is not None)
    return next((stream for stream in streams if not stream.disposition & Disposition.attached_pic), None)


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The first sound track that can be decoded."""
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


def _explain(path: str | os.PathLike[str], error: BaseException) -> MediaError:
    if isinstance(error, FileNotFoundError):
        return MediaError(path, "the file is missing", "check the path and data.images")
    if isinstance(error, PermissionError):
        return MediaError(path, "the file may not be read by this user", "change its permissions")
    if isinstance(error, MemoryError):
        return MediaError(path, "there is not enough memory to decode it", "save it smaller")
    if _is_text(path):
        return MediaError(path, "this is text, not a video or sound file", _REPLACE)
    detail = str(error).split("'", 1)[0].strip().removesuffix(":") or type(error).__name__
    return MediaError(path, f"unreadable: {detail}; it may be cut off", _REPLACE)


def _is_text(path: str | os.PathLike[str]) -> bool:
    try:
        with open(path, "rb") as stream:
            head = stream.read(_TEXT)
        return head.decode("utf-8", errors="strict").replace("\n", "").replace("\r", "").replace("\t", "").isprintable()
    except (OSError, UnicodeDecodeError):
        return False
