"""The drawn faces of pre-training: which ones, and a process of its own that draws them while another one trains."""

from __future__ import annotations

from types import TracebackType

import numpy as np

from facial_r1.data.schematic import PRETRAINING_PEOPLE, Face, draw, face
from facial_r1.data.schematic.language import PHRASES
from facial_r1.models.tiny.ahead import Ahead

SEED = 20_251_114
"""Seed of the pre-training faces; no dataset is drawn from it."""

PEOPLE = PRETRAINING_PEOPLE[:-500]
"""Identities of the pre-training faces, apart from those of every dataset."""

HELD_OUT_SEED = 20_251_115
HELD_OUT_PEOPLE = PRETRAINING_PEOPLE[-500:]
"""Identities that are neither in pre-training nor in any dataset."""

SIDE = 112


def training_face(index: int) -> Face:
    """Give the pre-training face of this number."""
    return face(SEED, index, PEOPLE)


def held_out_face(index: int) -> Face:
    """Give a face of a person who is in no training picture."""
    return face(HELD_OUT_SEED, index, HELD_OUT_PEOPLE)


def pixels(one: Face) -> np.ndarray:
    """Draw a face: ``(112, 112, 3)``, uint8."""
    return np.asarray(draw(one, size=SIDE), dtype=np.uint8)


def sentence_bits(text: str) -> np.ndarray:
    """Mark which sentences a neutral description holds, equivalent wordings counting as one.

    Returns:
        ``(15,)``, float32, 0 or 1, in the order of `PHRASES`.
    """
    said = {sentence.strip() for sentence in text.split(".")}
    return np.array([any(wording in said for wording in wordings) for wordings in PHRASES.values()], dtype=np.float32)


class Drawing:
    """A background process that draws the pre-training faces in order; a context manager.

    Args:
        first: Number of the first face.
        size: Faces in a batch.
        ahead: Batches that wait to be taken, at most.
        niceness: How far the process steps back for others.
    """

    def __init__(self, first: int, size: int, *, ahead: int = 64, niceness: int = 5) -> None:
        self._next, self._size = first, size
        self._ahead = Ahead(_drawn, first, size, ahead=ahead, niceness=niceness)

    def __enter__(self) -> Drawing:
        self._ahead.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ahead.__exit__(kind, error, trace)

    def take(self) -> tuple[np.ndarray, list[Face]]:
        """Wait for the next batch: pixels ``(size, 112, 112, 3)``, uint8, and the faces.

        Raises:
            RuntimeError: The process has ended.
        """
        drawn = self._ahead.take()
        faces = [training_face(index) for index in range(self._next, self._next + self._size)]
        self._next += self._size
        return drawn, faces


def _drawn(first: int, size: int) -> np.ndarray:
    return np.stack([pixels(training_face(index)) for index in range(first, first + size)])
