"""GFT: groups of three strangers talking, occurrence of ten action units frame by frame.

Girard et al., *Sayette Group Formation Task (GFT) Spontaneous Facial Expression Database*, FG 2017: 96 people in 32 groups,
172,800 frames, ten units in the baselines. The names of files are general knowledge, not read from a copy of the set:
one table a person, called after group and seat (001A), the frame in the first column; what is not known is 9, -999 or empty.
The owner's partition (78 people to train, 18 to test) is not shipped here: `split` stays empty, and sides are cut by person.
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

BENCHMARK: tuple[str, ...] = tuple(f"AU{n}" for n in (1, 2, 4, 6, 10, 12, 14, 15, 23, 24))
"""The ten units of the baselines."""

_UNKNOWN = ("9", "-999", "-999.0", "", "nan", "NaN", "NA")
_TABLE = re.compile(r"(\d{3}[A-C])\w*\.csv", re.IGNORECASE)
_PICTURE = re.compile(r"(\d{3}[A-C])\w*[/_](?:\w*_)?(\d+)$", re.IGNORECASE)


@source(
    "gft",
    line="GFT: 96 people in conversation, occurrence of 10 action units, no emotion",
    layout="""
AU_Coding/occurrence/001A.csv     first column the frame, then one column an action unit: 0 absent, 1 present, 9 or -999 unknown
frames/001A/0001.jpg              frames that were extracted from the videos (also 001A_0001.jpg), in any folder
""",
)
def read(
    root: Path,
    unknown: Literal["exclude", "keep"] = "exclude",
    keep_empty: bool = True,
    every: int = 1,
) -> Reading:
    """Read GFT.

    Args:
        root: The folder that holds the tables and the frames, at any depth.
        unknown: What happens to frames in which one of the ten units is unknown: `exclude` leaves them out and counts them,
            `keep` takes what is known and lists the rest in `meta_info.unknown`.
        keep_empty: Whether frames without a present unit are kept; they carry `()`, coded with none active.
        every: Keep each n-th coded frame of a person, starting with the first.
    """
    at_least("every", every, 1)
    reading = Reading()
    tables: list[tuple[str, Path]] = []
    pictures: dict[str, dict[int, str]] = {}
    start = len(str(root))
    for folder, name in files_below(root):
        table = _TABLE.fullmatch(name)
        if table is not None and "intensity" not in f"{folder[start:]}/{name}".lower():
            tables.append((table[1].upper(), Path(folder, name)))
        elif is_picture(name):
            match = _PICTURE.search(f"{folder[start:]}/{name.rpartition('.')[0]}")
            if match is not None:
                pictures.setdefault(match[1].upper(), {})[int(match[2])] = f"{folder}/{name}"
    if not tables:
        raise layout_error("gft", root, "no table such as 001A.csv")
    if not pictures:
        raise layout_error("gft", root, "tables but no frame such as frames/001A/0001.jpg")
    for subject, path in sorted(tables):
        rows = read_occurrence(path, BENCHMARK, False, _UNKNOWN, reading.problems)
        found = pictures.get(subject)
        if found is None:
            fix = f"extract the frames of {subject}, or remove {path.name}"
            reading.problems.append(Problem(str(path), 0, "image", f"no frame of {subject} below {root}", fix))
            continue
        for row in rows[::every]:
            image = found.get(row.frame)
            if image is None:
                reading.excluded["no picture was extracted"] += 1
            elif row.unknown and (unknown == "exclude" or len(row.unknown) == len(BENCHMARK)):
                reading.excluded["one of the 10 action units is unknown"] += 1
            elif not row.present and not keep_empty:
                reading.excluded["no action unit present"] += 1
            else:
                reading.records.append(_record(row, subject, path, image))
        if every > 1:
            reading.excluded[f"not each {every}. frame"] += len(rows) - len(rows[::every])
    reading.excluded += Counter()
    return reading


def _record(row: Coded, subject: str, path: Path, image: str) -> Record:
    facts: dict[str, object] = {"frame": row.frame, "group": subject[:3]}
    if row.unknown:
        facts["unknown"] = list(row.unknown)
    return Record(
        id=f"gft/{subject}/{row.frame}",
        dataset="GFT",
        images=(image,),
        question="",
        AUs=tuple(sort_codes(row.present)),
        labels=(),
        subject=subject,
        meta_info=facts,
        source=f"{path}:{row.line}",
    )
