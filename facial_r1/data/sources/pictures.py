"""Files below an owner's folders at any depth, listed once and found by name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from facial_r1.data.locate import IMAGE_SUFFIXES


def find_below(root: Path, name: str, depth: int = 2) -> Path | None:
    """The file or folder called `name` (without regard to case) that lies nearest below `root`, or None.

    Args:
        depth: How many folders may lie between: 0 looks into `root` only.
    """
    level = [root]
    for _ in range(depth + 1):
        deeper: list[Path] = []
        for folder in level:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
            for entry in listed:
                if entry.name.lower() == name.lower():
                    return Path(entry.path)
            deeper += [Path(entry.path) for entry in listed if entry.is_dir() and not entry.name.startswith(".")]
        level = deeper
    return None


def files_below(root: Path) -> Iterator[tuple[str, str]]:
    """(folder, name) of each file below `root`, in alphabetical order. Links to folders are followed, each folder once."""
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            yield folder, name


def is_picture(name: str) -> bool:
    """Whether a file name ends like a picture's; the Mac's `._face.jpg` and other hidden files are none."""
    stem, dot, suffix = name.lower().rpartition(".")
    return not name.startswith(".") and bool(stem) and dot + suffix in IMAGE_SUFFIXES


class PictureIndex:
    """All pictures below some folders, found by name without regard to case and, where need be, to the file ending.

    Args:
        roots: Folders in the order of preference.

    Attributes:
        roots: The folders.
        count: Number of pictures.
        ambiguous: Names asked for that several pictures fit equally well; the first one was given.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = tuple(roots)
        self.ambiguous: set[str] = set()
        self._by_stem: dict[str, list[str]] = {}
        for root in self.roots:
            for folder, name in files_below(root):
                if is_picture(name):
                    paths = self._by_stem.setdefault(name.rpartition(".")[0].lower(), [])
                    path = f"{folder}/{name}"
                    if path not in paths:  # one root may lie in another
                        paths.append(path)
        self.count = sum(map(len, self._by_stem.values()))

    def find(self, name: str) -> str | None:
        """Path of the picture `name` ("4dfc.jpg", "images/AffectNet/4dfc.jpg"), or None.

        Among several of that name the one wins whose ending is the same, then the one whose last folders are those of
        `name`, then the one of the first root.
        """
        parts = [part for part in name.replace("\\", "/").lower().split("/") if part not in ("", ".")]
        if not parts:
            return None
        paths = self._by_stem.get(_stem(parts[-1]), [])
        if len(paths) < 2:
            return paths[0] if paths else None
        scores = [_likeness(path, parts) for path in paths]
        best = max(scores)
        if scores.count(best) > 1:
            self.ambiguous.add(name)
        return paths[scores.index(best)]


def _stem(name: str) -> str:
    """File name without its ending; a name without one stays whole."""
    return name.rpartition(".")[0] or name


def _likeness(path: str, parts: Sequence[str]) -> tuple[bool, int]:
    own = path.replace(os.sep, "/").lower().split("/")
    same = 0
    for mine, theirs in zip(reversed(own[:-1]), reversed(parts[:-1]), strict=False):
        if mine != theirs:
            break
        same += 1
    return own[-1] == parts[-1], same
