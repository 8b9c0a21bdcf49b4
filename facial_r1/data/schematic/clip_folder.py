"""The drawn clips as an ordinary dataset: MP4 and WAV files, two JSONL files and a card; a killed drawing goes on where it was."""

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
from typing import TYPE_CHECKING, Any

import numpy as np

from facial_r1 import atomic
from facial_r1.data.drawn import cache_folder, exclusive
from facial_r1.data.locate import absolute
from facial_r1.data.schematic.clip_files import write_sound, write_video
from facial_r1.data.schematic.clip_records import DATASET, clip_record
from facial_r1.data.schematic.clips import CARRIERS, VERSION, draw_clip, random_spec
from facial_r1.data.schematic.dataset import TEST_START
from facial_r1.data.schematic.faces import TEST_PEOPLE, TRAIN_PEOPLE
from facial_r1.data.schematic.faces import VERSION as FACES
from facial_r1.errors import InputError
from facial_r1.progress import progress_bar

if TYPE_CHECKING:
    from facial_r1.config.media_schema import Clips
    from facial_r1.config.schema import Schematic

CARD = "dataset.json"
"""Summary of the folder; it is there only when everything else is."""

_CHUNK = 32
_OURS = {"clips", "train.jsonl", "test.jsonl", CARD}
_PARTS = "parts"


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the content of a folder."""

    seed: int
    train: int
    test: int
    instructions: int
    size: int
    seconds: float
    fps: float
    carriers: dict[str, float]
    version: str = f"{VERSION}.{FACES}"


@dataclass(frozen=True, slots=True)
class _Job:
    folder: str
    settings: Settings
    split: str
    start: int
    stop: int

    @property
    def part(self) -> Path:
        """The file that says that this is done, with its rows."""
        return Path(self.folder) / _PARTS / f"{self.split}-{self.start:06d}.json"


def drawn_clips(schematic: Schematic, clips: Clips, cache: str | None = None) -> Path:
    """Folder with `clips/`, `train.jsonl` and `test.jsonl`; drawn now if not there yet, once also when several processes ask.

    Args:
        schematic: Counts, size, seed, workers; `folder` overrides the place in the cache.
        clips: Length, frames a second, shares of the carriers.

    Raises:
        InputError: impossible settings, a folder that holds something else, or one that cannot be written.
    """
    settings = Settings(
        schematic.seed,
        schematic.train,
        schematic.test,
        schematic.instructions,
        schematic.size,
        clips.seconds,
        clips.fps,
        asdict(clips.carriers),
    )
    text = json.dumps(asdict(settings), sort_keys=True)
    name = f"schematic_clips-{settings.train}-{settings.test}-seed{settings.seed}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    folder = absolute(schematic.folder) if schematic.folder else cache_folder(cache) / name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            exclusive(folder.with_name(f".{folder.name}.lock")),
            progress_bar(settings.train + settings.test, "drawing clips", "clips") as advance,
        ):
            materialise_clips(folder, settings, schematic.workers, advance)
    except OSError as error:
        raise InputError(
            f"the drawn clips cannot be written to {folder}: {error.strerror or error}. "
            "Set data.cache or FACIAL_R1_CACHE to a folder that you may write"
        ) from error
    return folder


def materialise_clips(
    folder: Path, settings: Settings, workers: int = 1, progress: Callable[[int], None] = lambda count: None
) -> dict[str, Any]:
    """Draw the clips into a folder, or find them there.

    They are drawn beside it, some at a time; those that a killed process had finished are kept. One process at a time (`drawn_clips`
    sees to it).

    Args:
        progress: Called with the number of clips done since the last call.

    Returns:
        The card: settings, counts by split, emotion and carrier, and `fingerprint`, a SHA-256 over all records, pixels and samples before
        they were encoded. Records are the same everywhere; pixels with one release of Pillow, samples with one of NumPy.

    Raises:
        InputError: Impossible settings, or a folder that holds files of somebody else.
    """
    _check(settings, workers)
    found = _complete(folder, settings)
    if found is not None:
        return found
    _refuse_foreign(folder)
    fresh = folder.with_name(f".{folder.name}.unfinished")
    _begin(fresh, settings)
    jobs = [
        _Job(str(fresh), settings, split, start, min(start + _CHUNK, getattr(settings, split)))
        for split in ("train", "test")
        for start in range(0, getattr(settings, split), _CHUNK)
    ]
    progress(sum(job.stop - job.start for job in jobs if job.part.is_file()))
    for count in _work([job for job in jobs if not job.part.is_file()], workers):
        progress(count)
    card = _finish(fresh, settings, jobs)
    if folder.exists():
        shutil.rmtree(folder)
    fresh.replace(folder)
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
            raise InputError(f"data=schematic_clips: {name}={value} is outside {low}..{high}; choose a value within")
    if settings.size % 2:
        raise InputError(f"data=schematic_clips: size={settings.size} is odd, which video cannot be; choose {settings.size + 1}")
    if workers < 1:
        raise InputError(f"data=schematic_clips: workers={workers}; at least one process has to draw")


def _complete(folder: Path, settings: Settings) -> dict[str, Any] | None:
    try:
        card = atomic.read_json(folder / CARD)
        if card["settings"] != asdict(settings):
            return None
        for split in ("train", "test"):
            text = (folder / f"{split}.jsonl").read_bytes()
            if hashlib.sha256(text).hexdigest() != card["files"][f"{split}.jsonl"]:
                return None
            with os.scandir(folder / "clips" / split) as entries:
                if sum(entry.name.endswith((".mp4", ".wav")) for entry in entries) != 2 * getattr(settings, split):
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
            f"{folder}: holds files that the drawn clips do not consist of ({', '.join(strangers[:3])}); they would be replaced. "
            "Name another folder, or empty this one"
        )


def _begin(fresh: Path, settings: Settings) -> None:
    """Make the folder to draw in, or keep the one that a process of the same settings left."""
    stamp = fresh / _PARTS / "settings.json"
    try:
        if atomic.read_json(stamp) == asdict(settings):
            return
    except (OSError, ValueError):
        pass
    shutil.rmtree(fresh, ignore_errors=True)
    for split in ("train", "test"):
        (fresh / "clips" / split).mkdir(parents=True)
    atomic.write_json(stamp, asdict(settings))


def _work(jobs: list[_Job], workers: int) -> Iterator[int]:
    if workers == 1 or len(jobs) < 2:
        yield from map(_draw_chunk, jobs)
        return
    # Forking a process that may hold threads of torch is unsafe; spawned processes start clean.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        yield from pool.map(_draw_chunk, jobs)


def _draw_chunk(job: _Job) -> int:
    """Draw and write some clips, then the part that lists them; return how many."""
    settings = job.settings
    first, people = (0, TRAIN_PEOPLE) if job.split == "train" else (TEST_START, TEST_PEOPLE)
    rows = []
    for number in range(job.start, job.stop):
        spec = random_spec(
            settings.seed,
            first + number,
            people,
            carriers=settings.carriers,
            size=settings.size,
            seconds=settings.seconds,
            fps=settings.fps,
        )
        video, audio = (f"clips/{job.split}/{number:06d}.{suffix}" for suffix in ("mp4", "wav"))
        described = job.split == "test" or number < settings.instructions
        record = clip_record(spec, f"{DATASET}-{job.split}-{number:06d}", video, audio, job.split, described)
        frames, sound, _ = draw_clip(spec)
        write_video(Path(job.folder) / video, frames, spec.fps)
        write_sound(Path(job.folder) / audio, sound)
        line = json.dumps(record, ensure_ascii=False) + "\n"
        content = line.encode() + frames.tobytes() + np.round(sound * 32768).astype("<i2").tobytes()
        rows.append([line, hashlib.sha256(content).hexdigest()])
    atomic.write_json(job.part, rows)
    return len(rows)


def _finish(fresh: Path, settings: Settings, jobs: list[_Job]) -> dict[str, Any]:
    """Put the parts together: data files and card."""
    total = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for job in jobs:
        for line, digest in atomic.read_json(job.part):
            lines[job.split].append(line)
            total.update(bytes.fromhex(digest))
    files = {}
    for split, rows in lines.items():
        text = "".join(rows)
        atomic.write_text(fresh / f"{split}.jsonl", text)
        files[f"{split}.jsonl"] = hashlib.sha256(text.encode()).hexdigest()
    card = {
        "dataset": DATASET,
        "settings": asdict(settings),
        "seed": settings.seed,
        "version": settings.version,
        "splits": {split: _counts(rows) for split, rows in lines.items()},
        "files": files,
        "fingerprint": total.hexdigest(),
    }
    shutil.rmtree(fresh / _PARTS)
    atomic.write_json(fresh / CARD, card)
    return card


def _counts(lines: list[str]) -> dict[str, Any]:
    rows = [json.loads(line) for line in lines]
    carriers = Counter(row["meta_info"]["carrier"] for row in rows)
    return {
        "rows": len(rows),
        "described": sum(bool(row["description"]) for row in rows),
        "subjects": len({row["subject"] for row in rows}),
        "emotions": dict(sorted(Counter(row["labels"][0] for row in rows).items())),
        "carriers": {name: carriers[name] for name in CARRIERS},
    }
