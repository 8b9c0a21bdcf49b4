"""Preparation: a dataset in its owner's folders into JSON lines, with everything counted and some faces shown.

Nothing is trained and no model is loaded. Other stages prepare what they need by themselves; this one is for looking.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1 import atomic
from facial_r1.config.schema import Prepare
from facial_r1.data import Data, Problem, Record, Records, load_data, load_protocol, take, write_skipped
from facial_r1.data.jsonl import load_pairs
from facial_r1.data.prepared import Prepared, prepare_source
from facial_r1.data.problems import skipped_rows
from facial_r1.data.protocol import Protocol
from facial_r1.data.records import summarise
from facial_r1.data.selection import by_fold
from facial_r1.errors import InputError
from facial_r1.stages.context import Context
from facial_r1.stages.face_crops import Cropped, crop_faces, finder_of
from facial_r1.stages.material import hidden_words, say

if TYPE_CHECKING:
    from facial_r1.data.media.overview import Overview

Sides = dict[str, Records]

_ROWS = 30
"""Rows of the contact sheet, at most."""

_CLIPS = 12
"""Clips on the sheet of clips, at most."""


def run(context: Context) -> dict[str, Any] | None:
    """Write `<side>.jsonl`, sheets of faces and clips, crops and (where rows are left out) `skipped.jsonl`; return the summary."""
    stage, config = context.job.stage, context.job.data
    assert isinstance(stage, Prepare)
    if not context.main:
        return None
    finder = finder_of(stage.crop_faces)  # said before the data is read
    rules = load_protocol(config.protocol)
    if config.kind == "source":
        prepared = prepare_source(config, context.stop.check)
        sides, problems, notes = _sides_of_source(context, prepared, rules)
    else:
        prepared = None
        sides, problems, notes = _sides_of_data(load_data(replace(config, amount=None, test_amount=None)))
    for line in describe(sides, notes):
        say(context, line)
    if context.job.debug.dry_run:
        say(context, f"plan: {sum(map(len, sides.values()))} rows into {', '.join(f'{side}.jsonl' for side in sides)}")
        return None
    cropped = None
    if finder is not None:
        cropped = crop_faces(context, sides, stage.crop_faces, finder)
        sides, notes = cropped.sides, [*notes, *cropped.notes]
        problems = [*problems, *cropped.broken]
        for note in cropped.notes:
            say(context, f"note: {note}")
    files = {f"{side}.jsonl": _write(context.run.path / f"{side}.jsonl", records) for side, records in sides.items()}
    left_out = [*problems, *cropped.missing] if cropped else problems
    if left_out:
        write_skipped(context.run.path / "skipped.jsonl", left_out)
    everything = [record for records in sides.values() for record in records]
    hidden, warning = hidden_words(context, everything)
    if warning:
        notes = [*notes, warning]
        say(context, f"warning: {warning}")
    media = _overview(everything, problems)
    if stage.faces:
        _draw_sheet(context.run.path / "contact_sheet.png", sides, stage.faces, stage.tile)
        if media is not None:
            _draw_clips(context, everything, media)
    counts = {side: _counts(records) for side, records in sides.items()}
    fingerprint = hashlib.sha256(":".join(records.fingerprint for records in sides.values()).encode()).hexdigest()
    sizes = {side: len(records) for side, records in sides.items()}
    context.run.update_status(data={"name": config.name, "fingerprint": fingerprint, **sizes, "skipped": len(left_out)})
    summary: dict[str, Any] = {
        "stage": "prepare",
        "metrics": {},
        "failures": _failures(problems, cropped),
        "rows": len(everything),
        "sides": counts,
        "all": _counts(everything),
        "protocol": rules.name,
        "licence": rules.licence,
        "fingerprint": fingerprint,
        "files": files,
        "notes": notes,
    }
    if media is not None:
        summary["clips"] = media.to_json() | {"transcripts_not_shown": hidden}
    if cropped is not None:
        summary["faces"] = cropped.facts
    if prepared is not None:
        summary |= {
            "source": config.source,
            "root": config.root,
            "options": dict(config.options),
            "excluded": prepared.excluded,
            "counts": prepared.counts,
            "label_files": prepared.label_files,
            "pictures": {"written": prepared.pictures, "folder": str(prepared.folder / "images") if prepared.pictures else None},
        }
    if rules.licence:
        say(context, f"licence: {rules.licence}")
    return summary


def _sides_of_source(context: Context, prepared: Prepared, rules: Protocol) -> tuple[Sides, list[Problem], list[str]]:
    """The owner's sides, or those of `data.fold`; rows that the owner put on no side stay together as `all`."""
    config = context.job.data
    sides: Sides = {}
    problems = list(prepared.problems)
    notes = list(prepared.notes)
    for side in prepared.rows:
        loaded = load_pairs([(prepared.file(side), prepared.folder)], rules, config.on_error)
        sides[side] = loaded
        problems += loaded.skipped
        notes += loaded.notes
    if config.fold is not None:
        whole = sides.pop("all", None)
        if whole is None:
            raise InputError(f"data.fold={config.fold}: the owner of {config.source} names the sides; set data.fold=null")
        divided = by_fold(whole, rules.folds, config.fold)
        notes += divided.notes
        for side, records in (("train", divided.train), ("test", divided.test)):
            sides[side] = Records(records, digests=whole.digests)
    if prepared.excluded:
        listed = ", ".join(f"{reason} ({count})" for reason, count in prepared.excluded.items())
        notes.append(f"left out on purpose: {listed}")
    if prepared.pictures:
        notes.append(f"{prepared.pictures} pictures lie in {prepared.folder / 'images'}; data.cache chooses another place")
    return sides, problems, notes


