"""DISFA: 27 people watching clips, twelve action units coded from 0 to 5 in every frame.

Mavadati et al., *DISFA: A Spontaneous Facial Action Intensity Database*, IEEE Trans. Affective Computing, 2013. The owner
distributes two videos a person; this reader takes pictures that were extracted from them.

A unit counts as present from intensity 2 on, which is the convention of benchmarks; the published Facial-R1 files look as
if 1 had been enough (`threshold=1`), and hold only frames with at least one unit (`keep_empty=false`).
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facial_r1.data.problems import Problem
from facial_r1.data.record import Record
from facial_r1.data.sources.options import at_least
from facial_r1.data.sources.pictures import files_below, find_below, is_picture
from facial_r1.data.sources.registry import Reading, layout_error, source
from facial_r1.errors import InputError

UNITS: tuple[str, ...] = tuple(f"AU{n}" for n in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26))
"""The twelve units that are coded."""

BENCHMARK: tuple[str, ...] = tuple(f"AU{n}" for n in (1, 2, 4, 6, 9, 12, 25, 26))
"""The eight units that most papers report."""

_SUBJECT = re.compile(r"SN\d{3}", re.IGNORECASE)
_CAMERA = re.compile(r"left|right", re.IGNORECASE)
_FRAME = re.compile(r"(?<!\d)(?<!sn)(\d+)$", re.IGNORECASE)
_INTENSITIES = {str(value): value for value in range(6)}
_VIDEOS = (".avi", ".mp4", ".mkv")


@source(
    "disfa",
    line="DISFA: 27 people, 12 action units with intensities in every frame, no emotion",
    layout="""
ActionUnit_Labels/SN001/SN001_au1.txt             lines "frame,intensity", frames from 1, intensity 0 to 5; 12 files a person
Videos_LeftCamera/LeftVideoSN001_comp.avi         not read; extract its frames:
frames/LeftVideoSN001_comp/LeftVideoSN001_comp_0001.jpg
    (also frames/LeftVideoSN001_comp_0001.jpg, LeftVideoSN001/00001.png, SN001/0001.jpg, ...)
""",
)
def read(
    root: Path,
    threshold: Literal[1, 2, 3, 4, 5] = 2,
    camera: Literal["left", "right", "both"] = "left",
    action_units: Literal[8, 12] = 12,
    keep_empty: bool = True,
    every: int = 1,
    first_frame: Literal[0, 1] = 1,
) -> Reading:
    """Read DISFA.

    Args:
        root: The folder that holds `ActionUnit_Labels` and the pictures, at any depth.
        threshold: Intensity from which on a unit counts as present, 1 to 5.
        camera: left, right or both.
        action_units: 12 for all that are coded, 8 for those of most papers.
        keep_empty: Whether frames without a present unit are kept; they carry `()`, coded with none active.
        every: Keep each n-th frame, starting with the first.
        first_frame: Number that the extracted pictures count from, 1 or 0.
    """
    at_least("every", every, 1)
    cameras = ("left", "right") if camera == "both" else (camera,)
    vocabulary = UNITS if action_units == 12 else BENCHMARK
    labels = find_below(root, "ActionUnit_Labels")
    if labels is None:
        raise layout_error("disfa", root, "no folder ActionUnit_Labels")
    reading = Reading(official=None if camera != "both" and keep_empty and every == 1 else {})
    pictures = _pictures(root, cameras, 1 - first_frame, reading)
    tables = read_intensities(labels, reading.problems, reading.excluded)
    reading.files += sorted(labels.glob("SN*/SN*_au*.txt"))
    if not tables:
        raise layout_error("disfa", root, f"no SN001/SN001_au1.txt or the like in {labels}")
    for subject, table in tables.items():
        for side in cameras:
            found = pictures.get((side, subject))
            if found is None:
                reading.problems.append(_no_pictures(labels / subject, root, side, subject))
                continue
            _records(reading, table, side, found, vocabulary, threshold, every, keep_empty)
    return reading


@dataclass(frozen=True, slots=True)
class Intensities:
    """The coding of one person.

    Attributes:
        subject: "SN001".
        file: The file of AU1; its lines stand for the frames.
        lines: Frame to line in `file`.
        values: Frame to the intensities of `UNITS`, 0 to 5 each.
    """

    subject: str
    file: str
    lines: Mapping[int, int]
    values: Mapping[int, tuple[int, ...]]


def read_intensities(labels: Path, problems: list[Problem], excluded: Counter[str]) -> dict[str, Intensities]:
    """Each person's coding by subject, from the folder `ActionUnit_Labels`. Frames that lack a unit are left out."""
    tables: dict[str, Intensities] = {}
    for folder in sorted(path for path in labels.iterdir() if path.is_dir() and _SUBJECT.fullmatch(path.name)):
        subject = folder.name.upper()
        by_name = {path.name.lower(): path for path in folder.iterdir()}
        paths = [by_name.get(f"{subject}_{code}.txt".lower()) for code in UNITS]
        absent = [code for code, path in zip(UNITS, paths, strict=True) if path is None]
        if absent:
            reason = f"no file {', '.join(f'{subject}_{code.lower()}.txt' for code in absent)}"
            problems.append(Problem(str(folder), 0, "file", reason, "unpack ActionUnit_Labels.zip again"))
            continue
        columns = [_column(path, problems) for path in paths if path is not None]
        frames = set.intersection(*(set(values) for values, _ in columns))
        whole_set = set.union(*(set(values) for values, _ in columns))
        for path, (values, _) in zip(paths, columns, strict=True):
            short = whole_set - values.keys()
            if short:
                reason = f"{len(short)} frames that other action units code have no sound line, the first {min(short)}"
                fix = "unpack ActionUnit_Labels.zip again; these frames are left out"
                problems.append(Problem(str(path), 0, "frame", reason, fix))
        if whole_set - frames:
            excluded["not coded for all 12 action units"] += len(whole_set - frames)
        ordered = sorted(frames)
        rows = zip(*([values[frame] for frame in ordered] for values, _ in columns), strict=True)
        tables[subject] = Intensities(subject, str(paths[0]), columns[0][1], dict(zip(ordered, rows, strict=True)))
    return tables


