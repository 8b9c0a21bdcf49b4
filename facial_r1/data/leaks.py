"""Images on both sides of a mix: exact copies, and the same photograph under another name, size or compression.

FABA-Instruct's images are AffectNet's, RAF-AU shares photographs with RAF-DB, and people collect both: training on the test
set happens by accident. A perceptual fingerprint finds candidates, a closer look at small grey versions confirms them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facial_r1.data.images import ImageError, open_image
from facial_r1.data.record import Record
from facial_r1.progress import progress_bar

Kind = Literal["exact", "perceptual"]

SIDE = 32
"""Side of the grey versions that are compared, in pixels."""
BITS = 256
"""Bits of a fingerprint: the signs of 16 x 16 low frequencies."""
NEAR = 40
"""Fingerprints that differ in at most this many bits are looked at closely (unrelated photographs differ in about 128)."""
ALIKE = 0.985
"""Correlation of the grey versions from which on two images are the same photograph."""
_THREADS = 8
_CHUNK = 256
_Bits = NDArray[np.uint64]
_Greys = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Leak:
    """A test image that training shows too.

    Attributes:
        train, test: Paths of the two images.
        kind: "exact" for equal files, "perceptual" for the same photograph in another form.
        datasets: Names of the train and the test dataset.
    """

    train: str
    test: str
    kind: Kind
    datasets: tuple[str, str]


def find_leaks(
    train: Iterable[Record], test: Iterable[Record], digests: Mapping[str, str], perceptual: bool = False
) -> list[Leak]:
    """Pairs of a train image and a test image that show the same photograph, in the order of the test images.

    Args:
        train, test: The two sides.
        digests: Image digests by path; an image without one is compared by path.
        perceptual: Also find resized, recompressed or recoloured copies. Reads every image once (about 500 a second on two
            cores at 224 pixels).
    """
    ours, theirs = _owners(train), _owners(test)
    by_content: dict[str, list[str]] = {}
    for path in ours:
        by_content.setdefault(digests.get(path, path), []).append(path)
    found = {
        path: [Leak(twin, path, "exact", (ours[twin], dataset)) for twin in by_content.get(digests.get(path, path), ())]
        for path, dataset in theirs.items()
    }
    if perceptual:
        for path, twins in _alike(list(ours), list(theirs)).items():
            known = {leak.train for leak in found[path]}
            found[path] += [Leak(twin, path, "perceptual", (ours[twin], theirs[path])) for twin in twins if twin not in known]
    return [leak for path in theirs for leak in found[path]]


def without_leaks(train: Sequence[Record], leaks: Iterable[Leak]) -> list[Record]:
    """The train rows that show none of the leaked images."""
    leaked = {leak.train for leak in leaks}
    return [record for record in train if not leaked.intersection(record.images)]


def describe_leaks(leaks: Sequence[Leak], rows: int, removed: bool) -> str:
    """One line for the start of a run: how many, between which datasets, an example, and what was or can be done."""
    pairs = Counter({(leak.test, leak.datasets, leak.kind): (leak.datasets, leak.kind) for leak in leaks}.values())
    listed = ", ".join(f"{kind} {a} / {b}: {count}" for ((a, b), kind), count in pairs.most_common())
    done = f"{rows} train rows were left out" if removed else "data.deduplicate=true leaves them out of training"
    example = f"for example {leaks[0].train} and {leaks[0].test}"
    return f"{len({leak.test for leak in leaks})} test images are also in training ({listed}), {example}; {done}"


def _owners(records: Iterable[Record]) -> dict[str, str]:
    """Image path to the name of the dataset that shows it, in the order of the records."""
    return {path: record.dataset for record in records for path in record.images}


def fingerprints(paths: Sequence[str]) -> tuple[_Bits, _Greys]:
    """Perceptual fingerprints and grey versions of images.

    The fingerprint is the sign of each of 16 x 16 low-frequency cosine coefficients against their median (Zauner 2010,
    section 3.2, on a finer grid). An image that cannot be read gets a grey version of zeros, which matches nothing.

    Returns:
        Bits, shape (n, 4) of 64 each, and standardised grey versions, shape (n, SIDE * SIDE).
    """
    greys = np.zeros((len(paths), SIDE, SIDE), dtype=np.float32)
    with ThreadPoolExecutor(_THREADS) as pool, progress_bar(len(paths), "fingerprinting images", "images") as advance:
        for start in range(0, len(paths), _CHUNK):
            part = paths[start : start + _CHUNK]
            for offset, grey in enumerate(pool.map(_grey, part)):
                if grey is not None:
                    greys[start + offset] = grey
            advance(len(part))
    cosine = _cosines()
    low = (cosine @ greys @ cosine.T).reshape(len(paths), -1)
    low[:, 0] = 0.0  # brightness
    signs = low > np.median(low, axis=1, keepdims=True)
    bits = np.packbits(signs, axis=1).view(np.uint64).reshape(len(paths), BITS // 64)
    flat = greys.reshape(len(paths), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return bits, (flat / np.where(length > 0, length, 1.0)).astype(np.float32)


def _grey(path: str | os.PathLike[str]) -> NDArray[np.float32] | None:
    try:
        image = open_image(path).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    except ImageError:
        return None
    return np.asarray(image, dtype=np.float32)


def _cosines() -> NDArray[np.float32]:
    """Rows of the discrete cosine transform, shape (16, SIDE)."""
    place = (np.arange(SIDE) + 0.5) * np.pi / SIDE
    return np.cos(np.outer(np.arange(16), place)).astype(np.float32)


def _alike(train: Sequence[str], test: Sequence[str]) -> dict[str, list[str]]:
    """Test image to the train images that show the same photograph."""
    found: dict[str, list[str]] = {}
    if not train or not test:
        return found
    bits, greys = fingerprints([*train, *test])
    ours, theirs = bits[: len(train)], bits[len(train) :]
    for index, path in enumerate(test):
        near = np.flatnonzero(np.bitwise_count(ours ^ theirs[index]).sum(axis=1) <= NEAR)
        likeness = greys[near] @ greys[len(train) + index]
        twins = [train[place] for place in near[likeness >= ALIKE]]
        if twins:
            found[path] = twins
    return found
