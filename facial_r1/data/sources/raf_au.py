"""RAF-AU: 4,601 photographs of RAF-ML, coded with action units by experts.

Yan et al., *RAF-AU Database: In-the-Wild Facial Expressions with Subjective Emotion Judgement and Objective AU Annotations*,
ACCV 2020. Codes carry a prefix where a unit shows on one side only. The set has no emotions of its own: RAF-ML, whose pictures
these are, has the votes of its raters (`EmoLabel/distribution.txt`), of which the emotion with most votes is taken, the first
in the owner's order where two are equal. There is no official split: a fifth of the pictures, chosen by a hash of their name,
is the test side (the published one, 3,491 to 853 of those with a code, is not known row by row).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from facial_r1.affect import normalise_code, sort_codes
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record
from facial_r1.data.sources.listing import row_problem, words
from facial_r1.data.sources.options import folders
from facial_r1.data.sources.pictures import PictureIndex, find_below
from facial_r1.data.sources.registry import Reading, layout_error, source

UNITS: tuple[str, ...] = tuple(
    f"AU{n}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 25, 26, 27, 28, 29, 30, 32, 43)
)
"""The 27 units of the published files."""

FREQUENT: tuple[str, ...] = tuple(f"AU{n}" for n in (1, 2, 4, 5, 6, 9, 10, 12, 16, 17, 25, 26, 27))
"""Those of them that at least a tenth of the pictures shows."""

EMOTIONS: tuple[str, ...] = ("surprise", "fear", "disgust", "happiness", "sadness", "anger")
"""Columns of RAF-ML's distribution.txt, in the owner's order."""

OFFICIAL = 4601
"""Lines of the owner's label file."""

TEST_SHARE = 0.2
_TOKEN = re.compile(r"([LRTB]?)(\d+)", re.IGNORECASE)


@source(
    "raf_au",
    line="RAF-AU: 4,601 photographs with action units; emotions from RAF-ML where it is there",
    layout="""
RAFAU_label.txt                   lines "0012.jpg 4+L12+25" or "0012.jpg null"; prefixes L, R, T, B: one side only
aligned/0012_aligned.jpg
RAF-ML/EmoLabel/distribution.txt  lines "0012.jpg" and six shares (surprise fear disgust happiness sadness anger), optional
""",
)
def read(
    root: Path,
    action_units: Literal["published", "frequent", "all"] = "published",
    keep_empty: bool = False,
    raf_ml: str | None = None,
) -> Reading:
    """Read RAF-AU.

    Args:
        root: The folder that holds `RAFAU_label.txt`, at most two folders deep.
        action_units: published takes the 27 units of the published files, frequent the 13 commonest, all what FACS knows.
            Other codes are dropped, counted, and kept in `meta_info.other_action_units`.
        keep_empty: Whether pictures all of whose codes were dropped are kept, as coded with none active.
        raf_ml: Folder of RAF-ML; None looks for it in and beside `root`.
    """
    labels = find_below(root, "RAFAU_label.txt")
    if labels is None:
        raise layout_error("raf_au", root, "no file RAFAU_label.txt")
    reading = Reading(official={})  # the owner names no sides, so that counts by side have nothing to agree with
    index = PictureIndex((labels.parent, root))
    if not index.count:
        raise layout_error("raf_au", root, "no pictures such as aligned/0012_aligned.jpg")
    shares = _shares(root, labels, raf_ml, reading)
    vocabulary = {"published": UNITS, "frequent": FREQUENT, "all": ()}[action_units]
    dropped: Counter[str] = Counter()
    seen: dict[str, int] = {}
    without_emotion = 0
    for line, cells in words(labels):
        if len(cells) != 2:
            reading.problems.append(row_problem(labels, line, cells, "0012.jpg 4+L12+25"))
            continue
        name = cells[0].rpartition(".")[0] or cells[0]
        if name in seen:
            reading.problems.append(_twice(labels, line, cells[0], seen[name]))
            continue
        seen[name] = line
        if cells[1].lower() == "null":
            reading.excluded["null: no action unit coded"] += 1
            continue
        coding = _coding(cells[1])
        if isinstance(coding, str):
            fix = "codes are numbers of FACS with an optional L, R, T or B, joined by +: 4+L12+25"
            reading.problems.append(Problem(str(labels), line, "AUs", f"{coding!r} in {cells[1]!r} is no code", fix))
            continue
        image = index.find(f"aligned/{name}_aligned.jpg") or index.find(f"{name}.jpg")
        if image is None:
            searched = " and ".join(map(str, index.roots))
            fix = "unpack aligned.zip beside the label file, or remove the line"
            reading.problems.append(
                Problem(str(labels), line, "image", f"no picture {name}_aligned.jpg or {name}.jpg below {searched}", fix)
            )
            continue
        sides, others = _split_off(coding, vocabulary)
        dropped.update(others)
        if not sides and not keep_empty:
            reading.excluded["only action units outside the vocabulary"] += 1
            continue
        share = shares.get(name)
        without_emotion += share is None
        reading.records.append(_record(name, image, sides, others, share, f"{labels}:{line}"))
    if len(seen) != OFFICIAL:
        reading.notes.append(f"the label file has {len(seen)} pictures; the owner's has {OFFICIAL}, 253 of them null")
    if dropped:
        listed = ", ".join(f"{code} in {dropped[code]}" for code in sort_codes(dropped))
        reading.notes.append(f"action units outside the vocabulary were dropped: {listed} pictures")
    if shares and without_emotion:
        reading.notes.append(f"{without_emotion} pictures are not in RAF-ML's distribution.txt and have no emotion")
    return reading


