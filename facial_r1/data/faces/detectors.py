"""Where the faces of a picture are: OpenCV's Haar cascade, which needs no file, and YuNet (Wu et al. 2023), which needs its weights."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facial_r1.data.faces.boxes import Box
from facial_r1.errors import InputError

Picture = NDArray[np.uint8]
Finder = Callable[[Picture], list[Box]]
"""Picture [H, W, 3] in RGB to the boxes of its faces. May be called by several threads at a time."""

_CASCADE = "haarcascade_frontalface_alt2.xml"
_LONGEST = 960
"""Pictures are reduced to this before they are searched: faces of a 24th of them are still found."""
_SMALLEST = 24
_SURE = 0.7
"""YuNet's score from which on something is a face; its authors use 0.6 to 0.9."""


def library() -> ModuleType:
    """OpenCV. Raises InputError with the command that installs it when it is not there."""
    try:
        import cv2
    except ImportError as error:
        raise InputError(
            f"stage.crop_faces needs OpenCV ({error}): pip install 'facial-r1[faces]'. Or leave it out: stage.crop_faces.detector=null"
        ) from error
    return cv2


def open_finder(detector: Literal["haar", "yunet"], weights: str | None = None) -> Finder:
    """A detector, tried once so that a wrong file is said before the work begins.

    Args:
        weights: YuNet's .onnx; for haar another cascade than OpenCV's own for faces from the front.

    Raises:
        InputError: no OpenCV, no such file, a file that is none of these, or an OpenCV without cascades.
    """
    cv2 = library()
    path = None if weights is None else Path(weights).expanduser()
    if path is not None and not path.is_file():
        raise InputError(f"stage.crop_faces.weights={weights}: there is no such file; {_kind(detector)}")
    cv2.setNumThreads(1)  # the pictures are what is shared out among threads
    make = _yunet if detector == "yunet" else _haar
    held = threading.local()  # detectors keep what they work on, so that each thread needs its own

    def find(picture: Picture) -> list[Box]:
        if not hasattr(held, "find"):
            held.find = make(cv2, path)
        height, width = picture.shape[:2]
        shrink = min(1.0, _LONGEST / max(height, width))
        small = picture
        if shrink < 1:
            size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
            small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        high, wide = small.shape[:2]
        return [(x / wide, y / high, (x + w) / wide, (y + h) / high) for x, y, w, h in held.find(small)]

    try:
        find(np.zeros((64, 64, 3), np.uint8))
    except (cv2.error, SystemError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"stage.crop_faces.weights={weights}: {_kind(detector)} ({reason})") from error
    return find


_Rectangles = list[tuple[float, float, float, float]]


def _haar(cv2: Any, path: Path | None) -> Callable[[Picture], _Rectangles]:
    if not hasattr(cv2, "CascadeClassifier"):  # OpenCV 5 left it out
        raise InputError(
            f"stage.crop_faces.detector=haar: OpenCV {cv2.__version__} has no cascades; pip install 'opencv-python-headless<5', or "
            "use stage.crop_faces.detector=yunet"
        )
    file = path or Path(cv2.data.haarcascades) / _CASCADE
    cascade = cv2.CascadeClassifier()
    if not file.is_file() or not cascade.load(str(file)):
        raise InputError(f"{file}: {_kind('haar')}")

    def find(picture: Picture) -> _Rectangles:
        grey = cv2.equalizeHist(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
        found = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=4, minSize=(_SMALLEST, _SMALLEST))
        return [(float(x), float(y), float(w), float(h)) for x, y, w, h in found]

    return find


def _yunet(cv2: Any, path: Path | None) -> Callable[[Picture], _Rectangles]:
    network = cv2.FaceDetectorYN.create(str(path), "", (64, 64), score_threshold=_SURE)

    def find(picture: Picture) -> _Rectangles:
        network.setInputSize((picture.shape[1], picture.shape[0]))
        found = network.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
        return [] if found is None else [tuple(float(value) for value in row[:4]) for row in found]  # type: ignore[misc]

    return find


def _kind(detector: str) -> str:
    if detector == "yunet":
        return "give YuNet's weights, face_detection_yunet_2023mar.onnx of OpenCV's model zoo"
    return "give one of OpenCV's cascades (.xml), or null for the one it comes with"
