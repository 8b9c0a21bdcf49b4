"""Small fake copies of emotion datasets, laid out on disk as their owners do. Faces are grey squares."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

RAF_NAMES = {1: "surprise", 2: "fear", 3: "disgust", 4: "happiness", 5: "sadness", 6: "anger", 7: "neutral"}
FER_FOLDERS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FER_NOUNS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


def picture(path: Path, grey: int = 128, size: tuple[int, int] = (8, 8)) -> Path:
    """A tiny picture of one grey, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (grey % 256,) * 3).save(path)
    return path


# --- RAF-DB --------------------------------------------------------------------------------------------------


def raf_db(root: Path, train: int = 14, test: int = 7) -> Path:
    """`basic/EmoLabel/list_patition_label.txt` with aligned and original images; classes 1 to 7 in turn. Returns the list."""
    base = root / "basic"
    lines = []
    for side, count, digits in (("train", train, 5), ("test", test, 4)):
        for number in range(1, count + 1):
            name = f"{side}_{number:0{digits}d}"
            lines.append(f"{name}.jpg {(number - 1) % 7 + 1}\n")
            picture(base / "Image/aligned" / f"{name}_aligned.jpg", number + (100 if side == "test" else 0))
            picture(base / "Image/original" / f"{name}.jpg", number, (20, 12))
    labels = base / "EmoLabel/list_patition_label.txt"
    labels.parent.mkdir(parents=True)
    labels.write_text("".join(lines))
    return labels


def raf_db_kaggle(root: Path, tables: bool = True) -> Path:
    """`DATASET/train/1..7`, `DATASET/test/1..7`, with the csv files beside them if wanted."""
    for side in ("train", "test"):
        rows = ["image,label"]
        for number in range(1, 8):
            name = f"{side}_{number:05d}_aligned.jpg"
            picture(root / "DATASET" / side / str(number) / name, number)
            rows.append(f"{name},{number}")
        if tables:
            (root / "DATASET" / f"{side}_labels.csv").write_text("\n".join(rows) + "\n")
    return root / "DATASET"


# --- FER2013 -------------------------------------------------------------------------------------------------


def pixels(grey: int, count: int = 48 * 48) -> str:
    """A face as the table holds it."""
    return " ".join(str((grey + place) % 256) for place in range(count))


def fer2013_rows() -> list[tuple[str, str, str]]:
    """(emotion, pixels, usage) of 14 Training, 7 PublicTest and 7 PrivateTest rows, classes 0 to 6 in turn."""
    usages = ["Training"] * 14 + ["PublicTest"] * 7 + ["PrivateTest"] * 7
    return [(str(number % 7), pixels(number), usage) for number, usage in enumerate(usages)]


def fer2013_csv(root: Path, rows: Sequence[tuple[str, str, str]] | None = None) -> Path:
    """`fer2013.csv`: emotion,pixels,Usage."""
    root.mkdir(parents=True, exist_ok=True)
    lines = ["emotion,pixels,Usage", *(",".join(row) for row in rows or fer2013_rows())]
    (root / "fer2013.csv").write_text("\n".join(lines) + "\n")
    return root / "fer2013.csv"


def icml_face_data(root: Path) -> Path:
    """`icml_face_data.csv`: another order of columns, blanks before two of their names."""
    root.mkdir(parents=True, exist_ok=True)
    lines = ["emotion, Usage, pixels", *(f"{emotion},{usage},{values}" for emotion, values, usage in fer2013_rows())]
    (root / "icml_face_data.csv").write_text("\n".join(lines) + "\n")
    return root / "icml_face_data.csv"


def fer2013_folders(root: Path, named: bool = False) -> None:
    """Kaggle's `train/` and `test/` with lower-case class folders; `named` files tell PublicTest from PrivateTest."""
    for number, folder in enumerate(FER_FOLDERS):
        picture(root / "train" / folder / f"Training_{number}.jpg", number)
        for usage in ("PublicTest", "PrivateTest"):
            picture(root / "test" / folder / (f"{usage}_{number}.jpg" if named else f"im{usage}{number}.jpg"), number + 50)


# --- AffectNet -----------------------------------------------------------------------------------------------

AFFECTNET_HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"


def affectnet_row(path: str, expression: object) -> str:
    """A row of the owner's lists; landmarks are 68 points between semicolons."""
    landmarks = ";".join(f"{place}.5;{place}.25" for place in range(68))
    return f"{path},10,10,60,60,{landmarks},{expression},0.25,-0.5"