def side_of(name: str, share: float = TEST_SHARE) -> Literal["train", "test"]:
    """The side of a picture: "test" for a `share` of all names, always the same for the same name."""
    number = int.from_bytes(hashlib.sha256(f"raf_au/{name}".encode()).digest()[:8])
    return "test" if number < share * 2**64 else "train"


def _coding(text: str) -> dict[str, list[str]] | str:
    """Canonical code to the sides that were coded ("" for both at once), or the part that is no code.

    Numbers that our table of FACS does not have stay as they are ("AU99"): they are dropped and counted, not wrong.
    """
    sides: dict[str, list[str]] = {}
    for token in text.split("+"):
        match = _TOKEN.fullmatch(token)
        if match is None:
            return token
        code = normalise_code(match[2]) or f"AU{int(match[2])}"
        sides.setdefault(code, []).append(match[1].upper())
    return sides


def _split_off(coding: dict[str, list[str]], vocabulary: tuple[str, ...]) -> tuple[dict[str, list[str]], list[str]]:
    """The coding within the vocabulary, and the codes outside."""
    kept = {code: sides for code, sides in coding.items() if (code in vocabulary if vocabulary else normalise_code(code))}
    return kept, sort_codes(coding.keys() - kept.keys())


def _record(
    name: str, image: str, sides: dict[str, list[str]], others: list[str], share: tuple[float, ...] | None, place: str
) -> Record:
    facts: dict[str, Any] = {}
    one_sided = {
        code: marks for code in sort_codes(sides) if (marks := sorted(filter(None, sides[code]))) and "" not in sides[code]
    }
    if one_sided:
        facts["laterality"] = one_sided
    if others:
        facts["other_action_units"] = others
    if share is not None:
        facts["distribution"] = dict(zip(EMOTIONS, share, strict=True))
    return Record(
        id=f"raf_au/{name}",
        dataset="RAF-AU",
        images=(image,),
        question="",
        AUs=tuple(sort_codes(sides)),
        labels=() if share is None else (EMOTIONS[share.index(max(share))],),
        split=side_of(name),
        meta_info=facts,
        source=place,
    )


def _shares(root: Path, labels: Path, raf_ml: str | None, reading: Reading) -> dict[str, tuple[float, ...]]:
    """The shares of the six emotions by picture name, from RAF-ML; empty, with a note, without it."""
    near = [labels.parent, labels.parent / "RAF-ML", labels.parent.parent / "RAF-ML", root / "RAF-ML"]
    places = folders("raf_ml", raf_ml, [path for path in near if path.is_dir()])
    file = next((path for place in places if (path := find_below(place, "distribution.txt")) is not None), None)
    if file is None:
        reading.notes.append(
            "no emotions: RAF-AU has none of its own; they come from RAF-ML/EmoLabel/distribution.txt (data.options.raf_ml=<folder>)"
        )
        return {}
    reading.files.append(file)
    found: dict[str, tuple[float, ...]] = {}
    for line, cells in words(file):
        try:
            values = tuple(float(cell) for cell in cells[1:])
        except ValueError:
            values = ()
        if len(values) != len(EMOTIONS) or not all(0 <= value <= 1 for value in values) or not any(values):
            reading.problems.append(row_problem(file, line, cells, f"0012.jpg and a share for {' '.join(EMOTIONS)}"))
            continue
        found[cells[0].rpartition(".")[0] or cells[0]] = values
    return found


def _twice(labels: Path, line: int, name: str, first: int) -> Problem:
    return Problem(str(labels), line, "image", f"{name} is already on line {first}", "remove one of the two lines")
