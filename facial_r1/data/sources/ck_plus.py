"""CK+: 593 posed sequences from neutral to peak, action units of the peak, an emotion for 327 of them.

Lucey et al., *The Extended Cohn-Kanade Dataset (CK+)*, CVPR Workshops 2010. Layout and ids as in the owner's ReadMe.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from facial_r1.affect import normalise_code, sort_codes
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record
from facial_r1.data.sources.listing import class_of, class_problem, words
from facial_r1.data.sources.pictures import files_below, is_picture
from facial_r1.data.sources.registry import Reading, layout_error, source

CLASSES = {0: "neutral", 1: "anger", 2: "contempt", 3: "disgust", 4: "fear", 5: "happiness", 6: "sadness", 7: "surprise"}
"""The owner's ids."""

_NAME = re.compile(r"(S\d{3})_(\d{3})_(\d+)(_facs\.txt|_emotion\.txt|\.\w+)", re.IGNORECASE)


@source(
    "ck_plus",
    line="CK+: 593 posed sequences of 123 people, action units of the peak, eight emotions for 327",
    layout="""
cohn-kanade-images/S005/001/S005_001_00000011.png          the last picture of a sequence is its peak
FACS/S005/001/S005_001_00000011_facs.txt                   lines "action unit, intensity" (0: not graded, 1 to 5)
Emotion/S005/001/S005_001_00000011_emotion.txt             one id from 0 to 7; 327 sequences have one
""",
)
def read(root: Path, onset: bool = False) -> Reading:
    """Read CK+: one record a sequence, its peak.

    Args:
        root: The folder that holds the three folders, at any depth.
        onset: Whether the first picture of each sequence is added as a neutral face. Nobody coded it: it has no AUs.
    """
    reading = Reading(official={} if onset else None)
    pictures: dict[tuple[str, str], dict[int, str]] = {}
    codings: dict[tuple[str, str], tuple[int, Path]] = {}
    emotions: dict[tuple[str, str], tuple[int, Path]] = {}
    for folder, name in files_below(root):
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        sequence, frame, ending = (match[1].upper(), match[2]), int(match[3]), match[4].lower()
        if is_picture(name):
            pictures.setdefault(sequence, {})[frame] = f"{folder}/{name}"
        elif ending == "_facs.txt":
            codings[sequence] = (frame, Path(folder, name))
        elif ending == "_emotion.txt":
            emotions[sequence] = (frame, Path(folder, name))
    if not codings:
        raise layout_error("ck_plus", root, "no file such as FACS/S005/001/S005_001_00000011_facs.txt")
    if not pictures:
        raise layout_error("ck_plus", root, "no picture such as cohn-kanade-images/S005/001/S005_001_00000011.png")
    reading.files += [path for _, path in emotions.values()]
    for sequence in pictures.keys() - codings.keys():
        reading.excluded["sequence without FACS file"] += 1
        reading.notes.append(f"{'_'.join(sequence)} has pictures but no FACS file")
    dropped: Counter[str] = Counter()
    for sequence, (frame, path) in sorted(codings.items()):
        frames = pictures.get(sequence, {})
        if frame not in frames:
            fix = "unpack the pictures again, or remove the file"
            reading.problems.append(Problem(str(path), 0, "image", f"no picture of frame {frame} below {root}", fix))
            continue
        coded = _coding(path, reading.problems)
        label = _emotion(sequence, emotions, frame, reading.problems)
        if coded is None or label is None:
            continue
        known = {code: level for code, level in coded.items() if normalise_code(code)}
        dropped.update(coded.keys() - known.keys())
        reading.records.append(_record(sequence, frames[frame], known, label or None, path))
        if onset and min(frames) != frame:
            reading.records.append(_record(sequence, frames[min(frames)], None, "neutral", path))
    if dropped:
        listed = ", ".join(f"{code} in {dropped[code]}" for code in sort_codes(dropped))
        reading.notes.append(f"codes that are no action units here were dropped: {listed} sequences")
    return reading


def _coding(path: Path, problems: list[Problem]) -> dict[str, int] | None:
    """Code to intensity, 0 where none was given; None after a problem. A file without lines is a face without action unit."""
    coded: dict[str, int] = {}
    for line, cells in words(path):
        try:
            unit, level = (float(cell) for cell in cells)
        except ValueError:
            unit, level = 0.5, 0.0
        if not unit.is_integer() or not 0 < unit < 1000 or not level.is_integer() or not 0 <= level <= 5:
            reason = f"{' '.join(cells)!r} is no action unit with an intensity"
            problems.append(Problem(str(path), line, "AUs", reason, "lines are like 4.0000000e+00 3.0000000e+00"))
            return None
        coded[normalise_code(int(unit)) or f"AU{int(unit)}"] = int(level)
    return coded


def _emotion(
    sequence: tuple[str, str], emotions: dict[tuple[str, str], tuple[int, Path]], frame: int, problems: list[Problem]
) -> str | None:
    """The emotion of a sequence, "" when it has none, None after a problem."""
    if sequence not in emotions:
        return ""
    labelled, path = emotions[sequence]
    rows = list(words(path))
    if not rows:  # some copies hold empty files for sequences without an emotion
        return ""
    line, cells = rows[0]
    label = class_of(cells[0], CLASSES) if len(cells) == 1 and len(rows) == 1 else None
    if label is None:
        problems.append(class_problem(path, line, " ".join(cells), CLASSES))
        return None
    if labelled != frame:
        reason = f"the emotion is of frame {labelled}, the action units of frame {frame}"
        problems.append(Problem(str(path), line, "frame", reason, "both belong to the last picture: unpack the labels again"))
        return None
    return label


def _record(sequence: tuple[str, str], image: str, coded: dict[str, int] | None, label: str | None, path: Path) -> Record:
    facts: dict[str, Any] = {"sequence": sequence[1], "frame": "onset" if coded is None else "peak"}
    if coded:
        facts["intensities"] = {code: coded[code] for code in sort_codes(coded)}
    return Record(
        id=f"ck_plus/{'_'.join(sequence)}" + ("/onset" if coded is None else ""),
        dataset="CK+",
        images=(image,),
        question="",
        AUs=None if coded is None else tuple(sort_codes(coded)),
        labels=() if label is None else (label,),
        subject=sequence[0],
        meta_info=facts,
        source=f"{path}:0",
    )
