"""MER-UniBench as its authors keep it: the truths of nine sets in the owners' folders, and the released files of predicted words.

Truths (AffectGPT, arXiv 2501.16566, and its released loaders): ``label*.npz`` with one dictionary of clips for each part, ``{name: {"emo", "val"}}``,
and ``ovlabel.csv`` for OV-MERD+. Predictions lie in ``results-<set>/<run>/``, three files for each checkpoint:

* ``checkpoint_000030_loss_0.123.npz``: what the model wrote (``name2reason``), which nobody scores as it is;
* ``checkpoint_000030_loss_0.123-openset.npz``: its emotion words, taken out by a language model (``filenames``, ``fileitems``);
* ``checkpoint_000030_loss_0.123-openset-sentiment.npz``: for the sentiment sets, positive, negative or neutral, named by a language model.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facial_r1.affect.wheels.parsing import parse
from facial_r1.affect.wheels.unpickling import read_object_npz
from facial_r1.config.suggest import did_you_mean
from facial_r1.data.ovmer import read_items
from facial_r1.errors import InputError

Kind = Literal["hit", "sentiment", "open"]
Truth = str | float
WORDS, SENTIMENT = "-openset.npz", "-openset-sentiment.npz"
"""Endings of the files with words, and with their sentiment."""


@dataclass(frozen=True, slots=True)
class BenchmarkSet:
    """One set.

    Attributes:
        name: In figures.
        kind: ``hit``: one basic emotion for each clip. ``sentiment``: a number. ``open``: a list of words.
        clips: In the owner's test part.
        spelled: In the names of result folders, lower case.
        files: Where the truths lie below the folder of all datasets; the first is the authors' place.
        part: The dictionary in ``label*.npz``.
        labels: What numbers in ``emo`` stand for.
    """

    name: str
    kind: Kind
    clips: int
    spelled: tuple[str, ...]
    files: tuple[str, ...]
    part: str = ""
    labels: tuple[str, ...] = ()

    @property
    def primary(self) -> str:
        """The figure that counts in the benchmark's mean."""
        return {"hit": "hit", "sentiment": "waf", "open": "f"}[self.kind]

    @property
    def folder(self) -> str:
        """The owner's folder, as the authors call it ("" for a file that lies by itself)."""
        return self.files[0].rpartition("/")[0]


def _set(name: str, kind: Kind, clips: int, folder: str, file: str, part: str = "", labels: tuple[str, ...] = (), *, also: str = "") -> BenchmarkSet:  # fmt: skip
    spelled = tuple(dict.fromkeys((also or name, name)))
    places = dict.fromkeys((f"{folder}/{file}", *(f"{one}/{file}" for one in spelled), *(f"{folder}/label.npz",) * bool(part)))
    return BenchmarkSet(name, kind, clips, spelled, tuple(places), part, labels)


MELD = ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise")
IEMOCAP = ("happy", "sad", "neutral", "anger")
"""What the indices in the owners' label files stand for, as MER-UniBench writes them."""

SETS: dict[str, BenchmarkSet] = {
    one.name: one
    for one in (
        _set("mer2023", "hit", 411, "mer2023-dataset-process", "label-6way.npz", "test1_corpus"),
        _set("mer2024", "hit", 1169, "mer2024-dataset-process", "label-6way.npz", "test1_corpus"),
        _set("meld", "hit", 2610, "meld-process", "label.npz", "test_corpus", MELD),
        _set("iemocap", "hit", 1241, "iemocap-process", "label_4way.npz", "whole_corpus", IEMOCAP, also="iemocapfour"),
        _set("cmumosi", "sentiment", 686, "cmumosi-process", "label.npz", "test_corpus"),
        _set("cmumosei", "sentiment", 4659, "cmumosei-process", "label.npz", "test_corpus"),
        _set("sims", "sentiment", 457, "sims-process", "label.npz", "test_corpus"),
        _set("simsv2", "sentiment", 1034, "simsv2-process", "label.npz", "test_corpus"),
        _set("ovmerdplus", "open", 532, "ovmerdplus-process", "ovlabel.csv"),
        # Not in the mean of the benchmark: the 332 clips that OV-MER scored its models on.
        BenchmarkSet(
            "ovmerd",
            "open",
            332,
            ("ovmerd",),
            (
                "check-openset.csv",
                "ovmerd/check-openset.csv",
                "mer2025-dataset/track2_train_ovmerd.csv",
                "track2_train_ovmerd.csv",
            ),
        ),
    )
}
NINE = tuple(SETS)[:9]
"""The sets of the benchmark's mean, in the order of its tables."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Predictions of one checkpoint (or one file, or one run) for one set.

    Attributes:
        name: The file without its ending, or the run.
        words: The file with emotion words by clip, None where only their sentiment is there.
        sentiment: The file with sentiment words by clip.
        items: Emotion words by clip as such a file has them, in place of one.
    """

    name: str
    words: Path | None
    sentiment: Path | None = None
    items: Mapping[str, str] | None = None

    @property
    def epoch(self) -> str:
        """What checkpoints of the same run have in common over all sets: the epoch, else the name."""
        found = re.match(r"checkpoint_0*(\d+)", self.name)
        return found[1] if found else self.name


