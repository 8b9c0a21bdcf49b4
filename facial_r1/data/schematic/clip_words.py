"""What is said in drawn clips: sentences that fit a feeling without naming it, and plain remarks."""

from __future__ import annotations

from facial_r1.data.schematic.open_vocabulary import FITTING

SENTENCES: dict[str, tuple[str, ...]] = {
    emotion: (*FITTING[emotion], *more)
    for emotion, more in {
        "anger": ("Get out of my room!", "Who told you to open it?", "That was not your money.", "You never listen.", "Stop shouting at her!"),
        "happiness": ("We have won the cup!", "The baby slept all night.", "You got the job!", "I passed my exam.", "They said yes!"),
        "sadness": ("He will not come back.", "We had to sell the house.", "Nobody sits in her chair now.", "I miss the old days.", "We had to say goodbye."),
        "disgust": ("There is mould in the bread.", "This milk has turned.", "A rat ran over the plate.", "He chews with his mouth open.", "The sink is full of slime."),
        "surprise": ("Where did that come from?", "Wait, it was you?", "It moved by itself!", "Twins? Really?", "There is nothing in it!"),
        "fear": ("It is right behind us.", "The brakes do not work.", "Someone follows me.", "Do not go in there.", "I hear steps upstairs."),
        "neutral": ("The shop is closed on Monday.", "I take the bus to work.", "There are two cups here.", "The lamp is on the left.", "We meet at noon."),
    }.items()
}  # fmt: skip
"""Emotion -> sentences. None holds an emotion word, each belongs to one emotion."""

KINDS: dict[str, tuple[str, ...]] = {
    "anger": ("The words are a reproach", "The words accuse"),
    "happiness": ("The words tell good news", "The words tell of luck"),
    "sadness": ("The words tell of a loss", "The words speak of something gone"),
    "disgust": ("The words tell of something foul", "The words speak of filth"),
    "surprise": ("The words tell of something unexpected", "The words question what just happened"),
    "fear": ("The words tell of a danger", "The words are a warning"),
    "neutral": ("The words are a plain remark", "The words state a plain fact"),
}
"""Emotion -> what kind of sentence it is, without the full stop."""
