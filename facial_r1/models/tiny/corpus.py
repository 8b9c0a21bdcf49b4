"""The sentences that the tokenizer is trained on, all of them ours.

Three parts: descriptions of drawn faces with and without reasoning, the texts of `conf/prompt` and of the questions
asked in pre-training, and a little general English so that a prompt of anyone's own does not fall apart into bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from facial_r1.affect.action_units import ACTION_UNITS
from facial_r1.data.schematic.faces import face
from facial_r1.data.schematic.language import neutral_description, reasoned_description

SEED = 0x70C5
"""Seed of the described faces."""

FACES = 4000
PEOPLE = range(900_000, 900_400)

WORDS = Path(__file__).parent / "words.txt"
"""Common English words, one a line."""

TEXTS = (
    "You are a helpful assistant.",
    "You are a careful observer of faces. Look at the picture and say what you see.",
    "Which facial action units does this face show, and which emotion do they express?",
    "What emotion does the person in the image show? Think about the action units first.",
    "Think step by step inside <think> and </think>, naming each action unit that you see with its code, and give one "
    "word as the answer inside <answer> and </answer>.",
    "What emotion does this face express? Think inside <think></think> and name the action units; answer inside "
    "<answer></answer> with one emotion word.",
    "First describe what the brows, lids, cheeks, nose, lips, chin and jaw do. Then name the emotion.",
    "Answer with one of: anger, contempt, disgust, fear, happiness, neutral, sadness, surprise.",
    "The possible emotions are neutral, happiness, sadness, surprise, fear, disgust, anger and contempt.",
    "Your last answer was not accepted: write the reasoning again and keep to the format.",
    "The face is known to express the emotion below. Write the reasoning that leads to it from what can be seen.",
    "Name only what is visible. Do not mention anything that you were told.",
    "Please analyse the facial expression in this picture and explain your reasoning before you give the answer.",
    "Is the mouth open or closed? Are the eyes wide or narrow? Is the forehead smooth?",
    "The quick brown fox jumps over the lazy dog, and 1 2 3 4 5 6 7 8 9 10 come after 0.",
    "She waited at the station for an hour; the train, which was late again, never came.",
    "It's raining, so we'll stay at home and don't need the car.",
    "A dataset of 4000 pictures with 500 more for the test.",
)

QUESTIONS = (
    "Describe the face.",
    "What does the face do?",
    "Say what the brows, lids and lips do.",
    "Describe what you see in the face.",
    "What do the parts of this face do?",
    "Tell me about the face in the picture.",
    "Give a plain description of the face.",
)
"""Short requests for a neutral description."""

LONG_QUESTIONS = (
    "Look at the person in the image. Consider the brows, the lids, the cheeks, the nose, the lips, the chin and the jaw "
    "one after the other, and say of each part that moves what it does. Leave out what is at rest. Use short plain "
    "sentences, one for each movement, from the top of the face to the bottom, and do not guess what the person feels.",
    "You are shown one drawn face. Hair, glasses, beard, background and light do not matter here, and the head may be "
    "turned a little or partly covered by a hand. What matters is how the face moves. Please describe it, and keep to "
    "what can be seen.",
    "Describe the face. Work downwards: first the brows and the eyes, then the nose and the cheeks, at last the mouth and the "
    "chin. A movement may be weak, or stronger on one side than on the other; it counts all the same. Several movements "
    "may be present at once, or none at all. Write one sentence for each movement that you find, and nothing else: no "
    "title, no list, no number. If nothing moves, say that the face is at rest.",
    "I will ask about this picture later. For now, please write down what the different parts of the face are doing, so that "
    "someone who cannot see the picture would know how it looks.",
)
"""Longer requests, so that the length of a prompt means nothing to the model."""


def sentences(prompts: tuple[str, ...] = ()) -> Iterator[str]:
    """Give the corpus, always in the same order.

    Args:
        prompts: Further texts, for example those of `conf/prompt`.
    """
    for index in range(FACES):
        one = face(SEED, index, PEOPLE)
        yield reasoned_description(one)
        yield neutral_description(one)
    for unit in ACTION_UNITS.values():
        yield from (f" ({unit.code}).", f"{unit.code}: {unit.name}", f" {unit.code}, {unit.code}.") * 4
    for text in (*TEXTS, *QUESTIONS, *LONG_QUESTIONS, *prompts):
        yield from (text,) * 3
    for word in WORDS.read_text(encoding="utf-8").split():
        # Between marks, so that a word is learned by itself and not as a part of a run of words.
        yield from (f" {word}.",) * 4
        yield from (f"{word.capitalize()}.",) * 2
    for role in ("system", "user", "assistant"):
        yield from (f"{role}\n",) * 20
