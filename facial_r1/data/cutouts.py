"""Faces as files of their own: cut from larger pictures by their boxes, or written from tables of grey values."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from PIL import Image

from facial_r1.data.identity import place
from facial_r1.data.images import ImageError, open_image
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record
from facial_r1.data.sources import Reading
from facial_r1.progress import progress_bar

_THREADS = 8
_AHEAD = 64
"""Source pictures that are in work at a time, so that a stop is answered soon."""


def write_pictures(
    folder: Path, reading: Reading, records: Sequence[Record], stop: Callable[[], None]
) -> tuple[list[Record], list[Problem]]:
    """Write the faces that `reading` gives by box or by grey values; those that are there already are left.

    Args:
        folder: Where to write; `<what follows the first "/" in the id>.<reading.suffix>`.
        records: The sound rows of the reading.
        stop: Called between pictures.

    Returns:
        The records in their order, showing the written pictures, and a problem for each whose box shows nothing or whose
        picture cannot be decoded; these are not among the records.
    """
    targets = {
        record.id: folder / f"{record.id.partition('/')[2] or record.id}.{reading.suffix}"
        for record in records
        if record.id in reading.crops or record.id in reading.pixels
    }
    if not targets:
        return list(records), []
    for parent in {target.parent for target in targets.values()}:
        parent.mkdir(parents=True, exist_ok=True)
    problems: list[Problem] = []
    for outcome in _in_threads(_jobs(reading, records, targets), len(targets), stop):
        problems += outcome
    for leftover in folder.rglob(".*.partial"):
        leftover.unlink()
    bad = {(problem.file, problem.line) for problem in problems}
    shown = [
        replace(record, images=(str(targets[record.id]),)) if record.id in targets else record
        for record in records
        if place(record) not in bad
    ]
    return shown, sorted(problems, key=lambda problem: (problem.file, problem.line))


_Job = tuple[int, Callable[[], list[Problem]]]


def _jobs(reading: Reading, records: Sequence[Record], targets: dict[str, Path]) -> Iterator[_Job]:
    """`(faces, work)` for each picture that faces are cut from, and for each table row."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.id in reading.crops:
            groups.setdefault(record.images[0], []).append(record)
        elif record.id in reading.pixels:
            yield 1, _decoding(reading, record, targets[record.id])
    for image, faces in groups.items():
        yield len(faces), _cutting(reading, image, faces, targets)


def _decoding(reading: Reading, record: Record, target: Path) -> Callable[[], list[Problem]]:
    def work() -> list[Problem]:
        if not target.exists():
            high, wide, levels = reading.pixels[record.id]
            _save(Image.frombytes("L", (wide, high), levels), target, quality=100)
        return []

    return work


def _cutting(reading: Reading, image: str, faces: Sequence[Record], targets: dict[str, Path]) -> Callable[[], list[Problem]]:
    def work() -> list[Problem]:
        missing = [record for record in faces if not targets[record.id].exists()]
        if not missing:
            return []
        try:
            picture = open_image(image, max_pixels=None)  # boxes are in the pixels of the whole picture
        except ImageError as error:
            return [Problem(*place(record), "image", f"{error.path}: {error.reason}", error.fix) for record in missing]
        problems = []
        for record in missing:
            left, top, right, bottom = reading.crops[record.id]
            box = (max(left, 0), max(top, 0), min(right, picture.width), min(bottom, picture.height))
            if box[0] >= box[2] or box[1] >= box[3]:
                given = f"left {left}, top {top}, right {right}, bottom {bottom}"
                reason = f"the box ({given}) is outside of the picture, {picture.width} x {picture.height} pixels"
                problems.append(Problem(*place(record), "box", reason, "mend or remove the line"))
                continue
            _save(picture.crop(box), targets[record.id], quality=95)
        return problems

    return work


def _save(picture: Image.Image, target: Path, quality: int) -> None:
    """Write beside the place, then rename: a killed process leaves no half picture under the name."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    if target.suffix == ".jpg":
        picture.save(partial, "JPEG", quality=quality, subsampling=0)
    else:
        picture.save(partial, "PNG")
    partial.replace(target)


def _in_threads(jobs: Iterator[_Job], total: int, stop: Callable[[], None]) -> Iterator[list[Problem]]:
    """Results of the jobs, in their order."""
    pool = ThreadPoolExecutor(_THREADS)
    waiting: list[tuple[int, Future[list[Problem]]]] = []
    try:
        with progress_bar(total, "writing faces", "faces") as advance:
            for size, work in jobs:
                waiting.append((size, pool.submit(work)))
                if len(waiting) >= _AHEAD:
                    stop()
                    done, future = waiting.pop(0)
                    yield future.result()
                    advance(done)
            for done, future in waiting:
                yield future.result()
                advance(done)
    finally:
        pool.shutdown(cancel_futures=True)
