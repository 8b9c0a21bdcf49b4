"""Writes a task folder that lmms-eval loads with `--include_path`, and samples in the shape that lmms-eval logs them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import facial_r1
from facial_r1 import atomic
from facial_r1.config.schema import Job
from facial_r1.data import Data, Record
from facial_r1.errors import InputError
from facial_r1.export.lmms_task import LOWER_IS_BETTER, SETTINGS, LmmsTask
from facial_r1.prompts import render

DATA = "data.jsonl"

_UTILS = '''\
"""Functions of the task {task}, from facial_r1 (pip install facial_r1). Written by `facial-r1 export`; do not edit."""

from pathlib import Path

from facial_r1.export.lmms_task import open_task

_TASK = open_task(Path(__file__).resolve().parent)


def doc_to_visual(doc, lmms_eval_specific_kwargs=None):
    return _TASK.doc_to_visual(doc)


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    return _TASK.doc_to_text(doc, lmms_eval_specific_kwargs)


def doc_to_messages(doc, lmms_eval_specific_kwargs=None):
    return _TASK.doc_to_messages(doc, lmms_eval_specific_kwargs)


def doc_to_target(doc, model_specific_target_kwargs=None):
    return _TASK.doc_to_target(doc)


def process_results(doc, results):
    return _TASK.process_results(doc, results)


{aggregations}
'''

_YAML = """\
# The task {task} for lmms-eval, written by facial_r1 {version} from {source}: {rows} rows, protocol {protocol}, prompt {prompt}.
# Run:  lmms-eval --model <model> --model_args pretrained=<folder or id>{bounds} --tasks {task} --include_path {folder}
# facial_r1 must be installed beside lmms-eval. Figures are those of `stage=eval` for the same answers.
task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_messages: !function utils.doc_to_messages
doc_to_target: !function utils.doc_to_target
process_results: !function utils.process_results
generation_kwargs:
  max_new_tokens: {tokens}
  temperature: {temperature}
  do_sample: {sample}
  # lmms-eval would stop at an empty line, which a reasoning may have.
  until: []
# The reasoning is scored too, so its tags stay.
reasoning_tags: none
score_key: score
cluster_key: subject
metric_list:
{metrics}
metadata:
  - version: 1.0
