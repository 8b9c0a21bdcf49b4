"""FER+ (Barsoum, Zhang, Canton Ferrer and Zhang, ICMI 2016): ten votes for each face of FER2013."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from facial_r1.data.problems import Problem
from facial_r1.data.sources.listing import face, first_folder, pictures, row_problem, table
from facial_r1.data.sources.registry import Reading, layout_error, source

EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The emotions in the owner's order of columns; "unknown" and "not a face" follow them."""

VOTED = (*EMOTIONS, "unknown", "not a face")
_FOLDERS = {"FER2013Train": "train", "FER2013Valid": "validation", "FER2013Test": "test"}
_MAJORITY = {"train": 25045, "validation": 3191, "test": 3137}
_COLUMNS = "image,box,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
_LAYOUT = """
  FER2013Train/label.csv, FER2013Train/fer0000000.png ...   name, box, ten votes (no header)
  FER2013Valid/label.csv, FER2013Valid/*.png
  FER2013Test/label.csv,  FER2013Test/*.png
(the pictures are written from fer2013.csv by src/generate_training_data.py of github.com/microsoft/FERPlus)
"""


@source("ferplus", "FER+: the faces of FER2013 with ten votes each, eight emotions", _LAYOUT)
def read(root: Path, rule: Literal["plurality", "majority"] = "plurality") -> Reading:
    """Read the votes of each folder and decide by `rule`; the votes are kept in `meta_info`.

    Args:
        rule: "plurality" of the eight emotions, the first column on ties; nothing is left out (FERBench's labels).
            "majority" is Microsoft's mode of that name: see `majority`; rows without one are left out. Figures under the two
            rules do not compare.

    Raises:
        InputError: no folder with a label.csv is there.
    """
    base = first_folder(root, "data", ".")
    base = base if base is not None and any((base / name / "label.csv").is_file() for name in _FOLDERS) else root
    found = {base / name: split for name, split in _FOLDERS.items() if (base / name / "label.csv").is_file()}
    if not found:
        raise layout_error("ferplus", root, "FER2013Train/label.csv and the like are missing")
    reading = Reading(official=_MAJORITY if rule == "majority" else None)
    for folder, split in found.items():
        if not pictures(folder):
            raise layout_error("ferplus", root, f"{folder} has its label.csv and no pictures")
        _read_folder(folder, split, rule, reading)
    return reading


def plurality(votes: Sequence[int]) -> str:
    """The emotion with the most of the first eight votes, the first of them on ties.

    >>> plurality([3, 0, 0, 0, 3, 0, 0, 0, 4, 0])
    'neutral'
    """
    return EMOTIONS[max(range(len(EMOTIONS)), key=lambda place: (votes[place], -place))]


def majority(votes: Sequence[int]) -> str | None:
    """What more than half of the votes say once single votes are removed; None when nothing, or no emotion, wins.

    >>> majority([1, 6, 0, 3, 0, 0, 0, 0, 0, 0])
    'happiness'
    >>> majority([5, 5, 0, 0, 0, 0, 0, 0, 0, 0]) is None
    True
    """
    kept = [vote if vote > 1 else 0 for vote in votes]
    most = max(kept)
    place = kept.index(most)
    return EMOTIONS[place] if most > sum(kept) / 2 and place < len(EMOTIONS) else None


def _read_folder(folder: Path, split: str, rule: str, reading: Reading) -> None:
    file = folder / "label.csv"
    for line, cells in table(file, reading.problems):
        if len(cells) != 2 + len(VOTED):
            reading.problems.append(row_problem(file, line, cells, _COLUMNS))
            continue
        if not all(cell.isdecimal() for cell in cells[2:]):
            reading.problems.append(Problem(str(file), line, "votes", "a vote is no whole number", f"a row is: {_COLUMNS}"))
            continue
        votes = [int(cell) for cell in cells[2:]]
        if not any(votes):
            reading.problems.append(Problem(str(file), line, "votes", "nobody voted", "remove the line"))
            continue
        label = plurality(votes) if rule == "plurality" else majority(votes)
        if label is None:
            reading.excluded["no majority for an emotion"] += 1
            continue
        name = cells[0]
        meta: dict[str, object] = {"votes": dict(zip(VOTED, votes, strict=True))}
        stem = name.rpartition(".")[0]
        reading.records.append(face("FERPlus", f"ferplus/{stem}", folder / name, label, split, f"{file}:{line}", meta))
