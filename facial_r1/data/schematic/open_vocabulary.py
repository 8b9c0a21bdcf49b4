"""Drawn faces with several emotion words and a transcript: the small stand-in for clips with open-vocabulary labels.

Pictures, people and sides are those of the drawn faces; only what is written about them differs. Each face gets 1 to 4 words of its
expression from lists of our own (a conflicting face one of the expression laid over it as well), and one sentence that fits the
feeling or says nothing about it. The words themselves cannot be told from the picture, only what they have in common: as with the labels of
people, there is an answer that is right on the wheels and none that is right to the letter.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facial_r1 import atomic
from facial_r1.data.schematic.dataset import TEST_START
from facial_r1.data.schematic.expressions import decide
from facial_r1.data.schematic.faces import TEST_PEOPLE, TRAIN_PEOPLE, Face, face
from facial_r1.data.schematic.language import neutral_description
from facial_r1.data.schematic.stream import Stream

VERSION = 1
"""Raise it when a face gets other words; materialised files of another version are written anew."""

DATASET = "schematic_open"
QUESTION = "Which emotions does this person show?"

WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "happiness": (
        ("happy", "joyful", "delighted", "cheerful"),
        ("proud", "excited", "amused", "hopeful", "relieved", "grateful"),
    ),
    "sadness": (("sad", "unhappy", "sorrowful", "miserable"), ("hurt", "disappointed", "lonely", "helpless", "regretful")),
    "anger": (("angry", "furious", "annoyed", "irritated"), ("frustrated", "indignant", "resentful", "hostile", "bitter")),
    "fear": (("afraid", "scared", "anxious", "frightened"), ("worried", "nervous", "uneasy", "helpless", "tense")),
    "surprise": (("surprised", "astonished", "amazed", "stunned"), ("startled", "confused", "curious", "shocked", "excited")),
    "disgust": (("disgusted", "appalled", "repelled", "revolted"), ("disapproving", "uncomfortable", "outraged", "annoyed")),
    "neutral": (("calm", "peaceful", "composed", "relaxed"), ("thoughtful", "attentive", "serious", "focused")),
}
"""Expression -> words that name it, and words that often go with it. All are in the embedded tables."""

COUNTS: tuple[tuple[int, float], ...] = ((1, 0.25), (2, 0.35), (3, 0.25), (4, 0.15))
"""Words of a face, with their chances."""

FITTING: dict[str, tuple[str, ...]] = {
    "happiness": ("We came first in the race!", "My sister comes home today.", "That is the best present I ever got."),
    "sadness": ("She never wrote back to me.", "The old dog died last night.", "I have nobody left to talk to."),
    "anger": ("You broke my things again!", "Do not lie to me.", "I told you three times to stop."),
    "fear": ("There is somebody in the house.", "I cannot find my child.", "Please do not leave me alone here."),
    "surprise": ("I did not see that coming!", "You are here already?", "How did you do that?"),
    "disgust": ("There is hair in my soup.", "What is that smell?", "He spat on the floor."),
    "neutral": ("The train leaves at nine.", "Put it on the table.", "It is the second door on the left."),
}
"""Expression -> sentences that fit it, without any emotion word."""

FITTING_SHARE = 0.6
"""Of faces whose transcript fits; the others get a sentence of the neutral ones."""


def words_of(one: Face) -> list[str]:
    """The emotion words of a face, 1 to 4, each once, the one that names the expression first."""
    stream = Stream(one.wording, 11)
    count = stream.weighted(COUNTS)
    own, related = WORDS[one.emotion]
    first = stream.choice(own)
    rest = stream.shuffled([*related, *(word for word in own if word != first)])
    laid_over = decide(one.foreign)[0] if one.foreign else "neutral"
    if laid_over not in ("neutral", one.emotion):
        rest.insert(0, stream.choice(WORDS[laid_over][0]))
        count = max(count, 2)
    return list(dict.fromkeys([first, *rest]))[:count]


def transcript_of(one: Face) -> str:
    """What is said with a face: one sentence."""
    stream = Stream(one.wording, 12)
    return stream.choice(FITTING[one.emotion if stream.chance(FITTING_SHARE) else "neutral"])


def description_of(one: Face) -> str:
    """Reasoning that names the words, and the answer: ``<think>...</think><answer>happy, proud</answer>``."""
    words = words_of(one)
    named = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return f"<think>{neutral_description(one)} The person seems {named}.</think><answer>{', '.join(words)}</answer>"


def open_row(row: Mapping[str, Any], one: Face, image: str) -> dict[str, Any]:
    """The row of a drawn face with words and transcript in place of noun and action units; one without a description stays without."""
    return {
        **row,
        "id": str(row["id"]).replace("schematic", DATASET, 1),
        "dataset": DATASET,
        "image": image,
        "question": QUESTION,
        "AUs": None,
        "labels": words_of(one),
        "description": description_of(one) if row["description"] else "",
        "transcript": transcript_of(one),
        "meta_info": {**row["meta_info"], "expression": one.emotion},
    }


def write_open(drawn: Path, folder: Path, seed: int) -> Path:
    """`train.jsonl` and `test.jsonl` with emotion words about drawn faces; written once.

    Args:
        drawn: What `facial_r1.data.schematic.dataset.materialise` made; its pictures are used where they are.
        folder: Where the rows go; image paths in them are relative to it.
        seed: Of the drawn faces.

    Returns:
        `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stamp = json.loads((drawn / "dataset.json").read_text(encoding="utf-8"))["fingerprint"]
    card = folder / "open.json"
    wanted = {"version": VERSION, "drawn": stamp}
    if card.is_file() and json.loads(card.read_text(encoding="utf-8")) == wanted:
        return folder
    images = Path(os.path.relpath(drawn, folder))
    for side, start, people in (("train", 0, TRAIN_PEOPLE), ("test", TEST_START, TEST_PEOPLE)):
        rows = [json.loads(line) for line in (drawn / f"{side}.jsonl").read_text(encoding="utf-8").splitlines()]
        lines = [
            json.dumps(open_row(row, face(seed, start + number, people), str(images / row["image"])), ensure_ascii=False)
            for number, row in enumerate(rows)
        ]
        atomic.write_text(folder / f"{side}.jsonl", "".join(f"{line}\n" for line in lines))
    atomic.write_json(card, wanted)
    return folder
