"""Results of FERBench from files: the authors' own, or anyone's in their format; checked before anything is counted.

What would change a denominator unseen is refused (a file that is cut off, a row without truth or response, a picture twice, a
file of another dataset, a row that the questions do not ask about); what is wrong with an answer is counted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facial_r1.data.ferbench import DATASETS, Question, check_row, dataset_in, dataset_of, path_key, read_questions
from facial_r1.data.locate import absolute
from facial_r1.data.problems import Problem, describe_problems
from facial_r1.data.rows import read_distinct_rows
from facial_r1.errors import InputError
from facial_r1.metrics.ferbench import Result, counted

_SUFFIX = re.compile(r"\.(?:jsonl?|ndjson)(?:\.gz)?$", re.IGNORECASE)
_NOT_RESULTS = re.compile(r"(?:_metrics|_qa|summary|status|resolved)$", re.IGNORECASE)
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class Results:
    """Results by dataset, in the order of the files.

    Attributes:
        rows: By name of the dataset, in the order of `DATASETS`.
        missing: Questions that have no result, by dataset; empty where no questions were given.
        files: The files read.
        notes: What the user should know.
    """

    rows: dict[str, list[Result]]
    missing: dict[str, list[Question]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_results(path: str | os.PathLike[str], questions: Paths | None = None) -> Results:
    """Read results.

    Args:
        path: A file of results (JSON array or JSON lines, plain or gzipped, of one dataset or of several), or a folder with one file
            a dataset (``<name>*_results.json``, at any depth).
        questions: Question files to compare with. Rows may then leave out truth, prompt and candidates, and questions without a
            result are reported.

    Raises:
        InputError: With file, line, key and fix, for everything that is named in the module's docstring.
    """
    place = absolute(path)
    files = result_files(place)
    problems: list[Problem] = []
    asked = read_questions(questions, problems) if questions is not None else None
    by_key = {question.key: question for rows in (asked or {}).values() for question in rows}
    found: dict[str, list[Result]] = {}
    seen: dict[str, str] = {}
    for file in files:
        before = len(problems)
        rows = _rows(file, by_key if asked is not None else None, problems)
        named = dataset_in(file.name)
        others = [(line, dataset) for line, dataset, _ in rows if named is not None and dataset != named]
        if others:
            line, dataset = others[0]
            reason = f"the file is named after {named}, but {len(others)} of {len(rows)} rows are of {dataset}"
            problems.append(Problem(str(file), line, "image_path", reason, "give each file the results of its own dataset", True))
        for line, dataset, row in rows:
            where = f"{file}:{line}"
            key = f"{dataset}:{path_key(row['image_path'])}"
            if seen.setdefault(key, where) != where:
                reason = f"{row['image_path']} has a result at {seen[key]} already"
                problems.append(Problem(str(file), line, "image_path", reason, "keep one result a picture"))
            found.setdefault(dataset, []).append(row)
        if not rows and len(problems) == before:
            problems.append(Problem(str(file), 0, "file", "holds no result", "run the inference again, or remove the file", True))
    if problems:
        what = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise InputError(f"{place}: {what} in the results; nothing was scored:\n{describe_problems(problems)}")
    return _compared({name: found[name] for name in DATASETS if name in found}, asked, files)


def result_files(path: Path) -> list[Path]:
    """The files of results that a path stands for.

    Raises:
        InputError: There is none, or more than one of a dataset.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(
            f"{path}: no such file or folder; give the folder with rafdb_unifer_7b_results.json, ... or one such file"
        )
    files = [file for file in sorted(path.rglob("*")) if _SUFFIX.search(file.name) and file.is_file()]
    likely = [file for file in files if not _NOT_RESULTS.search(_SUFFIX.sub("", file.name))]
    chosen: list[Path] = []
    for name in DATASETS:
        own = [file for file in likely if dataset_in(file.name) == name]
        own = [file for file in own if _SUFFIX.sub("", file.name).endswith("results")] or own
        if len(own) > 1:
            listed = ", ".join(str(file.relative_to(path)) for file in own[:4])
            raise InputError(
                f"{path}: {len(own)} files with results of {name} ({listed}); keep one, or give the folder of one run"
            )
        chosen += own
    if not chosen and len(likely) == 1:
        return likely
    if not chosen:
        names = ", ".join(file.name for file in files[:4]) or "no JSON file"
        raise InputError(
            f"{path}: no results of FERBench; expected rafdb*_results.json, ferplus*_results.json, affectnet*_results.json or "
            f"sfew_2.0*_results.json, found {names}"
        )
    return chosen


def _rows(file: Path, questions: Mapping[str, Question] | None, problems: list[Problem]) -> list[tuple[int, str, dict[str, Any]]]:
    """Sound rows of a file, each with its line and dataset."""
    found = []
    for entry in read_distinct_rows(file):
        if isinstance(entry, Problem):
            problems.append(entry)
            continue
        line, row = entry
        before = len(problems)
        if questions is not None:
            row = _completed(file, line, row, questions, problems)
        texts = ("image_path", "true_label", "model_response") if counted(row) else ("image_path", "true_label")
        if len(problems) == before:
            check_row(str(file), line, row, texts, problems)
        if len(problems) > before:
            continue
        try:
            found.append((line, dataset_of(row, f"{file}:{line}"), row))
        except InputError as error:
            problems.append(Problem(str(file), line, "image_path", str(error), "give results of FERBench's questions"))
    return found


def _completed(
    file: Path, line: int, row: dict[str, Any], questions: Mapping[str, Question], problems: list[Problem]
) -> dict[str, Any]:
    """The row with what its question says; a row that contradicts its question, or has none, is a problem."""
    path = row.get("image_path")
    if not isinstance(path, str):
        return row
    question = questions.get(path_key(path))
    if question is None:
        reason, fix = f"{path} is in none of the question files", "give the results of these questions, or their question files"
        problems.append(Problem(str(file), line, "image_path", reason, fix))
        return row
    asked = question.to_json()
    for key in ("true_label", "candidate_labels"):
        if key in row and row[key] != asked[key]:
            reason = f"is {row[key]!r}, but {question.place} says {asked[key]!r}"
            problems.append(Problem(str(file), line, key, reason, "give results of these questions, unchanged"))
    return {**asked, **row}


def _compared(rows: dict[str, list[Result]], asked: Mapping[str, Sequence[Question]] | None, files: Sequence[Path]) -> Results:
    missing: dict[str, list[Question]] = {}
    notes: list[str] = []
    absent = [name for name in DATASETS if name not in rows]
    if absent:
        notes.append(f"no results of {', '.join(absent)}: neither pooled figures nor means over datasets")
    for name, results in rows.items() if asked is not None else ():
        answered = {path_key(str(row["image_path"])) for row in results}
        missing[name] = [question for question in (asked or {}).get(name, ()) if question.key not in answered]
        if missing[name]:
            lost = len(missing[name])
            notes.append(
                f"{name}: {lost} of {lost + len(results)} questions have no result, for example {missing[name][0].image_path}: "
                "wrong in strict figures, left out of compat ones (the released scripts see the results alone)"
            )
    return Results(rows, missing, [str(file) for file in files], notes)
