"""Preparation with a face detector: rows that name cut-out faces in place of whole pictures and videos.

What was cut stays: a run that goes on cuts what is missing. Files lie in `faces/` of the run, named after their source and settings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from facial_r1 import atomic
from facial_r1.config.media_schema import CropFaces
from facial_r1.data import Problem, Record, Records
from facial_r1.data.identity import place
from facial_r1.data.images import ImageError
from facial_r1.data.media.cache import file_key
from facial_r1.data.media.crops import is_crops
from facial_r1.data.media.errors import MediaError
from facial_r1.data.problems import fail
from facial_r1.errors import InputError
from facial_r1.progress import progress_bar
from facial_r1.stages import journal
from facial_r1.stages.context import Context

if TYPE_CHECKING:
    from facial_r1.data.faces.detectors import Finder

FOLDER = "faces"
_JOURNAL = "searched"
_THREADS = 8
_AHEAD = 32
_NAMED = 3
_FIX = "keep such rows whole by stage.crop_faces.on_missing=whole, try detector=yunet, or remove the row"

Kind = Literal["image", "video"]


@dataclass(frozen=True)
class Cropped:
    """Sides after cropping.

    Attributes:
        sides: Rows that name crops; under on_missing=skip without those that show no face.
        missing: A problem for each row that was left out for that.
        broken: A problem for each row whose picture or video could not be read to its end.
        facts: For summary.json: detector, files cut, files without a face.
        notes: One line each.
    """

    sides: dict[str, Records]
    missing: list[Problem] = field(default_factory=list)
    broken: list[Problem] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Outcome:
    """A file's crop, None where no face was found or where reading failed, which `error` says."""

    crop: str | None
    error: ImageError | MediaError | None = None


def finder_of(settings: CropFaces) -> Finder | None:
    """The detector that the settings name, None where faces are not cut. Raises InputError where it cannot be had."""
    if settings.detector is None:
        return None
    from facial_r1.data.faces import detectors

    return detectors.open_finder(settings.detector, settings.weights)


