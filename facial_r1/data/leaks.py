"""Images, videos and sounds on both sides of a mix: exact copies, and the same photograph under another name, size or compression.

FABA-Instruct's images are AffectNet's, RAF-AU shares photographs with RAF-DB, and people collect both: training on the test
set happens by accident.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facial_r1.data.record import Record

Kind = Literal["exact", "perceptual"]


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
    train: Iterable[Record],
    test: Iterable[Record],
    digests: Mapping[str, str],
    perceptual: bool = False,
    cache: Path | None = None,
) -> list[Leak]:
    """Pairs of a train image and a test image that show the same photograph, in the order of the test images.

    Args:
        train, test: The two sides.
        digests: Image digests by path; an image without one is compared by path.
        perceptual: Also find resized, recompressed or recoloured copies. Decodes every image that is not in the cache (1,180 a
            second on one core at 112 pixels, fewer of larger ones).
        cache: Folder in which perceptual fingerprints are kept; None keeps none.
    """
    train, test = list(train), list(test)
    ours, theirs = _owners(train), _owners(test)
    by_content: dict[str, list[str]] = {}
    for path in ours:
        by_content.setdefault(digests.get(path, path), []).append(path)
    found = {
        path: [Leak(twin, path, "exact", (ours[twin], dataset)) for twin in by_content.get(digests.get(path, path), ())]
        for path, dataset in theirs.items()
    }
    if perceptual:
        # Needs numpy; the rest of loading data does not.
        from facial_r1.data.fingerprints import alike

        shown, asked = (list(dict.fromkeys(path for record in side for path in record.images)) for side in (train, test))
        for path, twins in alike(shown, asked, digests, cache).items():
            known = {leak.train for leak in found[path]}
            found[path] += [Leak(twin, path, "perceptual", (ours[twin], theirs[path])) for twin in twins if twin not in known]
    return [leak for path in theirs for leak in found[path]]


def without_leaks(train: Sequence[Record], leaks: Iterable[Leak]) -> list[Record]:
    """The train rows that show none of the leaked images or clips."""
    leaked = {leak.train for leak in leaks}
    return [record for record in train if not leaked.intersection(_files(record))]


def describe_leaks(leaks: Sequence[Leak], rows: int, removed: bool) -> str:
    """One line for the start of a run: how many, between which datasets, an example, and what was or can be done.

    Args:
        leaks: At least one.
        rows: Train rows that show a leaked image, repeats included.
        removed: Whether they were left out.
    """
    pairs = Counter({(leak.test, leak.datasets, leak.kind): (leak.datasets, leak.kind) for leak in leaks}.values())
    listed = ", ".join(f"{kind} {a} / {b}: {count}" for ((a, b), kind), count in pairs.most_common())
    done = (
        f"{rows} train rows were left out (data.deduplicate=true)"
        if removed
        else f"data.deduplicate=true leaves the {rows} train rows out"
    )
    example = f"for example {leaks[0].train} and {leaks[0].test}"
    return f"{len({leak.test for leak in leaks})} test images are also in training ({listed}), {example}; {done}"


def _owners(records: Iterable[Record]) -> dict[str, str]:
    """Path to the name of the dataset that shows it, in the order of the records."""
    return {path: record.dataset for record in records for path in _files(record)}


def _files(record: Record) -> tuple[str, ...]:
    """What is shown. The sound of a clip is not compared on its own: two silent tracks are equal and no leak."""
    clip = record.video or record.audio
    return (*record.images, clip) if clip else record.images
