"""Two evaluated runs on the same drawn faces, written as an evaluation writes them, with figures that belong to their answers."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facial_r1.metrics.evaluate import evaluate, mean_figures
from facial_r1.metrics.samples import cluster_of
from tests.report.fixture_run import LABELS, VOCABULARY, make_faces, make_sample

DATASETS = ("schematic", "studio")


def faces(root: Path, count: int = 40, datasets: bool = False) -> list[dict[str, Any]]:
    """Records of faces drawn into `root`/faces; every third one of the second dataset, if asked for."""
    records = make_faces(root / "faces", count)
    for number, record in enumerate(records):
        record["image"] = f"../{record['image']}"
        if datasets:
            record["dataset"] = DATASETS[number % 3 == 0]
            record["id"] = f"{record['dataset']}/{record['id']}"
    return records


def write_run(folder: Path, records: Sequence[dict[str, Any]], skill: float, seed: int = 0, weight: float = 1.0) -> Path:
    """A run whose model has this skill (0 to 1)."""
    chance = random.Random(seed)
    samples = []
    for record in records:
        sample = make_sample(record, skill, chance, record["image"])
        sample["completion"] = sample["completion"].replace("; ", ", ")  # one answer: the emotion behind the units
        sample["completion"] = sample["completion"].replace(
            f"<answer>{', '.join(sample['parsed']['action_units'])}, ", "<answer>"
        )
        sample["description"] = record["description"]
        sample["scores"]["reward/mean"] = weight * sum(sample["scores"].values()) / 3
        samples.append(sample)
    return write(folder, samples, weight, datasets="dataset" in records[0])


def write(folder: Path, samples: Sequence[dict[str, Any]], weight: float = 1.0, datasets: bool = False) -> Path:
    """A run directory with these samples and the figures that belong to them."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [{**sample, "dataset": sample["id"].partition("/")[0] if datasets else ""} for sample in samples]
    reasons = [sample["finish_reason"] for sample in samples]
    texts = [sample["completion"] for sample in samples]
    found = evaluate(texts, records, VOCABULARY, LABELS, resamples=0, finish_reasons=reasons)
    paid = {name: [sample["scores"][name] for sample in samples] for name in samples[0]["scores"]}
    metrics = found.metrics | mean_figures(paid, [cluster_of(sample) for sample in found.samples], resamples=0)
    summary: dict[str, Any] = {"stage": "eval", "metrics": metrics, "failures": found.failures, "rows": len(samples)}
    if datasets:
        summary["by"] = [{"field": "dataset", "groups": {name: {"rows": 1, "metrics": {}} for name in DATASETS}, "worst": {}}]
    (folder / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "status.json").write_text(json.dumps({"state": "finished", "stage": "eval"}))
    (folder / "resolved.yaml").write_text(f"stage:\n  name: eval\nreward:\n  weights:\n    au: {weight}\n")
    return folder


def samples_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of samples.jsonl."""
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def change(folder: Path, place: int, **values: Any) -> None:
    """Overwrite fields of one sample."""
    rows = samples_of(folder)
    rows[place] |= values
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