def crop_faces(context: Context, sides: Mapping[str, Records], settings: CropFaces, finder: Finder) -> Cropped:
    """Cut the face out of every picture and video of the rows, each file once, in threads.

    A clip that had its sound from its video keeps it: `audio` then names the whole video. Folders and arrays of crops stay as they are.

    Args:
        finder: The detector that the settings name, from `finder_of`.

    Raises:
        InputError: a file that breaks off under data.on_error=fail, or no row left.
    """
    records = [record for side in sides.values() for record in side]
    ready = {record.video for record in records if record.video and is_crops(record.video)}
    sources: dict[tuple[str, Kind], None] = {}
    for record in records:
        sources |= {(path, "image"): None for path in record.images}
        if record.video and record.video not in ready:
            sources[record.video, "video"] = None
    outcomes = _cut(context, list(sources), settings, finder)
    result = Cropped({}, facts=_facts(context, settings, outcomes, ready))
    rows: list[dict[str, Any]] = []
    for name, side in sides.items():
        kept = []
        for record in side:
            if one := _judge(record, outcomes, settings, result, rows):
                kept.append(one)
        result.sides[name] = Records(kept, notes=side.notes, files=side.files)
    if context.job.data.on_error == "fail":
        fail(result.broken)
    if records and not any(result.sides.values()):
        raise InputError(
            f"stage.crop_faces.detector={settings.detector}: no face was found in any of {len(records)} rows; {_FIX}"
        )
    if rows:
        atomic.write_text(context.run.path / "no_face.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    result.notes.extend(_notes(result.facts, settings))
    return result


def _judge(
    record: Record,
    outcomes: Mapping[tuple[str, Kind], _Outcome],
    settings: CropFaces,
    result: Cropped,
    rows: list[dict[str, Any]],
) -> Record | None:
    """The record with its crops, None when it is left out; adds to problems and to the rows of no_face.jsonl."""
    keep = settings.on_missing == "whole"
    named: list[tuple[str, Kind]] = [(path, "image") for path in record.images]
    named += [(record.video, "video")] if (record.video, "video") in outcomes else []
    errors = [(kind, error) for path, kind in named if (error := outcomes[path, kind].error)]
    if errors:
        result.broken.extend(Problem(*place(record), kind, f"{error.path}: {error.reason}", error.fix) for kind, error in errors)
        return None
    without = [(path, kind) for path, kind in named if outcomes[path, kind].crop is None]
    rows += [{"id": record.id, "file": path, "kept": "whole" if keep else "no"} for path, _ in without]
    images = tuple(crop for path in record.images if (crop := outcomes[path, "image"].crop or (path if keep else None)))
    video = record.video
    if (video, "video") in outcomes:
        video = outcomes[video, "video"].crop or (video if keep else "")
    if (record.images or record.video) and not (images or video):
        names = ", ".join(path for path, _ in without[:_NAMED])
        result.missing.append(Problem(*place(record), without[0][1], f"{names}: no face was found ({settings.detector})", _FIX))
        return None
    return replace(record, images=images, video=video)


def _cut(
    context: Context, sources: Sequence[tuple[str, Kind]], settings: CropFaces, finder: Finder
) -> dict[tuple[str, Kind], _Outcome]:
    """The outcome of each file: from the journal of this run, or by cutting now."""
    from facial_r1.data.faces.cutting import cut_clip, cut_picture

    folder = context.run.path / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    known = {row["key"]: row for row in journal.read(folder, _JOURNAL)}
    outcomes: dict[tuple[str, Kind], _Outcome] = {}
    weights = None if settings.weights is None else file_key(settings.weights)
    waiting: dict[Future[Any], tuple[tuple[str, Kind], str, Path]] = {}

    def collect(futures: set[Future[Any]]) -> None:
        for future in futures:
            use, key, target = waiting.pop(future)
            try:
                found = future.result()
            except (ImageError, MediaError) as error:
                outcomes[use] = _Outcome(None, error)
            else:
                row = {"key": key, "file": use[0], "box": found.box and [round(x, 4) for x in found.box]}
                journal.append(folder, _JOURNAL, 0, [row | {"faces": found.hits, "looked": found.looked}])
                outcomes[use] = _Outcome(str(target) if found.box else None)
            advance(1)

    pool = ThreadPoolExecutor(_THREADS)
    try:
        with progress_bar(len(sources), "cutting faces", "files") as advance:
            for path, kind in sources:
                context.stop.check()
                parts = [file_key(path), settings.detector, weights, settings.margin, settings.size]
                key = hashlib.blake2b(json.dumps(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
                target = folder / key[:2] / f"{Path(path).stem[:80]}-{key}{'.jpg' if kind == 'image' else '.mp4'}"
                if key in known and (known[key]["box"] is None or target.is_file()):
                    outcomes[path, kind] = _Outcome(None if known[key]["box"] is None else str(target))
                    advance(1)
                    continue
                cut = cut_picture if kind == "image" else cut_clip
                waiting[pool.submit(cut, path, target, finder, settings.margin, settings.size)] = ((path, kind), key, target)
                if len(waiting) >= _AHEAD:
                    collect(wait(waiting, return_when=FIRST_COMPLETED).done)
            while waiting:
                context.stop.check()
                collect(wait(waiting, return_when=FIRST_COMPLETED).done)
    finally:
        pool.shutdown(cancel_futures=True)
    for leftover in folder.rglob(".*.partial"):
        leftover.unlink()
    return {use: outcomes[use] for use in sources}


def _facts(
    context: Context, settings: CropFaces, outcomes: Mapping[tuple[str, Kind], _Outcome], ready: set[str]
) -> dict[str, Any]:
    without = [path for (path, _), outcome in outcomes.items() if outcome.crop is None and outcome.error is None]
    return {
        "detector": settings.detector,
        "folder": str(context.run.path / FOLDER),
        "pictures": sum(outcome.crop is not None for (_, kind), outcome in outcomes.items() if kind == "image"),
        "clips": sum(outcome.crop is not None for (_, kind), outcome in outcomes.items() if kind == "video"),
        "without_face": len(without),
        "on_missing": settings.on_missing,
        "examples_without_face": without[:20],
        "crops_of_the_owner": len(ready),
    }


def _notes(facts: Mapping[str, Any], settings: CropFaces) -> list[str]:
    notes = [f"faces were cut out of {facts['pictures']} pictures and {facts['clips']} videos into {facts['folder']}"]
    if count := facts["without_face"]:
        names = ", ".join(facts["examples_without_face"][:_NAMED])
        more = f" and {count - _NAMED} more" if count > _NAMED else ""
        done = "kept whole" if settings.on_missing == "whole" else "left out"
        notes.append(f"no face was found in {count} file{'s' if count > 1 else ''}, {done} (no_face.jsonl): {names}{more}")
    if facts["crops_of_the_owner"]:
        notes.append(f"{facts['crops_of_the_owner']} clips come as crops and stay as they are")
    return notes
