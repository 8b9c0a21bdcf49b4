"""Whose results of FERBench lie where: evaluated runs, and result files of anyone's model in the authors' format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from facial_r1.data.ferbench import DATASETS, dataset_in, path_key, question_files
from facial_r1.errors import InputError
from facial_r1.metrics.ferbench import Result
from facial_r1.metrics.ferbench_files import Paths, read_results
from facial_r1.metrics.ferbench_run import FerbenchResult, score_results
from facial_r1.report.wording import figure

SET_LABELS: dict[str, str] = {
    "pooled": "All, pooled",
    "mean": "Mean of the sets",
    "affectnet": "AffectNet",
    "rafdb": "RAF-DB",
    "ferplus": "FER+",
    "sfew": "SFEW 2.0",
}
"""Sets in the order of the columns."""

# "rafdb_unifer_7b_results.json": the set, the model's name, and what says that these are results.
_RESULTS = re.compile(
    r"(?:affectnet|raf[-_]?db|fer(?:plus|\+)|sfew(?:[-_]?2(?:[._]?0)?)?)(?:[-_.]?(?P<model>.*?))?[-_.]?results\.(?:jsonl?|ndjson)(?:\.gz)?",
    re.IGNORECASE,
)
_CHILD_OF_A_RUN = "ferbench"


@dataclass(frozen=True, slots=True)
class Source:
    """Result files of one model.

    Attributes:
        name: What the model is called in tables.
        files: Each with the results of one set or of several.
        run: The run directory that wrote them; None for files from elsewhere.
    """

    name: str
    files: tuple[Path, ...]
    run: Path | None = None


@dataclass(frozen=True)
class Model:
    """A model's results, scored.

    Attributes:
        name: See `Source`.
        result: Figures, matrices and samples.
        answers: Row of `result.samples` by question, for each set.
        notes: What the user should know.
    """

    name: str
    result: FerbenchResult
    answers: dict[str, dict[str, int]] = field(repr=False)
    notes: tuple[str, ...] = ()

    def figure(self, name: str) -> dict[str, float]:
        """A metric as value, low, high, n; empty when there is none."""
        return figure(self.result.summary_metrics.get(name))

    def sample(self, dataset: str, key: str) -> dict[str, Any] | None:
        """The model's answer to a question, as a row of samples.jsonl; None without one."""
        place = self.answers.get(dataset, {}).get(key)
        return None if place is None else self.result.samples[place]


def is_ferbench_run(run: Path) -> bool:
    """Whether a folder is a run that was evaluated on FERBench."""
    try:
        metrics = json.loads((run / "summary.json").read_text(encoding="utf-8")).get("metrics") or {}
    except (OSError, ValueError, AttributeError):
        return False
    return any(str(name).startswith("ferbench/") for name in metrics)


def sources_in(place: Path, runs: Sequence[Path] = (), name: str | None = None) -> list[Source]:
    """The models whose results a path stands for.

    Args:
        place: A run, a file of results, a folder of such files of one model or of several, or a folder of such folders. Files belong
            to the same model when the name between the set and "results" is the same (``rafdb_unifer_7b_results.json``) and no set
            comes twice; else each folder is a model of its own.
        runs: Evaluated runs at or below the path; those of other data are left out.
        name: The model's name, where the path stands for a single one.

    Raises:
        InputError: Two files of a folder hold the same set of the same model, or a name is given to several models.
    """
    found = [Source(run.name, _files_of_run(run), run) for run in runs if is_ferbench_run(run)]
    if place.is_file():
        found = [Source(_model_of(place) or place.name.partition(".")[0], (place,))]
    elif place.is_dir() and not any(run == place for run in runs):
        inside = set(runs)
        files = [file for file in sorted(place.rglob("*")) if _RESULTS.fullmatch(file.name) and file.is_file()]
        found += _grouped(place, [file for file in files if not inside.intersection(file.parents)])
    if name is None:
        return found
    if len(found) > 1:
        raise InputError(
            f"{name}={place}: {len(found)} models are there ({_listed(found)}); give each a path and a name of its own"
        )
    return [replace(one, name=name) for one in found]


def distinct(sources: Sequence[Source]) -> list[Source]:
    """The sources under names that tell them apart: with the folder above where two are the same, else numbered."""
    names = [source.name for source in sources]
    named: list[Source] = []
    for source in sources:
        name = source.name
        if names.count(name) > 1:
            above = (source.run or source.files[0]).parent.name
            name = f"{above}/{name}" if above != name else name
        taken = [one.name for one in named]
        number = next(n for n in range(1, len(sources) + 2) if (name if n == 1 else f"{name} ({n})") not in taken)
        named.append(replace(source, name=name if number == 1 else f"{name} ({number})"))
    return named


