"""FERBench (UniFER, arXiv 2511.00389): its four datasets, their words, and the question files as they are distributed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facial_r1.affect.emotions import normalise_label
from facial_r1.config.suggest import did_you_mean, nearest
from facial_r1.data.locate import absolute
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record
from facial_r1.data.rows import read_distinct_rows
from facial_r1.errors import InputError

DATASETS: tuple[str, ...] = ("affectnet", "rafdb", "ferplus", "sfew")
"""Short names, in the order in which the pooled script reads the files."""
TOTAL = "total"
"""All four, pooled."""

AUTHORS_NAMES: dict[str, str] = {"affectnet": "affectnet", "rafdb": "rafdb", "ferplus": "ferplus", "sfew": "sfew_2.0"}
"""What the authors' folders and files call each dataset."""

QUESTIONS: dict[str, int] = {"affectnet": 4000, "rafdb": 3068, "ferplus": 3573, "sfew": 431}
"""Records in each question file, 11,072 in all."""

LABELS: dict[str, tuple[str, ...]] = {
    "affectnet": ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"),
    "rafdb": ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
    "ferplus": ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
    "sfew": ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
    TOTAL: ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"),
}
"""Candidate labels of each dataset in the order of its question file; those of the pooled figures."""

KEYS = ("image_path", "true_label", "prompt", "candidate_labels")
"""Of a question, in the order of the files."""

_SPELLINGS: dict[str, str] = {
    **{name: name for name in DATASETS},
    **dict.fromkeys(("sfew20", "sfew2"), "sfew"),
    **dict.fromkeys(("fer+", "fer"), "ferplus"),
    **dict.fromkeys(("raf", "rafbasic"), "rafdb"),
    **dict.fromkeys((TOTAL, "pooled", "ferbench"), TOTAL),
}


@dataclass(frozen=True, slots=True)
class Question:
    """One record of a question file, as it is written there.

    Attributes:
        dataset: One of `DATASETS`.
        image_path: With the slash in front.
        true_label, prompt, candidate_labels: See the file.
        place: "file:line", for messages.
    """

    dataset: str
    image_path: str
    true_label: str
    prompt: str
    candidate_labels: tuple[str, ...]
    place: str

    @property
    def key(self) -> str:
        """The image path in the form that is compared, see `path_key`."""
        return path_key(self.image_path)

    def to_json(self) -> dict[str, Any]:
        """The four keys of the question file, in its order."""
        return {
            "image_path": self.image_path,
            "true_label": self.true_label,
            "prompt": self.prompt,
            "candidate_labels": list(self.candidate_labels),
        }

    def to_record(self, images: Sequence[str] = ()) -> Record:
        """The question as a record of the test side.

        `labels` holds the noun of the true label, so that the four sets share one label space; `candidate_labels` and
        `meta_info.ferbench` keep the words of the file, which the evaluation needs.
        """
        noun = normalise_label(self.true_label) or self.true_label
        return Record(
            id=f"{self.dataset}/{picture_stem(self.image_path)}",
            dataset=self.dataset,
            images=tuple(images),
            question=self.prompt,
            AUs=None,
            labels=(noun,),
            split="test",
            candidate_labels=self.candidate_labels,
            meta_info={"ferbench": self.to_json()},
            source=self.place,
        )


def dataset_name(name: str) -> str:
    """One of `DATASETS` or "total" for any usual spelling ("sfew_2.0", "RAF-DB", "FER+", "pooled").

    Raises:
        InputError: Another name.
    """
    found = _SPELLINGS.get(re.sub(r"[\s._-]+", "", name.lower()))
    if found is None:
        raise InputError(f"FERBench has no dataset {name!r}; {did_you_mean(name, [*DATASETS, TOTAL])}")
    return found


def dataset_of(record: Mapping[str, Any], where: str = "a record") -> str:
    """Which of `DATASETS` a row belongs to, by its ``dataset``, its image path, or else its candidate labels.

    Raises:
        InputError: None of them tells.
    """
    if isinstance(written := record.get("dataset"), str):
        return dataset_name(written)
    name = dataset_in(str(record.get("image_path") or ""))
    if name is not None:
        return name
    candidates = record.get("candidate_labels")
    listed = frozenset(map(str, candidates)) if isinstance(candidates, (list, tuple)) else frozenset()
    for name in DATASETS:
        if listed == frozenset(LABELS[name]):
            return name
    raise InputError(
        f"{where}: neither image_path {record.get('image_path')!r} nor its candidate_labels belong to a FERBench dataset; "
        f'add "dataset": one of {", ".join(DATASETS)}'
    )


def dataset_in(path: str) -> str | None:
    """The dataset that an image path or a file name names ("/RAF-DB/aligned/x.jpg", "sfew_2.0_results.json"), or None."""
    letters = re.sub(r"[^a-z+]+", "", path.lower()).replace("fer+", "ferplus")
    return next((name for name in DATASETS if name in letters), None)


