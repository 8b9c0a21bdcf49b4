"""Where the images of a data file are, and what to say when one is not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from facial_r1.config.suggest import nearest

_INDEX_LIMIT = 200_000
"""Files listed, at most, to suggest where a missing image might be."""
_COMPARABLE = 5000
_COMPARISONS = 50
IMAGE_SUFFIXES = {
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".webp",
    ".tif",
    ".tiff",
    ".gif",
    ".avif",
    ".jp2",
    ".ppm",
    ".pgm",
}


def absolute(path: str | os.PathLike[str]) -> Path:
    """Absolute path, `~` expanded and links kept: beside a link is beside the name that was given."""
    return Path(os.path.normpath(Path(path).expanduser().absolute()))


class ImageFinder:
    """Resolves image names of one data file.

    Args:
        file: the data file.
        folder: the image folder given for it; without one, the folder of the file and `images/` in it are
            searched.
        check: whether names have to exist. Without it, the first place is taken unseen.
    """

    kind = "image"
    """What is looked for, in messages."""
    suffixes = IMAGE_SUFFIXES
    """Endings of files that a missing one may be mistaken for."""

    def __init__(self, file: Path, folder: Path | None, check: bool = True) -> None:
        self.folders = [folder] if folder is not None else [file.parent, file.parent / "images"]
        self._roots = [str(path) for path in self.folders]
        self._check = check
        self._index: dict[str, list[str]] | None = None
        self._comparisons = 0

    def find(self, name: str) -> str | None:
        """Absolute path of image `name`, or None when it is in none of the places."""
        places = self.places(name)
        if not self._check:
            return next(places)
        return next((place for place in places if os.access(place, os.F_OK)), None)

    def places(self, name: str) -> Iterator[str]:
        """Where `name` is looked for, in order."""
        name = name.removeprefix("file://")
        if name.startswith("/"):
            yield name
        else:
            for root in self._roots:
                yield os.path.normpath(f"{root}/{name}")

    def reason(self, name: str) -> str:
        """Why `name` is a problem, with the places searched."""
        if name.startswith(("http://", "https://", "data:")):
            return f"{name[:60]!r} is not a file"
        return f"{self.kind} {name!r} is missing; looked for " + " and ".join(self.places(name))

    def fix(self, name: str) -> str:
        """What to do about the missing image `name`: a file that it may be, or what to configure."""
        if name.startswith(("http://", "https://", "data:")):
            return f"save the {self.kind} as a file and give its path"
        missing = [folder for folder in self.folders[:1] if not folder.is_dir()]
        if missing:
            return f"the folder {missing[0]} does not exist: set data.images to the folder of the {self.kind}s"
        basename = name.replace("\\", "/").rpartition("/")[2]
        index = self._files()
        stem = Path(basename).stem.lower()
        close = index.get(stem)
        if close is None and index:
            close = self._similar(stem, index)
        if close:
            likely = min(close, key=lambda path: (Path(path).name != basename, len(path), path))
            return f"did you mean {likely}?"
        return "set data.images to the folder that the paths in the file are relative to, one folder a file"

    def _similar(self, stem: str, index: dict[str, list[str]]) -> list[str] | None:
        """Files with a similar name. Comparing costs milliseconds: only the first few, in small folders."""
        self._comparisons += 1
        if self._comparisons > _COMPARISONS or len(index) > _COMPARABLE:
            return None
        similar = nearest(stem, index)
        return index[similar] if similar else None

    def _files(self) -> dict[str, list[str]]:
        """Image files below the folders, by lower-case stem. Listed once, on the first missing image."""
        if self._index is None:
            self._index = {}
            count = 0
            for root in self._roots[:1]:
                for folder, _, names in os.walk(root):
                    for name in names:
                        stem, dot, suffix = name.lower().rpartition(".")
                        if dot + suffix in self.suffixes:
                            self._index.setdefault(stem, []).append(f"{folder}/{name}")
                    count += len(names)
                    if count > _INDEX_LIMIT:
                        return self._index
        return self._index
