"""The drawn faces as an ordinary dataset: PNG files, two JSONL files and a card, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facial_r1.data.schematic.drawing import draw
from facial_r1.data.schematic.faces import TEST_PEOPLE, TRAIN_PEOPLE, VERSION, face
from facial_r1.data.schematic.records import DATASET, to_record
from facial_r1.errors import InputError

CARD = "dataset.json"
"""Summary of the folder; it is there only when everything else is."""

TEST_START = 7 * 10**8
"""Index of the first test face: test faces share no index with training faces. A multiple of seven, for the balance."""

_CHUNK = 64
_OURS = {"images", "train.jsonl", "test.jsonl", CARD}


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the content of a folder. ``workers`` is not among it."""

    seed: int
    train: int
    test: int
    instructions: int
    size: int
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class _Job:
    folder: str
    settings: Settings
    split: str
    start: int
    stop: int


def materialise(
    folder: Path,
    seed: int,
    train: int = 4000,
    test: int = 500,
    instructions: int = 400,
    size: int = 112,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Draw the data set into a folder, or find it there.

    The folder holds ``images/train``, ``images/test`` (PNG), ``train.jsonl``, ``test.jsonl`` (published record form, image
    paths relative to the folder) and ``dataset.json``. It is written beside and renamed when complete. A complete folder of
    the same settings is returned at once; one of other settings or with files missing is drawn again.

    Args:
        folder: Where to write.
        seed: Non-negative seed; content depends on it and on the four numbers below, on nothing else.
        train: Faces of the training split, of `TRAIN_PEOPLE`.
        test: Faces of the test split, of `TEST_PEOPLE`.
        instructions: How many training rows, the first ones, carry a description. All test rows do.
        size: Side of the pictures in pixels, 28..1024.
        workers: Processes that draw.
        progress: Called with (faces done, faces in all) now and then.

    Returns:
        The content of ``dataset.json``: settings, counts per split, emotion and action unit, and ``fingerprint``, a SHA-256 over
        all records and pixels.

    Raises:
        InputError: Impossible settings, or a folder that holds files of somebody else.
    """
    settings = Settings(seed=seed, train=train, test=test, instructions=instructions, size=size)
    _check(settings, workers)
    folder = Path(folder)
    found = _complete(folder, settings)
    if found is not None:
        return found
    _refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    fresh = folder.with_name(f".{folder.name}.unfinished-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        card = _write(fresh, settings, workers, progress)
        if folder.exists():
            shutil.rmtree(folder)
        fresh.replace(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return card


def _check(settings: Settings, workers: int) -> None:
    for name, low, high in (
        ("seed", 0, 2**62),
        ("train", 1, TEST_START),
        ("test", 0, TEST_START),
        ("instructions", 0, settings.train),
        ("size", 28, 1024),
    ):
        value = getattr(settings, name)
        if not low <= value <= high:
            raise InputError(f"data=schematic: {name}={value} is outside {low}..{high}; choose a value within")
    if workers < 1:
        raise InputError(f"data=schematic: workers={workers}; at least one process has to draw")


def _complete(folder: Path, settings: Settings) -> dict[str, Any] | None:
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if card["settings"] != asdict(settings):
            return None
        for split in ("train", "test"):
            text = (folder / f"{split}.jsonl").read_bytes()
            if hashlib.sha256(text).hexdigest() != card["files"][f"{split}.jsonl"]:
                return None
            with os.scandir(folder / "images" / split) as entries:
                if sum(entry.name.endswith(".png") for entry in entries) != getattr(settings, split):
                    return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(card)


def _refuse_foreign(folder: Path) -> None:
    if not folder.exists():
        return
    strangers = sorted(entry.name for entry in folder.iterdir() if entry.name not in _OURS) if folder.is_dir() else [folder.name]
    if strangers:
        raise InputError(
            f"{folder}: holds files that the drawn faces do not consist of ({', '.join(strangers[:3])}); they would be replaced. "
            "Name another folder, or empty this one"
        )


def _remove_leftovers(folder: Path) -> None:
    """Remove what runs that were killed have left beside the folder; those of living processes stay."""
    prefix = f".{folder.name}.unfinished-"
    for entry in folder.parent.glob(f"{prefix}*"):
        number = entry.name.removeprefix(prefix)
        if number.isdigit() and not _alive(int(number)):
            shutil.rmtree(entry, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write(fresh: Path, settings: Settings, workers: int, progress: Callable[[int, int], None] | None) -> dict[str, Any]:
    for split in ("train", "test"):
        (fresh / "images" / split).mkdir(parents=True)
    jobs = [
        _Job(str(fresh), settings, split, start, min(start + _CHUNK, getattr(settings, split)))
        for split in ("train", "test")
        for start in range(0, getattr(settings, split), _CHUNK)
    ]
    fingerprint = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    lines: dict[str, list[str]] = {"train": [], "test": []}
    total, done = settings.train + settings.test, 0
    for job, rows in zip(jobs, _results(jobs, workers), strict=True):
        for line, digest in rows:
            lines[job.split].append(line)
            fingerprint.update(digest)
        done += len(rows)
        if progress is not None:
            progress(done, total)
    files = {}
    for split, rows_of_split in lines.items():
        text = "".join(rows_of_split).encode()
        (fresh / f"{split}.jsonl").write_bytes(text)
        files[f"{split}.jsonl"] = hashlib.sha256(text).hexdigest()
    card = {
        "dataset": DATASET,
        "settings": asdict(settings),
        "seed": settings.seed,
        "version": settings.version,
        "splits": {split: _counts(rows_of_split) for split, rows_of_split in lines.items()},
        "files": files,
        "fingerprint": fingerprint.hexdigest(),
    }
    (fresh / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


def _results(jobs: list[_Job], workers: int) -> Iterator[list[tuple[str, bytes]]]:
    if workers == 1 or len(jobs) < 2:
        yield from map(_draw_chunk, jobs)
        return
    # Forking a process that may hold threads of torch is unsafe; spawned processes start clean.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        yield from pool.map(_draw_chunk, jobs)


def _draw_chunk(job: _Job) -> list[tuple[str, bytes]]:
    """Draw and write some faces; return each one's JSON line and a digest of its record and pixels."""
    settings = job.settings
    first, people = (0, TRAIN_PEOPLE) if job.split == "train" else (TEST_START, TEST_PEOPLE)
    rows = []
    for number in range(job.start, job.stop):
        one = face(settings.seed, first + number, people)
        image = f"images/{job.split}/{number:06d}.png"
        described = job.split == "test" or number < settings.instructions
        record = to_record(one, f"{DATASET}-{job.split}-{number:06d}", image, job.split, described)
        picture = draw(one, settings.size)
        # Files differ between versions of the compressor, so the digest is over pixels.
        picture.save(Path(job.folder) / image, "PNG", compress_level=1)
        line = json.dumps(record, ensure_ascii=False) + "\n"
        rows.append((line, hashlib.sha256(line.encode() + picture.tobytes()).digest()))
    return rows


def _counts(lines: list[str]) -> dict[str, Any]:
    rows = [json.loads(line) for line in lines]
    units = Counter(unit for row in rows for unit in row["AUs"])
    return {
        "rows": len(rows),
        "described": sum(bool(row["description"]) for row in rows),
        "subjects": len({row["subject"] for row in rows}),
        "occluded": sum(row["meta_info"]["occluded"] for row in rows),
        "conflicting": sum(row["meta_info"]["conflicting"] for row in rows),
        "emotions": dict(sorted(Counter(row["labels"][0] for row in rows).items())),
        "AUs": dict(sorted(units.items(), key=lambda item: int(item[0][2:]))),
    }