def path_key(path: str) -> str:
    """An image path in the form that is compared: forward slashes, none in front."""
    return path.replace("\\", "/").removeprefix(".").lstrip("/")


def picture_stem(path: str) -> str:
    """The file name in a path, without folder and ending."""
    name = path_key(path).rpartition("/")[2]
    return name.rpartition(".")[0] or name


def answer_block(text: str) -> str | None:
    """The text of the first ``<answer>`` block, tags in lower case, line breaks included; None without a complete one.

    The released rewards, SFEW's own evaluation script and the solutions of the training file are read like this.
    """
    start = text.find("<answer>")
    end = text.find("</answer>", start + len("<answer>")) if start >= 0 else -1
    return text[start + len("<answer>") : end] if end >= 0 else None


def question_files(where: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The question files that a path, or each of several, stands for: itself, or the ``*_qa.json`` in a folder at any depth.

    Raises:
        InputError: Nothing is there.
    """
    items = [where] if isinstance(where, (str, os.PathLike)) else list(where)
    if not items:
        raise InputError("FERBench questions: no file is named; give the folder with rafdb_qa.json, ferplus_qa.json, ...")
    files: list[Path] = []
    for path in map(absolute, items):
        found = sorted(path.rglob("*_qa.json*")) if path.is_dir() else [path]
        if not found or not path.exists():
            what = "holds no *_qa.json" if path.exists() else "does not exist"
            raise InputError(
                f"{path}: {what}; give the folder with rafdb_qa.json, ferplus_qa.json, affectnet_qa.json, sfew_2.0_qa.json"
            )
        files += [file for file in found if file not in files]
    return files


def read_questions(
    where: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], problems: list[Problem]
) -> dict[str, list[Question]]:
    """Questions by dataset, in the order of the files; what is wrong with them goes to `problems`.

    Args:
        where: See `question_files`.
        problems: Collects rows that break the format, with file, line, key, reason and fix.

    Raises:
        InputError: There is no file.
    """
    found: dict[str, list[Question]] = {}
    seen: dict[str, str] = {}
    for file in question_files(where):
        for entry in read_distinct_rows(file):
            if isinstance(entry, Problem):
                problems.append(entry)
                continue
            line, row = entry
            before = len(problems)
            question = _question(file, line, row, problems)
            if question is None or len(problems) > before:
                continue
            other = seen.setdefault(question.key, question.place)
            if other != question.place:
                reason = f"{question.image_path} is asked about at {other} already"
                problems.append(Problem(str(file), line, "image_path", reason, "remove one of the two records"))
                continue
            found.setdefault(question.dataset, []).append(question)
    return found


def check_row(file: str, line: int, row: Mapping[str, Any], texts: Sequence[str], problems: list[Problem]) -> None:
    """Add to `problems` each key of `texts` that is no text, and candidate labels that are no list of texts."""
    for key in texts:
        if not isinstance(row.get(key), str):
            problems.append(Problem(file, line, key, *_lacking(key, row, "text")))
    candidates = row.get("candidate_labels")
    if not isinstance(candidates, list) or not candidates or not all(isinstance(item, str) for item in candidates):
        problems.append(Problem(file, line, "candidate_labels", *_lacking("candidate_labels", row, "a list of texts")))


def _question(file: Path, line: int, row: Mapping[str, Any], problems: list[Problem]) -> Question | None:
    before = len(problems)
    check_row(str(file), line, row, KEYS[:3], problems)
    if len(problems) > before:
        return None
    try:
        dataset = dataset_of(row, f"{file}:{line}")
    except InputError as error:
        problems.append(Problem(str(file), line, "image_path", str(error), "give one of the four question files as it is"))
        return None
    candidates = tuple(row["candidate_labels"])
    if row["true_label"] not in candidates:
        reason = f"{row['true_label']!r} is not among candidate_labels ({', '.join(candidates)})"
        problems.append(Problem(str(file), line, "true_label", reason, "write the label as the candidates do"))
    return Question(dataset, row["image_path"], row["true_label"], row["prompt"], candidates, f"{file}:{line}")


def _lacking(key: str, row: Mapping[str, Any], wanted: str) -> tuple[str, str]:
    """Reason and fix for a key that is missing or of another type."""
    if key in row:
        what = "empty" if row[key] == [] else "null" if row[key] is None else f"a {type(row[key]).__name__}"
        return f"is {what}, not {wanted}", f'write "{key}" as {wanted}'
    close = nearest(key, [name for name in row if name not in (*KEYS, "model_response")])
    return "is missing", f"did you mean {key!r} by {close!r}? Rename it" if close else f'add "{key}": {wanted}'