def _column(path: Path, problems: list[Problem]) -> tuple[dict[int, int], dict[int, int]]:
    """Frame to intensity, and frame to line, of one file."""
    values: dict[int, int] = {}
    lines: dict[int, int] = {}
    for line, text in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        number, _, level = text.partition(",")
        value = _INTENSITIES.get(level)
        if value is None or not number.isdecimal():
            number, level = number.strip(), level.strip()
            value = _INTENSITIES.get(level)
            if not number and not level:
                continue
            if value is None or not number.isdecimal():
                reason = f"{text!r} is no line frame,intensity" if not number.isdecimal() else f"{level!r} is no intensity"
                problems.append(
                    Problem(str(path), line, "intensity", reason, "write frame,intensity with an intensity of 0 to 5")
                )
                continue
        frame = int(number)
        if frame in values:
            problems.append(Problem(str(path), line, "frame", f"frame {frame} is already above", "remove one of the two lines"))
            continue
        values[frame] = value
        lines[frame] = line
    return values, lines


def _pictures(root: Path, cameras: Sequence[str], shift: int, reading: Reading) -> dict[tuple[str, str], dict[int, str]]:
    """Pictures by (camera, subject), then by frame. Raises InputError when there are none."""
    found: dict[tuple[str, str], dict[int, str]] = {}
    videos: list[str] = []
    start = len(str(root))
    for folder, name in files_below(root):
        stem = name.rpartition(".")[0]
        if not is_picture(name):
            if name.lower().endswith(_VIDEOS) and _SUBJECT.search(name):
                videos.append(f"{folder}/{name}")
            continue
        inside = f"{folder[start:]}/{stem}"
        subject, frame = _SUBJECT.findall(inside), _FRAME.search(stem)
        if not subject or frame is None:
            continue
        sides = _CAMERA.findall(inside)
        if not sides and len(cameras) > 1:
            reading.excluded["picture whose path names neither left nor right"] += 1
            continue
        side = sides[-1].lower() if sides else cameras[0]
        if side in cameras:
            found.setdefault((side, subject[-1].upper()), {})[int(frame[1]) + shift] = f"{folder}/{name}"
    if not found:
        raise _nothing_extracted(root, cameras, videos)
    if any(0 in frames for frames in found.values()):
        path = next(frames[0] for frames in found.values() if 0 in frames)
        raise InputError(
            f"{path}: pictures count from 0 but the coding from 1: set data.options.first_frame=0 when they were extracted "
            "counting from 0"
        )
    return found


def _nothing_extracted(root: Path, cameras: Sequence[str], videos: Sequence[str]) -> InputError:
    which = " and ".join(cameras)
    if not videos:
        return layout_error("disfa", root, f"neither pictures nor videos of the {which} camera")
    error = layout_error("disfa", root, f"videos but no extracted pictures of the {which} camera")
    return InputError(f"{error}\nExtract them:\n{extraction(root)}")


def extraction(root: Path) -> str:
    """Shell command that extracts the frames of all videos below `root`, named so that this reader finds them."""
    name = '"frames/$name/${name}_%04d.jpg"'
    return (
        f'  cd {shlex.quote(str(root))} && for video in Videos_*/*.avi; do name=$(basename "$video" .avi); mkdir -p "frames/$name"; '
        f'ffmpeg -i "$video" -fps_mode passthrough -q:v 2 {name}; done'
    )


def _no_pictures(folder: Path, root: Path, side: str, subject: str) -> Problem:
    reason = f"no picture of {subject} by the {side} camera below {root}"
    fix = f"extract {side.title()}Video{subject}_comp.avi, remove {folder}, or choose data.options.camera:\n{extraction(root)}"
    return Problem(str(folder), 0, "image", reason, fix)


def _records(
    reading: Reading,
    table: Intensities,
    side: str,
    pictures: Mapping[int, str],
    vocabulary: Sequence[str],
    threshold: int,
    every: int,
    keep_empty: bool,
) -> None:
    taken = [(at, code) for at, code in enumerate(UNITS) if code in vocabulary]
    excluded = reading.excluded
    uncoded = sum(frame not in table.values for frame in pictures)
    if uncoded:
        excluded["picture without coding"] += uncoded
    for frame, intensities in table.values.items():
        path = pictures.get(frame)
        if path is None:
            excluded["no picture was extracted"] += 1
            continue
        if (frame - 1) % every:
            excluded[f"not each {every}. frame"] += 1
            continue
        present = tuple(code for at, code in taken if intensities[at] >= threshold)
        if not present and not keep_empty:
            excluded["no action unit present"] += 1
            continue
        coded = {code: intensities[at] for at, code in taken if intensities[at]}
        reading.records.append(
            Record(
                id=f"disfa/{table.subject}/{side}/{frame:04d}",
                dataset="DISFA",
                images=(path,),
                question="",
                AUs=present,
                labels=(),
                subject=table.subject,
                meta_info={"camera": side, "frame": frame, "intensities": coded},
                source=f"{table.file}:{table.lines[frame]}",
            )
        )
