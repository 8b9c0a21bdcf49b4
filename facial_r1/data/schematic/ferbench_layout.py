"""Drawn faces laid out as FERBench and UniFER's training files are, so that their recipes run with nothing to download.

The four question files have the benchmark's names, keys, order of candidates and question text, and the pictures lie at its paths;
the training files have the keys that UniFER's training code reads. What is not like the benchmark: the faces are drawn, there are
fewer of them, the emotions are balanced, and **no face shows contempt**. The sets with eight candidates still name it, so that a
model can answer it, and be wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from facial_r1 import atomic
from facial_r1.affect.emotions import SEVEN_EMOTIONS
from facial_r1.data.ferbench import AUTHORS_NAMES, DATASETS, LABELS, QUESTIONS
from facial_r1.data.schematic.dataset import TEST_START
from facial_r1.data.schematic.drawing import draw
from facial_r1.data.schematic.faces import TEST_PEOPLE, TRAIN_PEOPLE, VERSION, Face, face
from facial_r1.data.schematic.language import reasoned_description
from facial_r1.errors import InputError
from facial_r1.progress import progress_bar

CARD = "drawn.json"
"""Settings and counts of a folder; it is there only when everything else is."""

COT, RLVR = "UniFER_CoT_230K.json", "UniFER_RLVR_360K.json"

QUESTION = (
    "As an expert in facial expression recognition, which expression is most prominent in this image? Please select your answer "
    "from the following candidate labels: {labels}. Provide your detailed reasoning between the <think></think> tags, and then "
    "give your final answer between the <answer></answer> tags."
)
"""The question of all four files (UniFER, arXiv 2511.00389, CC BY 4.0)."""

SIDES: dict[str, int] = {"rafdb": 100, "ferplus": 48, "affectnet": 112, "sfew": 112}
"""Pixels. RAF-DB's aligned faces and FER+'s have these sizes; those of the other two vary, here they are what the tiny model sees."""

_BLOCK = len(SEVEN_EMOTIONS)


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many faces, each split over the four sets as FERBench is; what decides a folder together with the seed.

    Attributes:
        test: Questions; rounded so that each set has every drawn emotion equally often.
        described: Rows of the SFT file, each with reasoning.
        labelled: Rows of the GRPO file, other faces than those of the SFT file.
        seed: Non-negative.
        version: Of the drawings.
    """

    test: int = 1120
    described: int = 112
    labelled: int = 1120
    seed: int = 0
    version: int = VERSION

    def __post_init__(self) -> None:
        for name in ("test", "described", "labelled"):
            if not 4 * _BLOCK <= getattr(self, name) <= TEST_START:
                raise InputError(f"{name}={getattr(self, name)}: give at least {4 * _BLOCK}, one face an emotion and set")
        if self.seed < 0:
            raise InputError(f"seed={self.seed}: a whole number from 0")


def lay_out(folder: Path | str, amounts: Amounts | None = None) -> dict[str, Any]:
    """Draw the faces and write question files, training files and ``drawn.json`` into a folder, whole or not at all.

    A folder of the same amounts is left as it is. No training picture has the path or the file name of a question's.

    Args:
        folder: ``data.root`` of ``data=ferbench``, ``data=unifer_cot`` and ``data=unifer_rlvr`` afterwards.
        amounts: How many of what.

    Returns:
        The content of ``drawn.json``.

    Raises:
        InputError: The folder holds something else.
    """
    target, wanted = Path(folder), amounts or Amounts()
    if target.exists():
        return _found(target, wanted)
    shares = {kind: split(getattr(wanted, kind)) for kind in ("test", "described", "labelled")}
    total = sum(sum(share.values()) for share in shares.values())
    with atomic.folder(target) as fresh, progress_bar(total, "drawing faces", "faces") as advance:
        counts: dict[str, dict[str, int]] = {}
        first = {"test": TEST_START, "described": 0, "labelled": sum(shares["described"].values())}
        for kind, share in shares.items():
            rows: dict[str, list[dict[str, Any]]] = {}
            index = first[kind]
            for name in DATASETS:
                rows[name] = []
                for number in range(index, index + share[name]):
                    rows[name].append(_row(fresh, kind, name, wanted.seed, number))
                    advance(1)
                index += share[name]
            counts[kind] = _write(fresh, kind, rows)
        card = {
            "what": "drawn faces laid out as FERBench; none shows contempt, emotions are balanced",
            "amounts": asdict(wanted),
            "counts": counts,
        }
        atomic.write_json(fresh / CARD, card)
    return card


def split(amount: int) -> dict[str, int]:
    """Cut an amount into multiples of seven for the four sets, in FERBench's proportions; each set gets seven at least.

    >>> split(1120)
    {'affectnet': 406, 'rafdb': 308, 'ferplus': 364, 'sfew': 42}
    """
    whole = sum(QUESTIONS.values())
    return {name: max(1, round(amount * QUESTIONS[name] / whole / _BLOCK)) * _BLOCK for name in DATASETS}


def word(emotion: str, dataset: str) -> str:
    """What a set calls an emotion: nouns in RAF-DB and AffectNet, adjectives in FER+ and SFEW.

    >>> word("happiness", "ferplus"), word("happiness", "rafdb"), word("fear", "sfew")
    ('happy', 'happiness', 'fear')
    """
    adjective = {"anger": "angry", "happiness": "happy", "sadness": "sad"}.get(emotion, emotion)
    return adjective if adjective in LABELS[dataset] else emotion


