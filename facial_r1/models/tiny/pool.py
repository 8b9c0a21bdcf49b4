"""Drawn faces in a memory map, filled by a process of its own while another one trains on what is there."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facial_r1.data.schematic import PRETRAINING_PEOPLE, Face, draw, face, neutral_description
from facial_r1.data.schematic.language import PHRASES

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


@dataclass(frozen=True)
class Pool:
    """Faces 0 to ``size`` of `training_face`, drawn in this order.

    Attributes:
        folder: Holds the pixels and the count of those that are done.
        size: Faces in the end.
    """

    folder: Path
    size: int

    def create(self) -> Pool:
        """Make the empty files, or keep those of an earlier run of the same size."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._pixels_file.exists() or self._pixels_file.stat().st_size != self.size * SIDE * SIDE * 3:
            np.memmap(self._pixels_file, np.uint8, "w+", shape=(self.size, SIDE, SIDE, 3)).flush()
            np.memmap(self._done_file, np.int64, "w+", shape=(1,)).flush()
        return self

    @property
    def _pixels_file(self) -> Path:
        return self.folder / "pixels.u8"

    @property
    def _done_file(self) -> Path:
        return self.folder / "done.i64"

    def open(self) -> tuple[np.ndarray, np.ndarray]:
        """Map the pixels ``(size, 112, 112, 3)`` and the one-element count of finished faces, both live."""
        return (
            np.memmap(self._pixels_file, np.uint8, "r+", shape=(self.size, SIDE, SIDE, 3)),
            np.memmap(self._done_file, np.int64, "r+", shape=(1,)),
        )

    def fill(self, parent: int | None = None) -> None:
        """Draw what is missing; with a parent's process id, only as long as this process is its child."""
        faces, done = self.open()
        for index in range(int(done[0]), self.size):
            if parent is not None and os.getppid() != parent:
                return
            faces[index] = pixels(training_face(index))
            done[0] = index + 1

    def fill_in_background(self, niceness: int = 5) -> multiprocessing.Process:
        """Start a process that draws; it ends with this one."""
        process = multiprocessing.get_context("spawn").Process(
            target=_fill, args=(self, niceness, os.getpid()), daemon=True
        )
        process.start()
        return process


def _fill(pool: Pool, niceness: int, parent: int) -> None:
    os.nice(niceness)
    pool.fill(parent)


def descriptions(indices: np.ndarray) -> list[str]:
    """Give the neutral descriptions of pre-training faces."""
    return [neutral_description(training_face(int(index))) for index in indices]
