"""Perceptual fingerprints: the same photograph under another name, size, compression or brightness.

A fingerprint finds candidates, a closer look at small grey versions confirms them. Fingerprints are kept in the cache by the
digest of the file, so that 300,000 photographs are decoded once and not at every start.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facial_r1.data.drawn import exclusive
from facial_r1.data.images import ImageError, open_image
from facial_r1.progress import progress_bar

SIDE = 32
"""Side of the grey versions that are compared, in pixels."""
BITS = 256
"""Bits of a fingerprint: the signs of 16 x 16 low frequencies."""
NEAR = 40
"""Fingerprints that differ in at most this many bits are looked at closely (unrelated photographs differ in about 128)."""
ALIKE = 0.985
"""Correlation of the grey versions from which on two images are the same photograph."""
FILE = "fingerprints-v1.bin"
"""Name in the cache; another one when a fingerprint of the same image changes."""

_WORDS = BITS // 64
_ENTRY = np.dtype([("digest", "V16"), ("bits", "<u8", (_WORDS,))])
_THREADS = 8
_CHUNK = 256
Bits = NDArray[np.uint64]
Grey = NDArray[np.float32]


def alike(
    train: Sequence[str], test: Sequence[str], digests: Mapping[str, str], cache: Path | None = None
) -> dict[str, list[str]]:
    """Test image to the train images that show the same photograph.

    Args:
        train, test: Paths.
        digests: Digest by path (32 hexadecimal digits); images without one are not kept in the cache.
        cache: Folder in which fingerprints are kept; None keeps none.
    """
    if not train or not test:
        return {}
    bits = fingerprints([*train, *test], digests, cache)
    words = np.ascontiguousarray(bits[: len(train)].T)
    near: dict[str, list[str]] = {}
    for path, own in zip(test, bits[len(train) :], strict=True):
        close = _within(words, own)
        if len(close):
            near[path] = [train[place] for place in close.tolist()]
    greys = dict(_read(dict.fromkeys(path for pair in near.items() for path in (pair[0], *pair[1])), "comparing images"))
    found = {path: [twin for twin in twins if _same(greys[twin], greys[path])] for path, twins in near.items()}
    return {path: twins for path, twins in found.items() if twins}


def fingerprints(paths: Sequence[str], digests: Mapping[str, str], cache: Path | None = None) -> Bits:
    """The fingerprint of each image: signs of 16 x 16 low-frequency cosine coefficients against their median (Zauner 2010, section
    3.2, on a finer grid), shape (n, 4) of 64 bits each. An image that cannot be read has zeros.
    """
    known = _remembered(cache)
    result: Bits = np.zeros((len(paths), _WORDS), dtype=np.uint64)
    places: dict[str, list[int]] = {}
    for place, path in enumerate(paths):
        row = known.get(_key(digests.get(path)))
        if row is None:
            places.setdefault(path, []).append(place)
        else:
            result[place] = row
    fresh: list[tuple[bytes, Bits]] = []
    for path, grey in _read(places, "fingerprinting images"):
        if grey is None:
            continue
        bits = _bits(grey)
        result[places[path]] = bits
        if key := _key(digests.get(path)):
            fresh.append((key, bits))
        if len(fresh) >= 16 * _CHUNK:  # so that work that is cut off is not lost
            _remember(cache, fresh)
            fresh = []
    _remember(cache, fresh)
    return result


def _within(words: Bits, own: Bits) -> NDArray[np.intp]:
    """Places of the fingerprints, given word by word in shape (4, n), that differ from `own` in at most `NEAR` bits.

    Half of the bits tell nearly all unrelated images apart, so that the other half is counted for the few that are left.
    """
    half = np.bitwise_count(words[0] ^ own[0]) + np.bitwise_count(words[1] ^ own[1])
    left = np.flatnonzero(half <= NEAR)
    rest = np.bitwise_count(words[2, left] ^ own[2]) + np.bitwise_count(words[3, left] ^ own[3])
    return left[half[left] + rest <= NEAR]


def _bits(grey: Grey) -> Bits:
    cosine = _COSINES
    low = (cosine @ grey @ cosine.T).reshape(BITS)
    low[0] = 0.0  # brightness
    return np.packbits(low > np.median(low)).view(np.uint64)


def _read(paths: Iterable[str], what: str) -> Iterator[tuple[str, Grey | None]]:
    """Each image with its grey version, None for one that cannot be read."""
    listed = list(paths)
    with ThreadPoolExecutor(_THREADS) as pool, progress_bar(len(listed), what, "images") as advance:
        for start in range(0, len(listed), _CHUNK):
            part = listed[start : start + _CHUNK]
            yield from zip(part, pool.map(_grey, part), strict=True)
            advance(len(part))


def _grey(path: str) -> Grey | None:
    try:
        image = open_image(path).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    except ImageError:
        return None
    return np.asarray(image, dtype=np.float32)


def _same(one: Grey | None, two: Grey | None) -> bool:
    """Whether the grey versions correlate; one without contrast resembles nothing."""
    if one is None or two is None:
        return False
    a, b = one - one.mean(), two - two.mean()
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return length > 0 and float((a * b).sum()) / length >= ALIKE


def _cosines() -> NDArray[np.float32]:
    """Rows of the discrete cosine transform, shape (16, SIDE)."""
    place = (np.arange(SIDE) + 0.5) * np.pi / SIDE
    return np.cos(np.outer(np.arange(16), place)).astype(np.float32)


_COSINES = _cosines()


def _key(digest: str | None) -> bytes:
    """The 16 bytes of a digest; empty where there is none."""
    if digest is None or len(digest) != 32:
        return b""
    return bytes.fromhex(digest)


def _remembered(cache: Path | None) -> dict[bytes, Bits]:
    """What lies in the cache. An entry that was cut off is not there."""
    try:
        raw = b"" if cache is None else (cache / FILE).read_bytes()
    except OSError:
        return {}
    table = np.frombuffer(raw, dtype=_ENTRY, count=len(raw) // _ENTRY.itemsize)
    keys = table["digest"].tobytes()
    return {keys[16 * place : 16 * place + 16]: bits for place, bits in enumerate(table["bits"])}


def _remember(cache: Path | None, fresh: Sequence[tuple[bytes, Bits]]) -> None:
    """Add to the cache. Where it cannot be written, nothing is kept and nothing is lost."""
    if cache is None or not fresh:
        return
    table = np.zeros(len(fresh), dtype=_ENTRY)
    for place, (key, bits) in enumerate(fresh):
        table[place] = (key, bits)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with exclusive(cache / f".{FILE}.lock"), open(cache / FILE, "ab") as stream:
            whole = os.path.getsize(cache / FILE) // _ENTRY.itemsize * _ENTRY.itemsize  # noqa: PTH202
            stream.truncate(whole)  # what a killed process left half written
            stream.write(table.tobytes())
    except OSError:
        return
