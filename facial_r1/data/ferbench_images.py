"""Where the pictures of FERBench's paths lie in the owners' folders, and whether training data shows them too.

The paths of the benchmark (``/RAF-DB/aligned/test_0001_aligned.jpg``) are those of its authors' disk. Whoever has the datasets
from their owners finds the same picture at another place below another name; `PLACES` says where.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from facial_r1.data.ferbench import DATASETS, dataset_in, dataset_name, path_key, picture_stem
from facial_r1.data.locate import absolute
from facial_r1.errors import InputError

PLACES: dict[str, tuple[str, ...]] = {
    # The owner's archive unpacks to basic/; benchmark: RAF-DB/aligned/<name>.
    "rafdb": (
        "RAF-DB/aligned/{name}",
        "RAF-DB/basic/Image/aligned/{name}",
        "RAF-DB/Image/aligned/{name}",
        "basic/Image/aligned/{name}",
        "Image/aligned/{name}",
        "aligned/{name}",
    ),
    # Microsoft's script writes FER2013Test/<name>; benchmark: FERPlus/test/<class>/<name>.
    "ferplus": (
        "FERPlus/test/{folder}/{name}",
        "FERPlus/FER2013Test/{name}",
        "FERPlus/data/FER2013Test/{name}",
        "data/FER2013Test/{name}",
        "FER2013Test/{name}",
        "test/{folder}/{name}",
    ),
    # The owner has one tree for training and validation, and several file types; benchmark: .../validation/<number>/<hash>.jpg.
    "affectnet": (
        "AffectNet/Manually_Annotated/validation/{folder}/{name}",
        "AffectNet/Manually_Annotated/Manually_Annotated_Images/{folder}/{stem}",
        "AffectNet/Manually_Annotated_Images/{folder}/{stem}",
        "Manually_Annotated/Manually_Annotated_Images/{folder}/{stem}",
        "Manually_Annotated_Images/{folder}/{stem}",
        "Manually_Annotated/validation/{folder}/{stem}",
        "validation/{folder}/{stem}",
    ),
    # benchmark: SFEW-2.0/Val/Val_Aligned_Faces/<Class>/<name>.
    "sfew": (
        "SFEW-2.0/Val/Val_Aligned_Faces/{folder}/{name}",
        "SFEW_2.0/Val/Val_Aligned_Faces/{folder}/{name}",
        "SFEW_2.0/Val_Aligned_Faces/{folder}/{name}",
        "SFEW/Val/Val_Aligned_Faces/{folder}/{name}",
        "SFEW/Val_Aligned_Faces/{folder}/{name}",
        "Val/Val_Aligned_Faces/{folder}/{name}",
        "Val_Aligned_Faces/{folder}/{name}",
    ),
}
"""Below the root, in the order in which they are tried; {stem} stands for the name with any picture ending."""

_ENDINGS = ("", ".jpg", ".JPG", ".jpeg", ".JPEG", ".png", ".PNG", ".bmp", ".BMP", ".tif", ".TIF", ".tiff", ".TIFF")


class PictureFinder:
    """Finds the picture of a benchmark path.

    Args:
        root: Folder above the datasets, or the folder of a single one.
        roots: A folder of its own for a dataset, by any spelling of its name.

    Raises:
        InputError: A name is no dataset, or a folder does not exist.
    """

    def __init__(self, root: Path, roots: Mapping[str, str | os.PathLike[str]] | None = None) -> None:
        own = {dataset_name(name): absolute(path) for name, path in (roots or {}).items()}
        for name, path in own.items():
            if not path.is_dir():
                raise InputError(f"data.options.roots.{name}={path}: no such folder")
        self.roots = {name: own.get(name, root) for name in DATASETS}
        self._last: dict[str, str] = {}

    def find(self, path: str, dataset: str) -> str | None:
        """Absolute path of the picture, or None."""
        last = self._last.get(dataset)
        if last is not None and (found := _existing(self._place(path, dataset, last))):
            return found
        for pattern in PLACES[dataset]:
            if found := _existing(self._place(path, dataset, pattern)):
                self._last[dataset] = pattern
                return found
        return _existing(f"{self.roots[dataset]}/{path_key(path)}")

    def places(self, path: str, dataset: str) -> list[str]:
        """Where `find` looks, in order."""
        return [self._place(path, dataset, pattern) for pattern in PLACES[dataset]]

    def _place(self, path: str, dataset: str, pattern: str) -> str:
        folder, _, name = path_key(path).rpartition("/")
        inside = pattern.format(folder=folder.rpartition("/")[2], name=name, stem=f"{picture_stem(name)}.*")
        return f"{self.roots[dataset]}/{inside}"


def _existing(path: str) -> str | None:
    if not path.endswith(".*"):
        return path if os.access(path, os.F_OK) else None
    return next((path[:-2] + ending for ending in _ENDINGS[1:] if os.access(path[:-2] + ending, os.F_OK)), None)


# --- overlap -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Overlap:
    """Training rows that show pictures of the benchmark.

    Attributes:
        same_path: Places of rows (0, 1, ...) whose path is one of the benchmark's, up to the slash in front.
        same_name: Places of further rows whose picture has the file name of one of the same dataset (or of any, where the path
            names no dataset): most likely the same picture in another folder.
        examples: Some of the paths.
    """

    same_path: tuple[int, ...]
    same_name: tuple[int, ...]
    examples: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.same_path) + len(self.same_name)

    def note(self, rows: int) -> str:
        """One line for the user; "" when there is none."""
        if not len(self):
            return ""
        return (
            f"{len(self)} of {rows} rows show pictures of FERBench ({len(self.same_path)} by path, {len(self.same_name)} by file "
            f"name), for example {', '.join(self.examples)}: leave them out, or do not report FERBench figures"
        )


def overlap(training: Iterable[str], benchmark: Iterable[str]) -> Overlap:
    """Which training rows show pictures of the benchmark.

    Names alone are compared, since nobody has both sets of pictures at hand; a renamed copy is not found.

    Args:
        training: Image path of each training row.
        benchmark: Image paths of the questions.
    """
    paths: set[str] = set()
    names: set[tuple[str | None, str]] = set()
    for path in benchmark:
        paths.add(path_key(path).lower())
        names.update(((dataset_in(path), stem := _stem(path)), (None, stem)))
    same_path: list[int] = []
    same_name: list[int] = []
    examples: list[str] = []
    for place, path in enumerate(training):
        if path_key(path).lower() in paths:
            same_path.append(place)
        elif (dataset_in(path), _stem(path)) in names:
            same_name.append(place)
        else:
            continue
        if len(examples) < 3:
            examples.append(path)
    return Overlap(tuple(same_path), tuple(same_name), tuple(examples))


def benchmark_paths(questions: Mapping[str, Iterable[object]]) -> Iterator[str]:
    """Image paths of questions by dataset, as `facial_r1.data.ferbench.read_questions` gives them."""
    for rows in questions.values():
        for question in rows:
            yield str(getattr(question, "image_path", ""))


def _stem(path: str) -> str:
    """File name without folder, ending and the mark of aligned faces, in lower case."""
    return picture_stem(path).lower().removesuffix("_aligned")
