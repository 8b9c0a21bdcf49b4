"""What clips there are, in numbers: who has video, sound and words, how long they last, and what is wrong with the files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from facial_r1.data.media.checking import looks_of, media_of, uses_of
from facial_r1.data.media.errors import MediaError
from facial_r1.data.media.probing import probe
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record

SILENT = "silent, every sample zero"
STILL = "still, the picture never changes"

_PLACE = re.compile(r"^\S.*?\.\w{2,5}: (?=\S)")
_NUMBER = re.compile(r"\d[\d.,]*")
_NAME = re.compile(r" '[^']*'|\[Errno -?\d+\] ")


@dataclass(frozen=True)
class Overview:
    """Counts over records with video or sound, those that were refused among `faults` only.

    Attributes:
        rows: Records; with `videos`, `sounds` and `transcripts` of them.
        seconds: Length of each record's video, else of its sound; those whose files say none are left out.
        faults: Files, or rows that were left out, by what is wrong with them; most frequent first.
    """

    rows: int
    videos: int
    sounds: int
    transcripts: int
    seconds: tuple[float, ...] = ()
    faults: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For summary.json: the counts, and shortest, middle and longest length with the histogram."""
        ordered = sorted(self.seconds)
        edges, counts = histogram(self.seconds)
        length = {}
        if ordered:
            length = {"shortest": ordered[0], "median": ordered[len(ordered) // 2], "longest": ordered[-1], "total": sum(ordered)}
        return {
            "rows": self.rows,
            "video": self.videos,
            "sound": self.sounds,
            "transcript": self.transcripts,
            "seconds": {name: round(value, 2) for name, value in length.items()},
            "histogram": {"edges": edges, "counts": counts},
            "faults": self.faults,
        }


def overview(records: Sequence[Record], problems: Iterable[Problem] = ()) -> Overview:
    """Count records, and look at each of their files (what was looked at before is not opened again).

    Args:
        records: Sound records; those without video and sound count where they have a transcript.
        problems: Of rows that were left out; those of `video` and `audio` are counted.
    """
    faults: Counter[str] = Counter(
        general_reason(problem.reason) for problem in problems if problem.field in ("video", "audio") and not problem.whole_file
    )
    rows = [record for record in records if record.video or record.audio or record.transcript]
    uses = dict.fromkeys(use for record in rows for use in uses_of(record))
    heard = {record.audio for record in rows}
    for (path, kind), look in looks_of(list(uses), listen=True).items():
        if isinstance(look, MediaError):
            faults[general_reason(look.reason)] += 1
            continue
        if look.silent and path in heard:
            faults[SILENT] += 1
        if look.still and kind == "video":
            faults[STILL] += 1
    return Overview(
        len(rows),
        sum(bool(record.video) for record in rows),
        sum(bool(record.audio) for record in rows),
        sum(bool(record.transcript.strip()) for record in rows),
        tuple(seconds for record in rows if media_of(record) and (seconds := _seconds(record)) > 0),
        dict(faults.most_common()),
    )


def _seconds(record: Record) -> float:
    try:
        return probe(record.video or record.audio).seconds
    except MediaError:
        return 0.0


def general_reason(reason: str) -> str:
    """What is wrong, without the file's name, numbers and remarks, so that equal faults are counted together.

    >>> general_reason("/data/a.wav: the header promises 1,044 bytes, there are 500")
    'the header promises N bytes, there are N'
    """
    short = _NAME.sub("", _PLACE.sub("", reason, count=1)).partition(";")[0]
    return _NUMBER.sub("N", short)


def histogram(seconds: Sequence[float], bins: int = 20) -> tuple[list[float], list[int]]:
    """Edges and counts of parts of equal, round width that begin at 0; a part is [low, high). Without lengths, both are empty.

    >>> histogram([0.5, 1.5, 1.6, 9.9], bins=10)
    ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0], [1, 2, 0, 0, 0, 0, 0, 0, 0, 1])
    """
    if not seconds:
        return [], []
    longest = max(seconds)
    steps = [part * 10.0**power for power in range(-2, 5) for part in (1, 2, 5)]
    step = next((step for step in steps if longest / step < bins), steps[-1])
    count = int(longest / step + 1e-9) + 1
    counts = [0] * count
    for value in seconds:
        counts[min(int(value / step + 1e-9), count - 1)] += 1
    return [round(place * step, 4) for place in range(count + 1)], counts