def _sides_of_data(data: Data) -> tuple[Sides, list[Problem], list[str]]:
    mixtures = {name: side for name, side in (("train", data.train), ("test", data.test)) if len(side)}
    return {name: Records(side.unique, digests=dict(side.digests)) for name, side in mixtures.items()}, data.problems, data.notes


def describe(sides: Mapping[str, Sequence[Record]], notes: Sequence[str]) -> list[str]:
    """One line a side with its counts, then the notes."""
    lines = []
    for side, records in sides.items():
        counts = summarise(records)
        parts = [f"{side}: {counts['rows']} rows"]
        if counts["subjects"]:
            parts.append(f"{counts['subjects']} subjects")
        for name in ("labels", "AUs"):
            if counts[name]:
                parts.append(", ".join(f"{key} {count}" for key, count in counts[name].items()))
        lines.append("; ".join(parts))
    return lines + [f"note: {note}" for note in notes]


def _failures(problems: Sequence[Problem], cropped: Cropped | None) -> dict[str, int]:
    counts = {"bad_rows": skipped_rows(problems), "rows_without_face": skipped_rows(cropped.missing) if cropped else 0}
    return {name: count for name, count in counts.items() if count}


def _write(path: Path, records: Sequence[Record]) -> dict[str, Any]:
    text = "".join(json.dumps(record.to_json(), ensure_ascii=False) + "\n" for record in records)
    atomic.write_text(path, text)
    return {"rows": len(records), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def _counts(records: Sequence[Record]) -> dict[str, Any]:
    counts = summarise(records)
    names = ("rows", "subjects", "images", "videos", "sounds", "labels", "AUs", "labelled", "coded", "described")
    return {name: counts[name] for name in names if name in counts}


def _draw_sheet(path: Path, sides: Mapping[str, Sequence[Record]], faces: int, tile: int) -> None:
    # Drawing needs numpy and some modules; the rest of this stage does not.
    from facial_r1.data.schematic.contact_sheet import contact_sheet

    shown = [record for records in sides.values() for record in records if record.images]
    if not shown:
        return
    items = [
        None if record is None else {"image": record.images[0], "labels": record.labels, "AUs": record.AUs}
        for row in sample_faces(shown, faces)
        for record in row
    ]
    _save(contact_sheet(items, columns=faces, tile=tile), path)


def _overview(records: Sequence[Record], problems: Sequence[Problem]) -> Overview | None:
    """Counts of clips; None for data without video and sound."""
    if not any(record.video or record.audio for record in records):
        return None
    from facial_r1.data.media.overview import overview

    return overview(records, problems)


def _draw_clips(context: Context, records: Sequence[Record], facts: Overview) -> None:
    # Drawing needs numpy and PyAV; the rest of this stage does not.
    from facial_r1.data.media.sheet import media_sheet

    stage, config = context.job.stage, context.job.data
    assert isinstance(stage, Prepare)
    shown = sample_clips([record for record in records if record.video or record.audio], _CLIPS)
    sheet = media_sheet(shown, facts, config.video, config.audio, columns=stage.faces, tile=stage.tile)
    _save(sheet, context.run.path / "clip_sheet.png")


def _save(sheet: Any, path: Path) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    sheet.save(fresh, "PNG")
    fresh.replace(path)


def sample_clips(records: Sequence[Record], count: int) -> list[Record]:
    """Up to `count` records, of as many labels as there is room for and of each as many, the same for the same records."""
    rows = sample_faces(records, count)
    turns = [row[place] for place in range(count) for row in rows]
    distinct = {record.id: record for record in turns if record is not None}
    chosen = list(distinct)[:count]
    return [record for record in records if record.id in chosen]


def sample_faces(records: Sequence[Record], faces: int) -> list[list[Record | None]]:
    """Rows of a contact sheet: up to `faces` records of each label, or of each action unit where there are no labels.

    A row of another class starts on a line of its own, so that a short one ends with None. The choice depends on ids alone.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        for name in record.labels[:1] or record.AUs or (("",) if record.AUs is not None else ()):
            groups.setdefault(name, []).append(record)
    if not groups:
        groups[""] = list(records)
    numbered = sorted(groups, key=lambda name: (int(name[2:]) if name[2:].isdigit() else 0, name))
    rows: list[list[Record | None]] = []
    for name in numbered[:_ROWS]:
        group = groups[name]
        chosen: list[Record | None] = [*take(group, min(faces, len(group)))]
        rows.append(chosen + [None] * (faces - len(chosen)))
    return rows
