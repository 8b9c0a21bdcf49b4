"""Faces that were cut out of a video beforehand: a folder of pictures, or an array of frames.

A record's `video` may name either in place of a video file: a folder with one picture a frame, in the order of their names, or
``<name>.npy`` with uint8 frames [T, H, W, 3] as OpenFace pipelines leave them (AffectGPT's ``openface_face/<name>.npy``). `write_crops` takes
any function that turns a frame into a face. `stage=prepare` with `stage.crop_faces` cuts whole clips (`facial_r1.data.faces`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facial_r1.data.images import ImageError, open_image
from facial_r1.data.locate import IMAGE_SUFFIXES
from facial_r1.data.media.errors import MediaError

Picture = NDArray[np.uint8]
Cropper = Callable[[Picture], Picture | None]
"""Frame [H, W, 3] to the face in it [h, w, 3]; None where there is none."""

CROPS_RATE = 25.0
"""Frames a second that crops are taken to have been cut at; it only scales the times that go with them."""

_FIX = "give a folder of pictures, a video file, or uint8 frames [T, H, W, 3] saved by numpy.save"


def is_crops(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a folder or an array of frames rather than a file to decode."""
    return os.fspath(path).lower().endswith(".npy") or Path(path).is_dir()


def count_crops(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    """Frames, height and width (of the first one, in a folder). Raises MediaError where there are none."""
    if Path(path).is_dir():
        names = _pictures(path)
        first = _open(names[0])
        return len(names), first.height, first.width
    frames = _array(path)
    return frames.shape[0], frames.shape[1], frames.shape[2]


def read_crops(path: str | os.PathLike[str], places: list[int]) -> Picture:
    """The frames at some places, uint8 [len(places), H, W, 3]. Pictures of a folder get the size of the first one.

    Raises:
        MediaError: it holds no frames, or they cannot be read.
    """
    if not Path(path).is_dir():
        return np.ascontiguousarray(_array(path)[places])
    names = _pictures(path)
    images = [_open(names[place]) for place in places]
    size = images[0].size
    return np.stack([np.asarray(image if image.size == size else image.resize(size)) for image in images])


def write_crops(frames: Picture, folder: Path, cropper: Cropper, quality: int = 95) -> int:
    """Write the faces in frames [T, H, W, 3] as ``0000.jpg``, ``0001.jpg``, ... and return how many there are.

    Frames without a face are left out. Each picture is whole or not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for frame in frames:
        face = cropper(frame)
        if face is None:
            continue
        target = folder / f"{written:04d}.jpg"
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        Image.fromarray(face).save(partial, "JPEG", quality=quality, subsampling=0)
        partial.replace(target)
        written += 1
    return written


def _pictures(folder: str | os.PathLike[str]) -> list[str]:
    with os.scandir(folder) as entries:
        names = sorted(
            entry.path
            for entry in entries
            if not entry.name.startswith(".") and os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122
        )
    if not names:
        raise MediaError(folder, "the folder holds no pictures", _FIX)
    return names


def _open(path: str) -> Image.Image:
    try:
        return open_image(path)
    except ImageError as error:
        raise MediaError(error.path, error.reason, error.fix) from error


def _array(path: str | os.PathLike[str]) -> Any:
    """The array of a .npy file, mapped into memory rather than read."""
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise MediaError(path, "the file is missing", "check the path and data.images") from error
    except PermissionError as error:
        raise MediaError(path, "the file may not be read by this user", "change its permissions") from error
    except (OSError, ValueError, EOFError) as error:
        raise MediaError(path, f"unreadable array: {error}", _FIX) from error
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise MediaError(path, f"it holds {frames.dtype} of shape {list(frames.shape)}, not frames", _FIX)
    return frames