def read_model(source: Source, questions: Paths | None = None, resamples: int = 2000, seed: int = 0) -> Model:
    """Read and score the results of a model.

    Args:
        source: Whose.
        questions: Question files: rows may then leave out truth and candidates, and questions without a result count as wrong.
        resamples: Behind each interval.
        seed: Of the resamples.

    Raises:
        InputError: A file breaks the format, or two files hold the same set.
    """
    asked = question_files(questions) if questions is not None else None
    rows: dict[str, list[Result]] = {}
    missing: dict[str, list[Any]] = {}
    for file in source.files:
        own = dataset_in(file.name)
        fitting = [one for one in asked or () if own is None or dataset_in(one.name) in (own, None)]
        read = read_results(file, None if asked is None else fitting or asked)
        for name, found in read.rows.items():
            if name in rows:
                raise InputError(f"{file}: holds results of {name}, which another file of {source.name} holds too; keep one")
            rows[name], missing[name] = list(found), list(read.missing.get(name, ()))
    scored = score_results(rows, missing, resamples, seed)
    notes = list(scored.notes)
    if absent := [SET_LABELS[name] for name in DATASETS if name not in rows]:
        notes.append(f"no results of {', '.join(absent)}: neither pooled figures nor means")
    for name, lost in missing.items():
        if lost:
            notes.append(
                f"{SET_LABELS[name]}: {len(lost)} questions have no result: wrong in strict figures, left out of compat ones"
            )
    notes += _changed(source, scored)
    answers: dict[str, dict[str, int]] = {}
    for place, sample in enumerate(scored.samples):
        answers.setdefault(sample["dataset"], {})[path_key(sample["image"])] = place
    return Model(source.name, replace(scored, files=[str(file) for file in source.files]), answers, tuple(notes))


def _changed(source: Source, scored: FerbenchResult) -> Iterator[str]:
    """A note when a run's own summary says something else than its result files do here."""
    if source.run is None:
        return
    written: Mapping[str, Any] = json.loads((source.run / "summary.json").read_text(encoding="utf-8")).get("metrics") or {}
    for name, value in scored.summary_metrics.items():
        before, now = figure(written.get(name)).get("value"), figure(value).get("value")
        if before is not None and now is not None and abs(before - now) > 1e-9:
            yield (
                f"the run's own {name} is {before:.4f}, here {now:.4f}: it was scored with other settings or its files changed; "
                "here all models are scored alike"
            )
            return


def _files_of_run(run: Path) -> tuple[Path, ...]:
    files = tuple(sorted(file for file in (run / _CHILD_OF_A_RUN).glob("*") if _RESULTS.fullmatch(file.name)))
    if not files:
        raise InputError(
            f"{run}: its summary has figures of FERBench, but {run / _CHILD_OF_A_RUN} holds no <set>_results.json; evaluate it again"
        )
    return files


def _grouped(place: Path, files: Sequence[Path]) -> list[Source]:
    by_model: dict[str, list[Path]] = {}
    for file in files:
        by_model.setdefault(_model_of(file).lower(), []).append(file)
    found = []
    for own in by_model.values():
        sets = [dataset_in(file.name) for file in own]
        if len(set(sets)) == len(sets):
            found.append(Source(_model_of(own[0]) or place.name, tuple(own)))
            continue
        here = [file for file in own if file.parent == place]
        if len({dataset_in(file.name) for file in here}) < len(here):
            raise InputError(
                f"{place}: two files hold the same set ({', '.join(file.name for file in here[:6])}); keep one of them"
            )
        if here:
            found.append(Source(_model_of(here[0]) or place.name, tuple(here)))
        for child in sorted({place / file.relative_to(place).parts[0] for file in own if file not in here}):
            found += [
                replace(one, name=f"{child.name}/{one.name}" if _model_of(one.files[0]) else one.name)
                for one in _grouped(child, [file for file in own if child in file.parents])
            ]
    return found


def _model_of(file: Path) -> str:
    """The model's name in a file name, "" when there is none."""
    match = _RESULTS.fullmatch(file.name)
    return (match["model"] or "").strip("-_.") if match else ""


def _listed(sources: Sequence[Source]) -> str:
    shown = ", ".join(source.name for source in sources[:5])
    return shown if len(sources) <= 5 else f"{shown}, ..."
