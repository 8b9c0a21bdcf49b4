"""UniFER-CoT-230K and UniFER-RLVR-360K: questions about faces with written reasoning, and with the label alone.

Zhang et al., arXiv 2511.00389; files ``UniFER_CoT_230K.json`` and ``UniFER_RLVR_360K.json``, a JSON array or JSON lines each. The
released training code reads ``image_path, question, response`` and ``image_path, problem, solution``; further keys are ignored.
The pictures are those of the owners' datasets, at the files' paths below a root.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

from facial_r1.affect.emotions import normalise_label
from facial_r1.data.arrow_rows import ArrowRows, LazyRecords, arrow_rows
from facial_r1.data.ferbench import answer_block, dataset_in, path_key, read_questions
from facial_r1.data.ferbench_images import Overlap, benchmark_paths, overlap
from facial_r1.data.locate import absolute
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record
from facial_r1.data.sources.registry import Reading, layout_error, source
from facial_r1.errors import InputError

COLUMNS: dict[str, tuple[str, str, str]] = {
    "unifer_cot": ("image_path", "question", "response"),
    "unifer_rlvr": ("image_path", "problem", "solution"),
}
"""Keys that the released training code reads."""

Overlapping = Literal["note", "exclude"]

FILES: dict[str, str] = {"unifer_cot": "UniFER_CoT_230K.json", "unifer_rlvr": "UniFER_RLVR_360K.json"}


def load(name: str, file: str | os.PathLike[str], root: str | os.PathLike[str], cache: str | None = None) -> LazyRecords:
    """The rows of a file as records that are made when they are asked for; pictures are not looked at.

    360,000 rows load in seconds the first time (the rows are kept as Arrow in the cache) and at once later.

    Args:
        name: ``unifer_cot`` or ``unifer_rlvr``.
        file: JSON array or JSON lines, plain or gzipped.
        root: Folder that the image paths are below.
        cache: Folder of the cache; None for the usual one.

    Raises:
        InputError: The file cannot be read. Rows that break the format are in ``.rows.problems``.
    """
    return LazyRecords(arrow_rows(file, COLUMNS[name], cache=cache), _maker(name, absolute(root)))


def overlap_with_ferbench(rows: ArrowRows, questions: str | os.PathLike[str] | Iterable[str]) -> Overlap:
    """Which rows show pictures of FERBench, by path or by file name.

    Args:
        rows: Of `load`, ``load(...).rows``.
        questions: Folder or files with the benchmark's questions.

    Raises:
        InputError: A question file is missing or broken.
    """
    where = [questions] if isinstance(questions, (str, os.PathLike)) else list(questions)
    problems: list[Problem] = []
    asked = read_questions(where, problems)
    if problems:
        raise InputError(f"data.options.ferbench: {problems[0]}")
    return overlap(rows.column("image_path"), benchmark_paths(asked))


@source(
    "unifer_cot",
    line="UniFER-CoT-230K: questions with written reasoning and answer, for SFT",
    layout="""
UniFER_CoT_230K.json                      image_path, question, response; data.options.file names it if it is elsewhere
RAF-DB/..., FERPlus/..., AffectNet/..., SFEW-2.0/...      the pictures, at the paths that the file names
""",
)
def read_cot(root: Path, file: str | None = None, ferbench: str | None = None, overlapping: Overlapping = "note") -> Reading:
    """Read UniFER-CoT-230K.

    Args:
        root: The folder above the pictures.
        file: The JSON file; by default ``UniFER_CoT_230K.json`` in `root`.
        ferbench: Folder with the question files of FERBench, to look for pictures of the benchmark among the rows.
        overlapping: What happens to such rows: ``note`` counts them, ``exclude`` leaves them out.
    """
    return _read("unifer_cot", root, file, ferbench, overlapping)


@source(
    "unifer_rlvr",
    line="UniFER-RLVR-360K: questions with the label alone, for GRPO",
    layout="""
UniFER_RLVR_360K.json                     image_path, problem, solution; data.options.file names it if it is elsewhere
RAF-DB/..., FERPlus/..., AffectNet/..., SFEW-2.0/...      the pictures, at the paths that the file names
""",
)
def read_rlvr(root: Path, file: str | None = None, ferbench: str | None = None, overlapping: Overlapping = "note") -> Reading:
    """Read UniFER-RLVR-360K; the arguments are those of `read_cot`."""
    return _read("unifer_rlvr", root, file, ferbench, overlapping)


def _read(name: str, root: Path, file: str | None, ferbench: str | None, overlapping: Overlapping) -> Reading:
    path = absolute(file) if file else root / FILES[name]
    if not path.is_file():
        raise layout_error(name, root, f"there is no file {path} (data.options.file names it if it is elsewhere)")
    records = load(name, path, root)
    reading = Reading(problems=list(records.rows.problems), files=[path], official={})
    left_out: frozenset[int] = frozenset()
    if ferbench:
        found = overlap_with_ferbench(records.rows, ferbench)
        if overlapping == "exclude":
            left_out = frozenset((*found.same_path, *found.same_name))
            if left_out:
                reading.excluded["shows a picture of FERBench"] = len(left_out)
        elif note := found.note(len(records)):
            reading.notes.append(note)
    else:
        reading.notes.append("not compared with FERBench; data.options.ferbench=<folder of its question files> looks for overlap")
    reading.records = [record for place, record in enumerate(records) if place not in left_out]
    unlabelled = sum(not record.labels for record in reading.records)
    if unlabelled:
        reading.notes.append(f"{unlabelled} rows answer with a word that is none of the usual emotions")
    counts = Counter(record.dataset for record in reading.records)
    reading.notes.append("rows by dataset: " + ", ".join(f"{dataset} {count}" for dataset, count in counts.most_common()))
    return reading


def _maker(name: str, root: Path) -> Callable[[Mapping[str, str], str], Record]:
    """What makes a record of a row. Texts that repeat (questions, labels, folders) are kept once."""
    question_key, answer_key = COLUMNS[name][1:]
    written = name == "unifer_cot"
    base = str(root)

    def make(row: Mapping[str, str], place: str) -> Record:
        answer = row[answer_key]
        block = answer_block(answer)
        solution = sys.intern((answer if block is None else block).strip())
        noun = normalise_label(solution)
        path = row["image_path"]
        return Record(
            id=f"{name}/{place.rpartition(':')[2]}",
            dataset=dataset_in(path) or name,
            images=(f"{base}/{path_key(path)}",),
            question=sys.intern(row[question_key]),
            AUs=None,
            labels=(noun,) if noun else (),
            description=answer if written else "",
            split="train",
            meta_info={} if written else {"solution": sys.intern(answer)},
            source=place,
        )

    return make
