"""FABA-Instruct: AffectNet photographs described by GPT-4V, once their action units and once their emotion.

Li et al., *Facial Affective Behavior Analysis with Instruction Tuning*, ECCV 2024 (EmoLA). The train side has no labels beside
the text: action units are those that it names, the emotion is what it says by `facial_r1.affect.emola` (or by the released
scorer's words, `emotion_words=released`). The test side has labels.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from facial_r1.affect import normalise_code, normalise_label, sort_codes
from facial_r1.affect.emola import EMOTION_IDS, UNITS, emotion_of_text, units_of_text
from facial_r1.affect.emola_released import emotion_of_text as released_emotion_of_text
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record
from facial_r1.data.rows import read_rows
from facial_r1.data.sources.pictures import PictureIndex, find_below
from facial_r1.data.sources.registry import Reading, layout_error, source

_SIDES = {"train": "train", "eval": "test"}
_OFFICIAL = {"au": {"train": 15838, "test": 325}, "emotion": {"train": 19474, "test": 403}, "both": {}}
_BETWEEN = re.compile(r"[\s,;+]+")
_UNIT = re.compile(r"(?:AU)?\s*\d+", re.IGNORECASE)


@source(
    "faba",
    line="FABA-Instruct: 19,877 AffectNet photographs, action units and seven emotions with descriptions",
    layout="""
FABAInstruct/train/train_au_anno.json         records with source, image, id, conversations (human, gpt), landmark
FABAInstruct/train/train_emotion_anno.json
FABAInstruct/train/images/AffectNet/AffectNet_v2/1194/<hash>.jpg
FABAInstruct/eval/eval_au_anno.json           also label ("4, 9, 15") and gpt4
FABAInstruct/eval/eval_emotion_anno.json      also label (an id from 0 to 6, or its name) and gpt4
FABAInstruct/eval/images/...
""",
)
def read(
    root: Path,
    task: Literal["au", "emotion", "both"] = "both",
    emotion_words: Literal["own", "released"] = "own",
) -> Reading:
    """Read FABA-Instruct.

    Args:
        root: `FABAInstruct`, or a folder that holds it.
        task: au or emotion reads the lists of one task; both takes the pictures that are in the lists of both, with action
            units and emotion. The description is then both texts, action units first.
        emotion_words: Whose words name the emotion of a train text.
    """
    tasks = ("au", "emotion") if task == "both" else (task,)
    index: PictureIndex | None = None
    reading = Reading(official=_OFFICIAL[task])
    for folder, side in _SIDES.items():
        lists: list[dict[str, _Row]] = []
        for each in tasks:
            path = find_below(root, f"{folder}_{each}_anno.json")
            if path is None:
                raise layout_error("faba", root, f"no file {folder}_{each}_anno.json")
            index = index or PictureIndex((root,))
            lists.append(_Lists(path, side, each, emotion_words, index, reading).rows())
        if task == "both":
            _join(lists[0], lists[1], side, reading)
        else:
            reading.records += [_record(task, row, side) for row in lists[0].values()]
    if index is not None and not index.count:
        raise layout_error("faba", root, "no pictures in train/images and eval/images")
    return reading


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a list. `units` and `emotion` are None in the lists of the other task."""

    name: str
    image: str
    question: str
    text: str
    place: str
    units: tuple[str, ...] | None
    emotion: str | None
    facts: dict[str, Any] = field(default_factory=dict)


