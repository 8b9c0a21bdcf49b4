"""Made-up models with results on FERBench: written as files, or scored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from facial_r1.data.ferbench import AUTHORS_NAMES, DATASETS, LABELS
from facial_r1.report.leaderboard_models import Model, Source, read_model
from tests.metrics.ferbench_cases import Row, answer, question, result, write

COUNT = 40


def rows(dataset: str, wrong: range | set[int], count: int = COUNT, shape: str = "tags") -> list[Row]:
    """Results of which those in `wrong` name another candidate. `shape` "bare" writes all without answer tags."""
    found = []
    for number in range(count):
        label = question(dataset, number)["true_label"]
        if number in wrong:
            label = next(name for name in LABELS[dataset] if name != label)
        found.append(result(dataset, number, answer(label) if shape == "tags" else f"I see {label}."))
    return found


def write_model(folder: Path, wrong: Mapping[str, range], tail: str = "", count: int = COUNT, shape: str = "tags") -> Path:
    """The result files of a model, `wrong` by set; sets that are not named are left out."""
    for name in DATASETS:
        if name in wrong:
            write(folder, f"{AUTHORS_NAMES[name]}{tail}_results.json", rows(name, wrong[name], count, shape))
    return folder


def everywhere(wrong: range) -> dict[str, range]:
    return dict.fromkeys(DATASETS, wrong)


def scored(folder: Path, name: str, wrong: Mapping[str, range], resamples: int = 200, shape: str = "tags") -> Model:
    """A model, read and scored."""
    write_model(folder / name, wrong, shape=shape)
    files = tuple(sorted((folder / name).glob("*.json")))
    return read_model(Source(name, files), resamples=resamples)
