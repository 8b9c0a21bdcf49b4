"""The nine sets of MER-UniBench with two clips each, as their owners' folders are laid out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facial_r1.data.unibench import NINE, SETS

CORPORA: dict[str, dict[str, dict[str, Any]]] = {
    "mer2023": {"a": {"emo": "happy", "val": -10}, "b": {"emo": "worried", "val": -10}},
    "mer2024": {"a": {"emo": "sad", "val": -10}, "b": {"emo": "neutral", "val": -10}},
    "meld": {"a": {"emo": 1, "val": -10}, "b": {"emo": 2, "val": -10}},
    "iemocap": {"Ses05a": {"emo": 0, "val": 0}, "Ses05b": {"emo": 3, "val": 0}, "Ses01a": {"emo": 1, "val": 0}},
    "cmumosi": {"a": {"emo": 0, "val": 1.8}, "b": {"emo": 0, "val": -0.6}},
    "cmumosei": {"a": {"emo": 0, "val": np.float32(-1.0)}, "b": {"emo": 0, "val": 0}},
    "sims": {"a": {"emo": 0, "val": 0.4}, "b": {"emo": 0, "val": -1.0}},
    "simsv2": {"a": {"emo": 0, "val": np.float64(0.2)}, "b": {"emo": 0, "val": -0.8}},
}
"""What the label files hold of the test parts; the clips of OV-MERD+ are in `owners`."""

FOLDERS = {name: SETS[name].folder for name in NINE}


def archive(path: Path, **arrays: object) -> Path:
    """An .npz, in a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


def owners(root: Path, names: Iterable[str] = NINE) -> Path:
    """The label files of the sets `names` below `root`; another part beside the test part, and English subtitles of sims."""
    for name in names:
        file = root / SETS[name].files[0]
        if name == "ovmerdplus":
            file.parent.mkdir(parents=True)
            file.write_text("name,openset\na,\"['happy', 'at ease']\"\nb,\n")
            (file.parent / "subtitle_eng.csv").write_text("name,sentence\na,Well.\n")
        else:
            parts = {"train_corpus": {"t": {"emo": 0, "val": 1.0}}, SETS[name].part: CORPORA[name]}
            archive(file, **{part: np.array(clips, dtype=object) for part, clips in parts.items()})
        if name == "sims":
            (file.parent / "transcription-engchi-polish.csv").write_text("name,chinese,english\na,你好,Hello.\nb,好,\n")
    return root


def clips_of(name: str) -> list[str]:
    """The clips of a set's test part."""
    return [clip for clip in CORPORA.get(name, ("a", "b")) if not clip.startswith("Ses01")]


def frames(root: Path, names: Iterable[str] = NINE) -> None:
    """Two pictures of each clip, ``frames/<clip>/*.jpg`` in each owner's folder."""
    for name in names:
        for clip in clips_of(name):
            folder = root / FOLDERS[name] / "frames" / clip
            folder.mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (28, 28), (number, 9, 0)).save(folder / f"{number}.jpg")
