"""Rows as a list that knows what was left out, its counts and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

from facial_r1.data.images import digest
from facial_r1.data.problems import Problem, skipped_rows
from facial_r1.data.record import Record


@dataclass(frozen=True)
class Records(Sequence[Record]):
    """Records of one or several files, in file order, with what was left out.

    Attributes:
        records: the sound rows.
        skipped: problems of the rows left out under `on_error="skip"`; empty otherwise.
        invalid_by_file: number of rows of each file that were left out because they say `is_valid: false`.
        notes: what the reader should know, for example ids that were made unique.
        files: the files read.
        digests: digest by image path, where the images were checked.
    """

    records: list[Record]
    skipped: list[Problem] = field(default_factory=list)
    invalid_by_file: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict, repr=False)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    @property
    def invalid(self) -> int:
        """Number of rows left out because they say `is_valid: false`."""
        return sum(self.invalid_by_file.values())

    @cached_property
    def fingerprint(self) -> str:
        """See `fingerprint`."""
        return fingerprint(self.records, self.digests)

    def summary(self) -> dict[str, Any]:
        """Counts of rows, subjects, images, datasets, labels, AUs, descriptions, and of what was left out."""
        return summarise(self.records) | {
            "skipped": skipped_rows(self.skipped),
            "invalid": self.invalid,
            "files": list(self.files),
        }


def summarise(records: Iterable[Record]) -> dict[str, Any]:
    """Counts of rows, distinct ids, subjects and images; of rows by dataset, label and AU; of annotated rows.

    `labels` counts the first label of a row. `coded` counts the rows whose AUs were coded. `videos` and `sounds` are there where
    rows have any.
    """
    rows = list(records)
    labels = Counter(record.labels[0] for record in rows if record.labels)
    units = Counter(code for record in rows for code in record.AUs or ())
    media = {
        "videos": len({record.video for record in rows if record.video}),
        "sounds": len({record.audio for record in rows if record.audio}),
    }
    return {
        "rows": len(rows),
        "ids": len({record.id for record in rows}),
        "subjects": len({record.subject for record in rows if record.subject is not None}),
        "images": len({path for record in rows for path in record.images}),
        "datasets": dict(sorted(Counter(record.dataset for record in rows).items())),
        "labels": dict(sorted(labels.items())),
        "AUs": dict(sorted(units.items(), key=lambda item: int(item[0].removeprefix("AU")))),
        "labelled": sum(labels.values()),
        "coded": sum(record.AUs is not None for record in rows),
        "described": sum(bool(record.description) for record in rows),
    } | {name: count for name, count in media.items() if count}


def fingerprint(records: Iterable[Record], digests: Mapping[str, str] | None = None) -> str:
    """sha256 of what the records say and show, 64 hexadecimal digits.

    Equal for equal content wherever it lies and in whatever order the rows and files come; repeats count.
    Images enter by a digest of their byte size and their first and last 4 KiB, not by path or time, so that
    300,000 of them take seconds.

    Args:
        digests: digest by image path where known; the rest is read.
    """
    known = dict(digests or {})
    rows = []
    for record in records:
        media = {name: path for name, path in (("video", record.video), ("audio", record.audio)) if path}
        for path in (*record.images, *media.values()):
            if path not in known:
                known[path] = digest(path)
        row = record.to_json() | {"image": [known[path] for path in record.images]}
        row |= {name: known[path] for name, path in media.items()}
        text = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
        rows.append(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return hashlib.sha256(b"".join(sorted(rows))).hexdigest()