def affectnet_lists(root: Path, header: bool = True) -> None:
    """`training.csv` with two rows of each expression 0..10, `validation.csv` with one of each 0..7, and their images."""
    for name, each, last in (("training.csv", 2, 11), ("validation.csv", 1, 8)):
        rows = [AFFECTNET_HEADER] if header else []
        for expression in range(last):
            for copy in range(each):
                path = f"{expression + 1}/{name[0]}{expression:02d}{copy}{'ab' * 26}.jpg"
                picture(root / "Manually_Annotated_Images" / path, 10 * expression + copy)
                rows.append(affectnet_row(path, expression))
        (root / name).write_text("\n".join(rows) + "\n")


def npy(value: object, **options: object) -> bytes:
    """A .npy file in memory."""
    stream = io.BytesIO()
    np.save(stream, np.array(value, **options))  # type: ignore[call-overload]
    return stream.getvalue()


def affectnet_arrays(root: Path) -> None:
    """`train_set` (two faces of each class) and `val_set` (one), expressions as text in arrays without dimension."""
    for folder, each in (("train_set", 2), ("val_set", 1)):
        annotations = root / folder / "annotations"
        annotations.mkdir(parents=True)
        for number in range(8 * each):
            picture(root / folder / "images" / f"{number}.jpg", number)
            for part, value in (("exp", str(number % 8)), ("val", "0.25"), ("aro", "-0.5")):
                (annotations / f"{number}_{part}.npy").write_bytes(npy(value))


# --- ExpW ----------------------------------------------------------------------------------------------------


def expw(root: Path) -> Path:
    """Two photographs of 100 x 80 pixels with four and three faces, each box filled with a grey of its own."""
    images = root / "image/origin"
    images.mkdir(parents=True)
    lines = []
    for photo, faces in (("angry_actor_1.jpg", (0, 1, 2, 3)), ("happy_crowd_2.jpg", (4, 5, 6))):
        canvas = Image.new("RGB", (100, 80), (255, 255, 255))
        for place, expression in enumerate(faces):
            left, top = 5 + 24 * place, 10 + 5 * place
            canvas.paste((30 * expression,) * 3, (left, top, left + 20, top + 30))
            lines.append(f"{photo} {place} {top} {left} {left + 20} {top + 30} {20 + 10 * place}.5 {expression}\n")
        canvas.save(images / photo, quality=95)
    labels = root / "label/label.lst"
    labels.parent.mkdir()
    labels.write_text("".join(lines))
    return labels


# --- SFEW 2.0 ------------------------------------------------------------------------------------------------

SFEW_FOLDERS = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")


def sfew(root: Path) -> None:
    """Frames in `Train/<Class>` and `Val/<Class>`, aligned faces below them (one frame of Val has none), `Test` unlabelled."""
    for side, number in (("Train", 1), ("Val", 2)):
        for place, folder in enumerate(SFEW_FOLDERS):
            name = f"Film{place}_00{number}_0001.png"
            picture(root / side / folder / name, place, (30, 20))
            if (side, folder) != ("Val", "Fear"):
                picture(root / side / f"{side}_Aligned_Faces" / folder / name, place)
    for number in range(3):
        picture(root / "Test" / f"Film_{number}.png", number)


# --- FER+ ----------------------------------------------------------------------------------------------------

VOTES: Mapping[str, Sequence[int]] = {
    "neutral": (8, 1, 0, 0, 0, 0, 0, 0, 1, 0),
    "happiness": (0, 10, 0, 0, 0, 0, 0, 0, 0, 0),
    "surprise": (0, 0, 7, 0, 0, 0, 3, 0, 0, 0),
    "sadness": (2, 0, 0, 6, 1, 0, 1, 0, 0, 0),
    "anger": (0, 0, 0, 0, 9, 1, 0, 0, 0, 0),
    "disgust": (0, 0, 0, 0, 3, 7, 0, 0, 0, 0),
    "fear": (0, 0, 3, 0, 0, 0, 7, 0, 0, 0),
    "contempt": (2, 0, 0, 0, 0, 0, 0, 8, 0, 0),
}
"""Votes that both rules agree on."""

TIE = (4, 0, 0, 4, 0, 0, 0, 0, 2, 0)
"""Neutral, as the first column; no majority."""

UNCLEAR = (0, 1, 0, 2, 0, 0, 0, 0, 7, 0)
"""Sadness among the eight; a majority for "unknown"."""


def ferplus(root: Path) -> None:
    """`FER2013{Train,Valid,Test}` with label.csv (no header, the box in quotes): one face of each emotion, a tie, an unclear one."""
    number = 0
    for folder in ("FER2013Train", "FER2013Valid", "FER2013Test"):
        lines = []
        for votes in (*VOTES.values(), TIE, UNCLEAR):
            name = f"fer{number:07d}.png"
            picture(root / folder / name, number, (48, 48))
            lines.append(f'{name},"(0, 0, 48, 48)",{",".join(map(str, votes))}\n')
            number += 1
        (root / folder / "label.csv").write_text("".join(lines))