class _Lists:
    """Reads one of the four lists."""

    def __init__(self, path: Path, side: str, task: str, words: str, index: PictureIndex, reading: Reading) -> None:
        self._path, self._side, self._task, self._index, self._reading = path, side, task, index, reading
        self._emotion = emotion_of_text if words == "own" else released_emotion_of_text
        self._other: Counter[str] = Counter()

    def rows(self) -> dict[str, _Row]:
        """Sound rows by the name of their picture."""
        self._reading.files.append(self._path)
        found: dict[str, _Row] = {}
        for item in read_rows(self._path):
            if isinstance(item, Problem):
                self._reading.problems.append(item)
                continue
            line, row = item
            read = self._row(line, row)
            if read is None:
                continue
            if read.name in found:
                self._problem(line, "image", f"{read.name} is already at {found[read.name].place}", "remove one of the two rows")
                continue
            found[read.name] = read
        if self._other:
            listed = ", ".join(f"{code} in {count}" for code, count in self._other.most_common())
            self._reading.notes.append(f"{self._path.name}: action units outside FABA's 20 were dropped: {listed} rows")
        return found

    def _problem(self, line: int, name: str, reason: str, fix: str) -> None:
        self._reading.problems.append(Problem(str(self._path), line, name, reason, fix))

    def _row(self, line: int, row: dict[str, Any]) -> _Row | None:
        name = row.get("image")
        if not isinstance(name, str) or not name:
            self._problem(line, "image", "is missing", 'rows carry "image": "FABAInstruct/train/images/..."')
            return None
        turns = row.get("conversations", row.get("conversation"))
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            self._problem(line, "conversations", "is no list of turns", 'turns are {"from": "human", "value": "..."}')
            return None
        question, text = _turn(turns, "human").replace("<image>", "").strip(), _turn(turns, "gpt")
        if isinstance(row.get("gpt4"), str):
            text = row["gpt4"].strip() or text
        if not text:
            self._problem(line, "conversations", "there is no text of gpt", 'turns are {"from": "gpt", "value": "..."}')
            return None
        image = self._index.find(name)
        if image is None:
            folders = " and ".join(map(str, self._index.roots))
            self._problem(line, "image", f"{name!r} is not below {folders}", "unpack the images, or remove the row")
            return None
        facts = {key: row[key] for key in ("source", "landmark") if row.get(key)}
        units, emotion = None, None
        if self._task == "au":
            units = self._units(line, row, text, facts)
        else:
            emotion = self._emotion_of(line, row, text)
        if units is None and emotion is None:
            return None
        stem = name.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
        return _Row(stem, image, question, text, f"{self._path}:{line}", units, emotion, facts)

    def _units(self, line: int, row: dict[str, Any], text: str, facts: dict[str, Any]) -> tuple[str, ...] | None:
        if self._side == "train":
            codes = units_of_text(text)
            if not codes:
                self._reading.excluded["no action unit is named in the text"] += 1
                return None
        else:
            label = row.get("label")
            parts = label if isinstance(label, list) else _BETWEEN.split(str(label).strip(" ,;+"))
            if label is None or not all(_UNIT.fullmatch(str(part)) for part in parts if part != ""):
                reason = "is missing" if label is None else f"{label!r} names no action units"
                self._problem(line, "label", reason, 'write the numbers of action units: "label": "4, 9, 15"')
                return None
            codes = [normalise_code(part) or f"AU{part}" for part in parts if part != ""]
        kept = [code for code in codes if code in UNITS]
        others = sort_codes(code for code in codes if code not in UNITS)
        if others:
            self._other.update(others)
            facts["other_action_units"] = others
            if not kept:
                self._reading.excluded["only action units outside FABA's 20"] += 1
                return None
        return tuple(sort_codes(kept))

    def _emotion_of(self, line: int, row: dict[str, Any], text: str) -> str | None:
        if self._side == "train":
            emotion = self._emotion(text)
            if emotion is None:
                self._reading.excluded["no emotion is named in the text"] += 1
            return emotion
        label = row.get("label")
        if isinstance(label, int | str) and not isinstance(label, bool):
            written = str(label).strip()
            if written.isdecimal() and int(written) < len(EMOTION_IDS):
                return EMOTION_IDS[int(written)]
            noun = normalise_label(written)
            if noun in EMOTION_IDS:
                return noun
        known = ", ".join(f"{number} {emotion}" for number, emotion in enumerate(EMOTION_IDS))
        reason = "is missing" if label is None else f"{label!r} is no emotion of FABA-Instruct"
        self._problem(line, "label", reason, f"the ids are {known}: mend or remove the row")
        return None


def _turn(turns: list[dict[str, Any]], speaker: str) -> str:
    """What `speaker` says first."""
    return next((str(turn.get("value") or "").strip() for turn in turns if turn.get("from") == speaker), "")


def _join(coded: dict[str, _Row], felt: dict[str, _Row], side: str, reading: Reading) -> None:
    """Records of the pictures that are in both lists; the others are counted."""
    for name, one in coded.items():
        other = felt.get(name)
        if other is not None:
            joined = _Row(
                name, one.image, other.question, f"{one.text}\n\n{other.text}", one.place, one.units, other.emotion, one.facts
            )
            reading.records.append(_record("both", joined, side))
    for what, rows, others in (("emotion", coded, felt), ("action unit", felt, coded)):
        if alone := len(rows.keys() - others.keys()):
            reading.excluded[f"{side}: no sound row in the {what} list"] += alone


def _record(task: str, row: _Row, side: str) -> Record:
    return Record(
        id=f"faba/{task}/{row.name}",
        dataset="FABA-Instruct",
        images=(row.image,),
        question=row.question,
        AUs=row.units,
        labels=() if row.emotion is None else (row.emotion,),
        description=row.text,
        split=side,
        meta_info=row.facts,
        source=row.place,
    )
