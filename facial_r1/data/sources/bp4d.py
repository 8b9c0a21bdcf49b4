"""BP4D: 41 people in eight tasks, occurrence of action units frame by frame.

Zhang et al., *BP4D-Spontaneous: a high-resolution spontaneous 3D dynamic facial expression database*, Image and Vision
Computing, 2014. A unit that the coders could not see, or that was not coded in a set, is written 9.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Literal

from facial_r1.affect import sort_codes
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record
from facial_r1.data.sources.occurrence import Coded, read_occurrence
from facial_r1.data.sources.options import at_least
from facial_r1.data.sources.pictures import files_below, is_picture
from facial_r1.data.sources.registry import Reading, layout_error, source

BENCHMARK: tuple[str, ...] = tuple(f"AU{n}" for n in (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24))
"""The twelve units that most papers report."""

_TABLE = re.compile(r"([FM]\d{3})_(T\d{1,2})\.csv", re.IGNORECASE)
_PICTURE = re.compile(r"([FM]\d{3})[/_](T\d{1,2})[/_](?:[FM]\d{3}_T\d{1,2}_)?(\d+)$", re.IGNORECASE)


@source(
    "bp4d",
    line="BP4D: 41 people in eight tasks, occurrence of 12 action units, no emotion",
    layout="""
AUCoding/AU_OCC/F001_T1.csv       first column the frame, then one column an action unit: 0 absent, 1 present, 9 unknown
2D/F001/T1/2440.jpg               frames (also 02440.jpg, F001_T1_2440.jpg), in any folder
""",
)
def read(
    root: Path,
    action_units: Literal["benchmark", "all"] = "benchmark",
    unknown: Literal["exclude", "keep"] = "exclude",
    keep_empty: bool = True,
    every: int = 1,
) -> Reading:
    """Read BP4D.

    Args:
        root: The folder that holds the tables and the frames, at any depth.
        action_units: benchmark for the twelve, all for every column that FACS knows (the others are 9 in most frames).
        unknown: What happens to frames with a 9 among the twelve: `exclude` leaves them out and counts them, `keep` takes
            what is known. Whatever is unknown is listed in `meta_info.unknown`: such units are neither present nor absent.
        keep_empty: Whether frames without a present unit are kept; they carry `()`, coded with none active.
        every: Keep each n-th coded frame of a task, starting with the first.
    """
    at_least("every", every, 1)
    reading = Reading(official=None if keep_empty and every == 1 else {})
    tables: list[tuple[str, str, Path]] = []
    pictures: dict[tuple[str, str], dict[int, str]] = {}
    start = len(str(root))
    for folder, name in files_below(root):
        table = _TABLE.fullmatch(name)
        if table is not None:
            tables.append((table[1].upper(), table[2].upper(), Path(folder, name)))
        elif is_picture(name):
            match = _PICTURE.search(f"{folder[start:]}/{name.rpartition('.')[0]}")
            if match is not None:
                frames = pictures.setdefault((match[1].upper(), match[2].upper()), {})
                frames[int(match[3])] = f"{folder}/{name}"
    if not tables:
        raise layout_error("bp4d", root, "no table such as AU_OCC/F001_T1.csv")
    if not pictures:
        raise layout_error("bp4d", root, "tables but no frame such as F001/T1/2440.jpg")
    for subject, task, path in sorted(tables):
        rows = read_occurrence(path, BENCHMARK, action_units == "all", ("9",), reading.problems)
        found = pictures.get((subject, task))
        if found is None:
            fix = f"unpack the frames of {subject}, {task}, or remove {path.name}"
            reading.problems.append(Problem(str(path), 0, "image", f"no frame of {subject}, {task} below {root}", fix))
            continue
        reading.excluded["picture without coding"] += len(found.keys() - {row.frame for row in rows})
        for row in rows[::every]:
            image = found.get(row.frame)
            if image is None:
                fix = f"unpack the frames of {subject}, {task} again, or remove the line"
                reason = f"no picture of frame {row.frame} beside {next(iter(found.values()))}"
                reading.problems.append(Problem(str(path), row.line, "image", reason, fix))
            elif not _left_out(row, unknown, keep_empty, reading.excluded):
                reading.records.append(_record(row, subject, task, path, image))
        if every > 1:
            reading.excluded[f"not each {every}. frame"] += len(rows) - len(rows[::every])
    reading.excluded += Counter()  # drops the reasons that left out nothing
    return reading


def _left_out(row: Coded, unknown: str, keep_empty: bool, excluded: Counter[str]) -> bool:
    hidden = sum(code in BENCHMARK for code in row.unknown)
    if hidden and unknown == "exclude":
        excluded["9 (unknown) for one of the 12 benchmark action units"] += 1
    elif hidden == len(BENCHMARK) and not row.present:
        excluded["9 (unknown) for all of the 12 benchmark action units"] += 1
    elif not row.present and not keep_empty:
        excluded["no action unit present"] += 1
    else:
        return False
    return True


def _record(row: Coded, subject: str, task: str, path: Path, image: str) -> Record:
    facts: dict[str, object] = {"task": task, "frame": row.frame}
    if row.unknown:
        facts["unknown"] = list(row.unknown)
    return Record(
        id=f"bp4d/{subject}/{task}/{row.frame}",
        dataset="BP4D",
        images=(image,),
        question="",
        AUs=tuple(sort_codes(row.present)),
        labels=(),
        subject=subject,
        meta_info=facts,
        source=f"{path}:{row.line}",
    )