# --- truths ----------------------------------------------------------------------------------------------------------


def read_truths(name: str, file: Path) -> dict[str, Truth]:
    """The truths of a set by clip: a label, a number, or the text of a list of words.

    Raises:
        InputError: The file is missing, broken, or of another set.
    """
    chosen = SETS[name]
    if chosen.kind == "open":
        items = read_items(file)
        if name != "ovmerdplus":
            return dict(items)
        # The released loader takes lists apart and joins them again, so that they are taken apart twice; no label is neutral.
        return {clip: ", ".join(parse(text)) or "neutral" for clip, text in items.items()}
    corpus = read_object_npz(file).get(chosen.part)
    if not isinstance(corpus, Mapping):
        raise InputError(f"{file}: there is no dictionary {chosen.part}; give the label file of {name}")
    found: dict[str, Truth] = {}
    for clip, facts in corpus.items():
        if name == "iemocap" and str(clip)[4:5] != "5":  # the benchmark tests on session 5
            continue
        place = f"{file}: {chosen.part}: {clip}"
        found[str(clip)] = _number(facts, place) if chosen.kind == "sentiment" else _label(facts, chosen.labels, place)
    return found


def _label(facts: Any, labels: Sequence[str], place: str) -> str:
    emotion = facts.get("emo") if isinstance(facts, Mapping) else None
    if isinstance(emotion, str):
        return emotion
    if isinstance(emotion, bool) or not isinstance(emotion, int) or not 0 <= emotion < len(labels):
        wanted = f"a number from 0 to {len(labels) - 1} or a word" if labels else "a word"
        raise InputError(f"{place}: emo={emotion!r} is not {wanted}; give the label file as it was made")
    return labels[emotion]


