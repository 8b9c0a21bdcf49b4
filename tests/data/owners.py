"""One folder with small fake copies of all the sets that the Facial-R1 mixes are made of. Every picture is another one."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.data.sources import emotion_sets, layouts_au

AMOUNTS = {
    "faba.amount": 8,
    "bp4d.amount": 6,
    "bp4d.test_amount": 2,
    "disfa.amount": 4,
    "disfa.test_amount": 2,
    "affectnet.amount": 8,
    "raf_db.amount": 7,
}
"""What facial_r1_stage2 takes of such small sets."""

SMALL = [f"data.sources.{key}={amount}" for key, amount in AMOUNTS.items()]


def face(path: Path, seed: int | None = None) -> Path:
    """A picture of soft random shapes, 48 x 48, that depends on its name (or on `seed`) alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(zlib.crc32(path.name.encode()) if seed is None else seed).integers(
        0, 256, (8, 8, 3), dtype=np.uint8
    )
    Image.fromarray(noise).resize((48, 48), Image.Resampling.BICUBIC).save(path)
    return path


def owners(root: Path) -> Path:
    """All the sets below `root`."""
    _faba(root)
    frames = [{12: 2}, {4: 1}, {}, {6: 3, 12: 3}, {1: 2}, {25: 4}]
    layouts_au.disfa(root / "DISFA", dict.fromkeys(("SN001", "SN002", "SN024", "SN025"), frames))
    coded = {number: {12: number % 2, 4: int(number % 3 == 0)} for number in range(1, 9)}
    layouts_au.bp4d(root / "BP4D", dict.fromkeys((("F001", "T1"), ("F003", "T1"), ("F007", "T1")), coded))
    names = [f"{number:04d}" for number in range(30)]
    shares = {name: tuple(float(place == index % 6) for place in range(6)) for index, name in enumerate(names)}
    layouts_au.raf_au(root / "RAF-AU", {name: "4+L12+25" if int(name) % 2 else "1+2" for name in names}, shares)
    emotion_sets.raf_db(root / "RAF-DB")
    emotion_sets.affectnet_lists(root / "AffectNet")
    emotion_sets.fer2013_csv(root / "FER2013")
    emotion_sets.expw(root / "ExpW")
    for path in sorted(root.rglob("*.jpg")):
        face(path, zlib.crc32(str(path.relative_to(root)).encode()))
    return root


def _faba(root: Path) -> None:
    texts = ["AU4 and AU9", "AU6 and AU12", "AU1, AU2 and AU26", "AU43"]
    feelings = ["It is disgust.", "A smile of joy.", "It is surprise.", "It is sadness."]
    lists: dict[str, list[dict[str, Any]]] = {"train_au": [], "train_emotion": [], "eval_au": [], "eval_emotion": []}
    for number in range(1, 17):
        place = min(3, number % 5)
        lists["train_au"].append(layouts_au.faba_row("train", number, "Which action units?", texts[place]))
        lists["train_emotion"].append(layouts_au.faba_row("train", number, "What is the emotion?", feelings[place]))
    for number in range(20, 24):
        lists["eval_au"].append(layouts_au.faba_row("eval", number, "Which units?", "AU1", label="6, 12", gpt4="AU6, AU12"))
        lists["eval_emotion"].append(layouts_au.faba_row("eval", number, "Which emotion?", "Joy", label=0, gpt4="Joy"))
    layouts_au.faba(root, lists)


def published(root: Path) -> Path:
    """The FEA-20K files beside the sets: four train rows of each set, two test rows of three of them."""
    folder = root / "FEA-20K"
    face(root / "FER2013/images/image_1.jpg")
    train = {
        "FABA-Train-gpt": [f"{layouts_au.HASH}{number}.jpg" for number in range(1, 5)],
        "RAF-AU-Train-gpt": [f"{number:04d}_aligned.jpg" for number in range(4)],
        "DISFA-Train-3-gpt": [f"LeftVideoSN001_comp_{number:04d}.jpg" for number in range(1, 5)],
        "BP4D-gpt-c-Train": [f"F003_T1_{number}.jpg" for number in range(1, 5)],
        "ExpW-Train-1000-gpt-c": ["angry_actor_1.jpg", "happy_crowd_2.jpg"],
        "FER2013-Train-1000-gpt-c": ["image_1.jpg"],
        "AffectNet-Train-1000-gpt-c": [path.name for path in sorted((root / "AffectNet").rglob("t*.jpg"))[:4]],
        "RAF-DB-Train-1000-gpt-c": [f"train_{number:05d}_aligned.jpg" for number in range(1, 5)],
    }
    test = {
        "RAF-AU-Test": ["0010_aligned.jpg", "0011_aligned.jpg"],
        "DISFA-Test-clean": ["LeftVideoSN024_comp_0001.jpg", "LeftVideoSN024_comp_0002.jpg"],
        "FABA-Test-gpt": [f"{layouts_au.HASH}20.jpg", f"{layouts_au.HASH}21.jpg"],
    }
    for suffix, files in (("_stage1", train), ("", test)):
        for name, images in files.items():
            coded = any(word in name for word in ("FABA", "RAF-AU", "DISFA", "BP4D"))
            felt = not any(word in name for word in ("DISFA", "BP4D"))
            rows = [layouts_au.fea_row(image, ["AU12"] if coded else [], "happiness" if felt else "") for image in images]
            layouts_au.fea_file(folder / f"{name}{suffix}.jsonl", rows)
    return root
