"""SFEW 2.0 (Dhall, Goecke, Lucey and Gedeon, ICCVW 2011; EmotiW 2015): frames of films, seven emotions."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from facial_r1.config.suggest import did_you_mean
from facial_r1.data.problems import Problem
from facial_r1.data.sources.listing import CLASS_FOLDERS, face, first_folder, pictures, subfolders
from facial_r1.data.sources.registry import Reading, layout_error, source

_ALIGNED = {"train": "Train_Aligned_Faces", "test": "Val_Aligned_Faces"}
_FRAMES = {"train": "Train", "test": "Val"}
_FRAME_COUNTS = {
    "train": {
        "anger": 178, "disgust": 66, "fear": 98, "happiness": 198, "neutral": 150, "sadness": 172, "surprise": 96,
    },
    "test": {
        "anger": 77, "disgust": 23, "fear": 47, "happiness": 73, "neutral": 86, "sadness": 73, "surprise": 57,
    },
}  # fmt: skip
_LAYOUT = """
  Train/Train_Aligned_Faces/Angry/*.png ... Surprise/
  Val/Val_Aligned_Faces/Angry/*.png ... Surprise/
  Train/Angry/*.png, Val/Angry/*.png     whole frames (data.options.images=frames)
  Test/                                  without labels, left out
"""


@source("sfew", "SFEW 2.0: 1,394 film frames with labels, seven emotions", _LAYOUT)
def read(root: Path, images: Literal["aligned", "frames"] = "aligned") -> Reading:
    """Read the class folders. Val is the test side, as everywhere: the labels of Test are withheld.

    Args:
        images: "aligned" faces (what FERBench shows; a few frames have none), or whole "frames".

    Raises:
        InputError: the class folders are not there.
    """
    names = _ALIGNED if images == "aligned" else _FRAMES
    reading = Reading(official=_FRAME_COUNTS if images == "frames" else None)
    sides = {
        split: folder
        for split, name in names.items()
        if (folder := first_folder(root, f"{_FRAMES[split]}/{name}" if images == "aligned" else name, name)) is not None
    }
    if not sides:
        wanted = "Train_Aligned_Faces and Val_Aligned_Faces" if images == "aligned" else "Train and Val"
        other = " (data.options.images=frames takes whole frames)" if images == "aligned" and (root / "Train").is_dir() else ""
        raise layout_error("sfew", root, f"the folders {wanted} are missing{other}")
    for split, folder in sides.items():
        _read_side(folder, split, reading)
    withheld = first_folder(root, "Test/Test_Aligned_Faces", "Test_Aligned_Faces", "Test")
    if withheld is not None and (count := len(pictures(withheld))):
        reading.excluded["Test: labels are withheld"] += count
    return reading


def _read_side(side: Path, split: str, reading: Reading) -> None:
    for folder in subfolders(side):
        if folder.name.endswith("_Aligned_Faces"):
            continue
        label = CLASS_FOLDERS.get(folder.name.lower())
        if label is None or label == "contempt":
            fix = did_you_mean(folder.name.lower(), [name for name in CLASS_FOLDERS if name != "contempt"])
            reading.problems.append(Problem(str(folder), 0, "class", f"unknown class folder {folder.name!r}", fix))
            continue
        for name in pictures(folder):
            image = folder / name
            meta: dict[str, object] = {"film": image.stem.split("_")[0]}
            reading.records.append(face("SFEW 2.0", f"sfew/{split}/{image.stem}", image, label, split, f"{image}:0", meta))
