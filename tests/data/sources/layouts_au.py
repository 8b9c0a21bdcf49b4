"""Small fake copies of action unit datasets, laid out as their owners do. Faults are added by the tests that are about them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

DISFA_UNITS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
BP4D_COLUMNS = (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 27, 28, 30, 31, 32, 33, 34)
BP4D_UNITS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
GFT_UNITS = (1, 2, 4, 6, 10, 12, 14, 15, 23, 24)
HASH = "4dfc35e0be3712362e8795bf27fe332cbd809e08a19340d935d4ec5"


@cache
def jpeg() -> bytes:
    """A small sound photograph."""
    stream = io.BytesIO()
    Image.new("RGB", (32, 24), (120, 90, 80)).save(stream, "JPEG")
    return stream.getvalue()


def picture(path: Path) -> Path:
    """Write a photograph."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg())
    return path


def text(path: Path, lines: Iterable[str]) -> Path:
    """Write lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def disfa_labels(root: Path, subject: str, frames: Sequence[Mapping[int, int]]) -> None:
    """Twelve files of a person: `frames[i]` maps action units to the intensity in frame i + 1, 0 for those left out."""
    for unit in DISFA_UNITS:
        lines = [f"{number},{coded.get(unit, 0)}" for number, coded in enumerate(frames, start=1)]
        text(root / "ActionUnit_Labels" / subject / f"{subject}_au{unit}.txt", lines)


def disfa(root: Path, subjects: Mapping[str, Sequence[Mapping[int, int]]], cameras: Sequence[str] = ("Left",)) -> Path:
    """DISFA with frames extracted as the documentation says."""
    for subject, frames in subjects.items():
        disfa_labels(root, subject, frames)
        for camera in cameras:
            clip = f"{camera}Video{subject}_comp"
            for number in range(1, len(frames) + 1):
                picture(root / "frames" / clip / f"{clip}_{number:04d}.jpg")
    return root


def bp4d_table(path: Path, rows: Mapping[int, Mapping[int, int]], columns: Sequence[int] = BP4D_COLUMNS) -> Path:
    """A table of occurrence: frame to coded units. Units left out are 0 when they are of the benchmark, else 9, as most are."""
    lines = [",".join(["0", *map(str, columns)])]
    for frame, coded in rows.items():
        values = [coded.get(unit, 0 if unit in BP4D_UNITS else 9) for unit in columns]
        lines.append(",".join(map(str, [frame, *values])))
    return text(path, lines)


def bp4d(root: Path, tasks: Mapping[tuple[str, str], Mapping[int, Mapping[int, int]]]) -> Path:
    """BP4D: tables and frames by person and task."""
    for (subject, task), rows in tasks.items():
        bp4d_table(root / "AUCoding" / "AU_OCC" / f"{subject}_{task}.csv", rows)
        for frame in rows:
            picture(root / "2D" / subject / task / f"{frame}.jpg")
    return root


def gft(root: Path, people: Mapping[str, Sequence[Sequence[int]]]) -> Path:
    """GFT: one row of ten codes a frame, frames from 1."""
    for person, rows in people.items():
        lines = [",".join(["frame", *(f"AU{unit:02d}" for unit in GFT_UNITS)])]
        lines += [",".join(map(str, [number, *codes])) for number, codes in enumerate(rows, start=1)]
        text(root / "AU_Coding" / "occurrence" / f"{person}.csv", lines)
        for number in range(1, len(rows) + 1):
            picture(root / "frames" / person / f"{number:04d}.jpg")
    return root


def raf_au(root: Path, rows: Mapping[str, str], shares: Mapping[str, Sequence[float]] | None = None) -> Path:
    """RAF-AU: name to code, and RAF-ML's shares. As in the owner's file, some lines end in a blank."""
    text(
        root / "RAFAU_label.txt",
        [f"{name}.jpg {code}" + (" " if index % 3 else "") for index, (name, code) in enumerate(rows.items())],
    )
    for name in rows:
        picture(root / "aligned" / f"{name}_aligned.jpg")
    if shares is not None:
        lines = [f"{name}.jpg {' '.join(f'{value:.4f}' for value in values)}" for name, values in shares.items()]
        text(root / "RAF-ML" / "EmoLabel" / "distribution.txt", lines)
    return root


def faba_row(side: str, number: int, question: str, answer: str, **more: Any) -> dict[str, Any]:
    """One record of FABA-Instruct, about the picture with this number."""
    stem = f"AffectNet/AffectNet_v2/{number}/{HASH}{number}"
    return {
        "source": "AffectNet",
        "image": f"FABAInstruct/{side}/images/{stem}.jpg",
        "id": stem,
        "conversations": [{"from": "human", "value": f"{question}\n<image>"}, {"from": "gpt", "value": answer}],
        "landmark": f"FABAInstruct/{side}/landmarks/{stem}.npy",
        **more,
    }


def faba(root: Path, lists: Mapping[str, Sequence[Mapping[str, Any]]]) -> Path:
    """FABA-Instruct in `root`/FABAInstruct. Lists are called train_au, train_emotion, eval_au, eval_emotion; all are written."""
    for side in ("train", "eval"):
        for task in ("au", "emotion"):
            rows = lists.get(f"{side}_{task}", [])
            path = root / "FABAInstruct" / side / f"{side}_{task}_anno.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(list(rows), indent=2), encoding="utf-8")
            for row in rows:
                if isinstance(row.get("image"), str):
                    picture(root / row["image"])
    return root


def ck_plus(root: Path, sequences: Mapping[str, tuple[int, Mapping[int, int], int | None]]) -> Path:
    """CK+: "S005_001" to its length, the action units of its peak with intensities, and the emotion's id or None."""
    for name, (length, units, emotion) in sequences.items():
        subject, number = name.split("_")
        for frame in range(1, length + 1):
            picture(root / "cohn-kanade-images" / subject / number / f"{name}_{frame:08d}.png")
        peak = f"{name}_{length:08d}"
        lines = [f"   {unit:.7e}   {level:.7e}" for unit, level in units.items()]
        text(root / "FACS" / subject / number / f"{peak}_facs.txt", lines)
        (root / "Emotion" / subject / number).mkdir(parents=True, exist_ok=True)
        if emotion is not None:
            text(root / "Emotion" / subject / number / f"{peak}_emotion.txt", [f"   {emotion:.7e}"])
    return root


def fea_row(image: str, units: Sequence[str] = (), label: str = "", **more: Any) -> dict[str, Any]:
    """A published record."""
    return {
        "id": hashlib.md5(image.encode(), usedforsecurity=False).hexdigest(),
        "dataset": "",
        "image": image,
        "question": "What is the emotion of this face?",
        "AUs": list(units),
        "labels": [label],
        "description": "<think>The lip corners rise (AU12).</think><answer>happiness</answer>",
        "meta_info": {},
        **more,
    }


def fea_file(path: Path, rows: Iterable[Mapping[str, Any] | str]) -> Path:
    """A published annotation file; rows given as text are written as they are."""
    return text(path, [row if isinstance(row, str) else json.dumps(row) for row in rows])
