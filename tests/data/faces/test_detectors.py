"""Detectors on photographs, and what is said when one cannot be had."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facial_r1.data.faces.boxes import largest
from facial_r1.data.faces.detectors import open_finder
from facial_r1.errors import InputError

cv2 = pytest.importorskip("cv2", reason="pip install 'facial-r1[faces]'")


def photograph() -> np.ndarray:
    """scikit-image's astronaut; her face is at about x 173 to 275, y 65 to 185 of 512 x 512."""
    data = pytest.importorskip("skimage.data", reason="scikit-image brings the photograph")
    return data.astronaut()


def test_haar_finds_the_face_of_a_photograph():
    box = largest(open_finder("haar")(photograph()))
    assert box is not None
    middle = (box[0] + box[2]) / 2 * 512, (box[1] + box[3]) / 2 * 512
    assert abs(middle[0] - 224) < 25 and abs(middle[1] - 125) < 30 and 60 < (box[2] - box[0]) * 512 < 190


def test_the_box_is_the_same_at_another_size():
    finder = open_finder("haar")
    large = np.asarray(Image.fromarray(photograph()).resize((1536, 1536)))
    one, other = largest(finder(photograph())), largest(finder(large))
    assert one is not None and other is not None and np.allclose(one, other, atol=0.05)


def test_no_face_where_there_is_none():
    assert open_finder("haar")(np.full((200, 300, 3), 127, np.uint8)) == []


def test_threads_have_a_detector_each():
    from concurrent.futures import ThreadPoolExecutor

    finder = open_finder("haar")
    with ThreadPoolExecutor(4) as pool:
        boxes = list(pool.map(finder, [photograph()] * 8))
    assert all(one == boxes[0] for one in boxes)


def test_a_file_that_is_missing(tmp_path: Path):
    with pytest.raises(InputError, match=r"weights=.*none\.onnx: there is no such file; give YuNet's weights"):
        open_finder("yunet", str(tmp_path / "none.onnx"))


@pytest.mark.parametrize(("detector", "fix"), [("yunet", "face_detection_yunet"), ("haar", "OpenCV's cascades")])
def test_a_file_of_another_kind(detector, fix: str, tmp_path: Path):
    (tmp_path / "weights").write_bytes(b"no weights")
    with pytest.raises(InputError, match=fix):
        open_finder(detector, str(tmp_path / "weights"))


def test_opencv_5_has_no_cascades(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(InputError, match=r"opencv-python-headless<5"):
        open_finder("haar")


def test_opencv_is_optional(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r"pip install 'facial-r1\[faces\]'"):
        open_finder("haar")


class Network:
    """YuNet as far as it is called here: one face, at a fixed place of the searched picture."""

    def setInputSize(self, size: tuple[int, int]) -> None:
        self.size = size

    def detect(self, picture: np.ndarray) -> tuple[int, np.ndarray | None]:
        assert picture.shape[:2] == self.size[::-1]
        if not picture.any():
            return 1, None
        width, height = self.size
        return 1, np.array([[width / 4, height / 4, width / 2, height / 2, *[0.0] * 10, 0.9]], np.float32)


def test_yunets_boxes_are_fractions_of_the_whole_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Its weights come with no package, so that the network is played here."""
    (tmp_path / "yunet.onnx").write_bytes(b"")
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *args, **options: Network())
    finder = open_finder("yunet", str(tmp_path / "yunet.onnx"))
    assert np.allclose(finder(np.full((1200, 1920, 3), 9, np.uint8)), [(0.25, 0.25, 0.75, 0.75)], atol=1e-3)
    assert finder(np.zeros((64, 64, 3), np.uint8)) == []