def _number(facts: Any, place: str) -> float:
    value = facts.get("val") if isinstance(facts, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{place}: val={value!r} is no number; give the label file as it was made")
    return float(value)


def truth_files(given: str | Mapping[str, str], names: Iterable[str]) -> dict[str, Path]:
    """The file with the truths of each set that has one.

    Args:
        given: The folder that holds the owners' folders, one file (for one set), or files by set.
        names: The sets that are wanted.

    Raises:
        InputError: The folder or a named file is missing, or a set does not exist.
    """
    wanted = list(names)
    if isinstance(given, Mapping):
        for name, path in given.items():
            if name not in SETS:
                raise InputError(f"stage.truths.{name}: no such set; {did_you_mean(name, SETS)}")
            if not Path(path).expanduser().is_file():
                raise InputError(f"stage.truths.{name}={path}: there is no such file")
        return {name: Path(given[name]).expanduser() for name in wanted if name in given}
    root = Path(given).expanduser()
    if root.is_file():
        return dict.fromkeys(wanted, root)
    if not root.is_dir():
        raise InputError(f"stage.truths={given}: there is no such file or folder")
    found = {name: next((root / place for place in SETS[name].files if (root / place).is_file()), None) for name in wanted}
    return {name: file for name, file in found.items() if file is not None}


def folder_of(name: str, root: Path) -> Path | None:
    """The owner's folder of a set below `root`, under any of its names; None where there is none."""
    places = dict.fromkeys(place.rpartition("/")[0] for place in SETS[name].files)
    return next((root / place for place in places if place and (root / place).is_dir()), None)


# --- predictions -----------------------------------------------------------------------------------------------------


def prediction_files(given: str) -> list[Path]:
    """The files with words or sentiments at a path, a pattern (``output/results-*/AffectGPT*``) or below a folder, sorted.

    Raises:
        InputError: There are none; where only free text lies, the message says what is missing.
    """
    pattern = str(Path(given).expanduser())
    matching = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207 (absolute patterns too)
    places = [Path(place) for place in matching]
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            found += [*place.rglob(f"*{WORDS}"), *place.rglob(f"*{SENTIMENT}")]
        elif place.name.endswith((WORDS, SENTIMENT)) or place.suffix == ".csv":
            found.append(place)
        elif place.suffix == ".npz":
            beside = [place.with_name(place.stem + ending) for ending in (WORDS, SENTIMENT)]
            found += [one for one in beside if one.is_file()]
    if not (found := sorted({file for file in found if file.is_file()})):
        raise InputError(
            f"stage.predictions={given}: no file *{WORDS} (filenames, fileitems) or .csv (name, openset). Words have to be taken out of "
            "what a model wrote first (name2reason), as the released code does"
        )
    return found


def checkpoints_of(
    files: Sequence[Path], truths: Mapping[str, Mapping[str, Truth]]
) -> tuple[dict[str, list[Checkpoint]], list[str]]:
    """The checkpoints of each set, sorted by name, and notes on what was passed over.

    A file belongs to the set that its path names (``results-<set>``, or a folder called like the set), else to the largest set whose
    clips it has all. Of several run folders for a set, the one with the most checkpoints is taken, as in the released script.

    Raises:
        InputError: A file belongs to no set, or several run folders have as many checkpoints.
    """
    runs: dict[str, dict[Path, dict[str, dict[str, Path]]]] = {}
    for file in files:
        name = set_in(file) or _set_by_clips(file, truths)
        ending = next((ending for ending in (SENTIMENT, WORDS) if file.name.endswith(ending)), file.suffix)
        kept = runs.setdefault(name, {}).setdefault(file.parent, {}).setdefault(file.name.removesuffix(ending), {})
        kept["sentiment" if ending == SENTIMENT else "words"] = file
    found, notes = {}, []
    for name, folders in runs.items():
        most = max(len(stems) for stems in folders.values())
        chosen = sorted(folder for folder, stems in folders.items() if len(stems) == most)
        if len(chosen) > 1:
            raise InputError(
                f"stage.predictions: {name} has {len(chosen)} folders with {most} checkpoint(s) each, for example {chosen[0]} and {chosen[1]}; "
                "name one, or a pattern: stage.predictions='output/results-*/<run>*'"
            )
        if len(folders) > 1:
            notes.append(f"{name}: {chosen[0]} is scored, with the most checkpoints of {len(folders)} folders")
        found[name] = [
            Checkpoint(stem, kept.get("words"), kept.get("sentiment")) for stem, kept in sorted(folders[chosen[0]].items())
        ]
    return {name: found[name] for name in SETS if name in found}, notes


def set_in(path: Path) -> str | None:
    """The set that a path names: in a folder ``results-<set>``, else in one called like the set or its owner's, the innermost first."""
    parts = [part.lower() for part in reversed(path.parts)]
    results = [part.removeprefix("results-") for part in parts if part.startswith("results-")]
    spelled = {one: chosen.name for chosen in SETS.values() for one in (*chosen.spelled, chosen.files[0].split("/")[0])}
    return next((spelled[part] for part in (*results, *parts) if part in spelled), None)


def _set_by_clips(file: Path, truths: Mapping[str, Mapping[str, Truth]]) -> str:
    clips = set(read_items(file))
    covered = [name for name, truth in truths.items() if truth and clips.issuperset(truth)]
    if not covered:
        raise InputError(
            f"{file}: which set is this? Its path names none (results-<set>, with {', '.join(SETS)}), and it has not all the clips of any "
            "set with truths (stage.truths)"
        )
    return max(covered, key=lambda name: len(truths[name]))