def image_path(one: Face, dataset: str, test: bool) -> str:
    """The path that the benchmark (or, in the same manner, a training file) would give a face, with the slash in front."""
    number, label = one.index - (TEST_START if test else 0), word(one.emotion, dataset)
    if dataset == "rafdb":
        return (
            f"/RAF-DB/aligned/test_{number + 1:04d}_aligned.jpg"
            if test
            else f"/RAF-DB/aligned/train_{number + 1:05d}_aligned.jpg"
        )
    if dataset == "ferplus":
        # Microsoft counts the training faces from 0 and the test faces from 32,298; ours must not meet either way.
        return f"/FERPlus/test/{label}/fer{3_000_000 + number:07d}.png" if test else f"/FERPlus/train/{label}/fer{number:07d}.png"
    if dataset == "affectnet":
        digest = hashlib.sha224(f"drawn face {one.seed} {one.index}".encode()).hexdigest()
        return f"/AffectNet/Manually_Annotated/{'validation' if test else 'training'}/{number % 1347 + 1}/{digest}.jpg"
    side = "Val/Val_Aligned_Faces" if test else "Train/Train_Aligned_Faces"
    return f"/SFEW-2.0/{side}/{label.capitalize()}/Drawn{'Val' if test else 'Train'}_{one.person:09d}_{number:08d}.png"


def _row(folder: Path, kind: str, dataset: str, seed: int, index: int) -> dict[str, Any]:
    """Draw one face and give its row, in the keys and their order of the file it belongs to."""
    test = kind == "test"
    one = face(seed, index, TEST_PEOPLE if test else TRAIN_PEOPLE)
    path, label = image_path(one, dataset, test), word(one.emotion, dataset)
    _save(draw(one, SIDES[dataset]), folder / path.lstrip("/"), grey=dataset == "ferplus")
    question = QUESTION.format(labels=", ".join(LABELS[dataset]))
    if test:
        return {"image_path": path, "true_label": label, "prompt": question, "candidate_labels": list(LABELS[dataset])}
    if kind == "labelled":
        return {"image_path": path, "problem": question, "solution": f"<answer>{label}</answer>"}
    reasoning = reasoned_description(one).partition("<answer>")[0]
    return {"image_path": path, "question": question, "response": f"{reasoning}<answer>{label}</answer>"}


def _save(picture: Image.Image, path: Path, grey: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = picture.convert("L") if grey else picture
    if path.suffix == ".jpg":
        shown.save(path, "JPEG", quality=95, subsampling=0)
    else:
        shown.save(path, "PNG", compress_level=1)


def _write(folder: Path, kind: str, rows: dict[str, list[dict[str, Any]]]) -> dict[str, int]:
    if kind == "test":
        for name, asked in rows.items():
            ordered = {
                "rafdb": lambda row: [-ord(letter) for letter in row["image_path"]],  # from the last number down, as there
                "sfew": lambda row: [row["true_label"]],
            }.get(name, lambda row: [row["image_path"]])
            _write_array(folder / f"{AUTHORS_NAMES[name]}_qa.json", sorted(asked, key=ordered))
    else:
        _write_array(folder / (COT if kind == "described" else RLVR), [row for part in rows.values() for row in part])
    return {name: len(part) for name, part in rows.items()}


def _write_array(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    atomic.write_text(path, json.dumps(rows, indent=2))


def _found(folder: Path, wanted: Amounts) -> dict[str, Any]:
    card = folder / CARD
    try:
        found = dict(atomic.read_json(card)) if card.is_file() else {}
    except ValueError:
        found = {}
    if found.get("amounts") == asdict(wanted):
        return found
    what = f"was drawn with {found['amounts']}" if "amounts" in found else f"holds something else (there is no {CARD})"
    raise InputError(f"{folder}: {what}; name another folder, or remove this one")


def main(arguments: Sequence[str]) -> int:
    """`facial-r1 draw <folder>`; returns 0, or 2 when the folder holds something else."""
    usual = Amounts()
    parser = argparse.ArgumentParser(
        prog="facial-r1 draw", description="Draw faces laid out as FERBench, with training files for UniFER's recipes."
    )
    parser.add_argument("folder", type=Path, help="data.root of the recipes afterwards; must not exist")
    parser.add_argument("--test", type=int, default=usual.test, help=f"questions of the four sets ({usual.test})")
    parser.add_argument(
        "--described", type=int, default=usual.described, help=f"rows with reasoning, for SFT ({usual.described})"
    )
    parser.add_argument("--labelled", type=int, default=usual.labelled, help=f"rows with a label, for GRPO ({usual.labelled})")
    parser.add_argument("--seed", type=int, default=usual.seed, help="other faces (0)")
    options = parser.parse_args(list(arguments))
    try:
        card = lay_out(options.folder, Amounts(options.test, options.described, options.labelled, options.seed))
    except InputError as error:
        print(f"facial-r1 draw: {error}", file=sys.stderr)
        return 2
    for kind, counts in card["counts"].items():
        print(f"{kind}: {sum(counts.values())} faces ({', '.join(f'{name} {count}' for name, count in Counter(counts).items())})")
    print(f"data.root={options.folder}")
    return 0
