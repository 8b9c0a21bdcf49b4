"""Where the video and sound files of a data file are."""

from __future__ import annotations

from pathlib import Path

from facial_r1.data.locate import ImageFinder

VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".3gp", ".npy"}
AUDIO_SUFFIXES = {".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus", ".wma", ".aif", ".aiff"}


class MediaFinder(ImageFinder):
    """Resolves names of video or sound files: in the image folder; without one also in ``<kind>/`` and ``<kind>s/`` beside the file.

    Args:
        kind: "video" or "audio", the field.
    """

    def __init__(self, file: Path, folder: Path | None, kind: str, check: bool = True) -> None:
        super().__init__(file, folder, check)
        self.kind = kind
        self.suffixes = VIDEO_SUFFIXES if kind == "video" else AUDIO_SUFFIXES | VIDEO_SUFFIXES
        if folder is None:
            self.folders = [file.parent, file.parent / kind, file.parent / f"{kind}s"]
            self._roots = [str(path) for path in self.folders]