"""


@dataclass(frozen=True)
class Export:
    """What is exported.

    Attributes:
        task: Name of the task.
        job: Whose prompt, picture size and sampling the task has.
        data: Protocol and, of a mix, those of its datasets.
        records: The rows, in order.
        source: Where they come from, for people.
        prompts: The prompt of each row where a run kept them; else they are rendered.
    """

    task: str
    job: Job
    data: Data
    records: Sequence[Record]
    source: str
    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)


def task_name(text: str) -> str:
    """A name that lmms-eval takes: letters, digits and underscores."""
    return re.sub(r"\W+", "_", text).strip("_").lower() or "facial_r1"


def settings_of(export: Export) -> dict[str, Any]:
    """The contents of `facial_r1.json`.

    Raises:
        InputError: The words of answers are found by a language model, which a task folder cannot do.
    """
    if export.data.protocol.is_open and export.data.protocol.extractor == "llm":
        raise InputError(
            "data.protocol.extractor=llm: a task folder has no language model to find words with; export with data.protocol.extractor=list"
        )
    return {
        "facial_r1": facial_r1.__version__,
        "protocol": _jsonable(export.data.protocol.to_dict()),
        "annotated": {name: list(units) for name, units in export.data.annotated.items()},
        "system": export.job.prompt.system,
        "output": export.job.prompt.output,
        "image_size": dataclasses.asdict(export.job.model.image_size),
    }


def docs_of(export: Export) -> list[dict[str, Any]]:
    """The rows of `data.jsonl`: flat and alike, so that every column has one type."""
    return [
        {
            "id": record.id,
            "dataset": record.dataset,
            "images": list(record.images),
            "prompt": export.prompts.get(record.id) or _prompt(export, record),
            "AUs": None if record.AUs is None else list(record.AUs),
            "labels": list(record.labels),
            "description": record.description,
            "subject": record.subject,
        }
        for record in export.records
    ]


def write_task(export: Export, folder: Path) -> Path:
    """Write `<folder>/<task>/` with the YAML, `utils.py`, `facial_r1.json` and `data.jsonl`; returns it.

    Pictures are not copied: rows name them by their absolute paths.
    """
    place, docs, settings = folder / export.task, docs_of(export), settings_of(export)
    if place.exists() and not (place / SETTINGS).is_file():
        raise InputError(f"{place} exists and is no task of ours; choose another folder, or another --task")
    metrics = LmmsTask(settings, place).metrics_of(docs)
    with atomic.folder(place) as fresh:
        atomic.write_text(fresh / DATA, "".join(json.dumps(doc, ensure_ascii=False) + "\n" for doc in docs))
        atomic.write_json(fresh / SETTINGS, settings)
        atomic.write_text(fresh / "utils.py", _UTILS.format(task=export.task, aggregations="\n".join(map(_aggregation, metrics))))
        atomic.write_text(fresh / f"{export.task}.yaml", _yaml(export, len(docs), metrics, folder))
    return place


def write_samples(export: Export, answers: Mapping[str, str], folder: Path, model: str, date: str) -> Path:
    """Write `<folder>/samples/<model>/<date>_samples_<task>.jsonl`, as lmms-eval logs samples; returns the file.

    It can be a baseline of a later run: `--baseline <file>`.

    Args:
        export: The rows.
        answers: What the model wrote, by record id.
        folder: Beside the task.
        model: Name of the model, part of the path.
        date: `YYYYMMDD_HHMMSS`.
    """
    task = LmmsTask(settings_of(export), folder)
    lines = []
    for place, doc in enumerate(docs_of(export)):
        text = answers[doc["id"]]
        whole = json.dumps(doc, indent=2, ensure_ascii=False)
        lines.append(
            {
                "doc_id": place,
                "target": task.doc_to_target(doc),
                "filtered_resps": text.strip(),
                "token_counts": [None],
                "doc_hash": hashlib.sha256(whole.encode()).hexdigest(),
                **task.process_results(doc, [text.strip()]),
                "input": doc["prompt"],
                "id": doc["id"],
            }
        )
    file = folder / "samples" / re.sub(r"[^\w.-]", "_", model) / f"{date}_samples_{export.task}.jsonl"
    atomic.write_text(file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return file


def function_name(metric: str) -> str:
    """The name of a metric's aggregation in `utils.py`.

    >>> function_name("au/macro_f1")
    'aggregate_au_macro_f1'
    """
    return f"aggregate_{re.sub(r'[^0-9a-z]+', '_', metric.lower())}"


def _aggregation(metric: str) -> str:
    return f'{function_name(metric)} = _TASK.aggregation("{metric}")'


def _yaml(export: Export, rows: int, metrics: Sequence[str], folder: Path) -> str:
    stage, size = export.job.stage, export.job.model.image_size
    pixels = size.max_pixels if size.mode == "budget" else None
    temperature = float(getattr(stage, "temperature", 0.0)) if stage.name == "eval" else 0.0
    listed = "\n".join(
        f"  - metric: {metric}\n    aggregation: !function utils.{function_name(metric)}\n    higher_is_better: {str(metric not in LOWER_IS_BETTER).lower()}"
        for metric in metrics
    )
    return _YAML.format(
        task=export.task,
        version=facial_r1.__version__,
        source=export.source,
        rows=rows,
        protocol=export.data.protocol.name,
        prompt=export.job.prompt.name,
        bounds=f",max_pixels={pixels}" if pixels else "",
        folder=folder.name,
        data=DATA,
        tokens=getattr(stage, "max_new_tokens", None) or getattr(stage, "max_completion_length", 256),
        temperature=temperature,
        sample=str(temperature > 0).lower(),
        metrics=listed,
    )


def _prompt(export: Export, record: Record) -> str:
    rules = export.data.protocol_of(record)
    return render(export.job.prompt, record, rules.labels, vocabulary=rules.action_units)


def _jsonable(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))
