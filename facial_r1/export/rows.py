"""What an export is about: the rows of an evaluation that ran, or of a file, with the protocol and prompt they are asked by."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

from facial_r1.config.schema import Eval, Job
from facial_r1.data import Data, Record, load_data
from facial_r1.errors import InputError
from facial_r1.export.lmms_folder import Export, task_name
from facial_r1.runs import RunDirectory

_OWN_FORMAT = ("ferbench", "mer_unibench")


def of_run(path: Path, task: str | None = None) -> tuple[Export, dict[str, str], str, str]:
    """The rows and answers of a run that was evaluated.

    Returns:
        The export, the answers by record id, the name of the run, and when it ended as `YYYYMMDD_HHMMSS`.

    Raises:
        InputError: The run has no samples, its data is gone, or changed.
    """
    from facial_r1.config.resolved import load_resolved
    from facial_r1.config.validation import validate

    run = RunDirectory(path.absolute())
    if not run.samples.is_file():
        raise InputError(
            f"{path}: no samples.jsonl; give a run that was evaluated (stage=eval, or sft and grpo with stage.evaluate), of a pipeline one of its steps"
        )
    job = validate(load_resolved(run.resolved))
    try:
        data = _load(job, "train" if isinstance(job.stage, Eval) and job.stage.split == "train" else "test")
    except InputError as error:
        raise InputError(
            f"{path}: the rows of the run are needed, and cannot be read (relative paths are from where the run was started): {error}"
        ) from error
    samples = [json.loads(line) for line in run.samples.read_text(encoding="utf-8").splitlines() if line.strip()]
    known = {record.id: record for record in (*data.train.unique, *data.test.unique)}
    gone = [sample["id"] for sample in samples if sample["id"] not in known]
    if gone:
        raise InputError(
            f"{path}: {len(gone)} of its {len(samples)} rows are not in its data any more, for example {gone[0]}; restore the data of the run"
        )
    prompts = {sample["id"]: sample["prompt"] for sample in samples if sample.get("prompt")}
    name = task_name(task or f"facial_r1_{job.data.name}")
    export = Export(name, job, data, [known[sample["id"]] for sample in samples], f"the run {run.path.name}", prompts)
    ended = re.sub(r"\D", "", str(run.status().get("ended") or ""))[:14] or "0" * 14
    return export, {sample["id"]: sample["completion"] for sample in samples}, run.path.name, f"{ended[:8]}_{ended[8:]}"


def of_files(files: Sequence[Path], settings: Sequence[str], task: str | None = None) -> Export:
    """The rows of JSON lines files, asked as `stage=eval` with these settings would ask them.

    Raises:
        InputError: A setting or a row is wrong, or no row is annotated.
    """
    from facial_r1.config.compose import compose_tree
    from facial_r1.config.resolved import plain
    from facial_r1.config.validation import validate

    listed = ",".join("'" + str(file.absolute()).replace("\\", "\\\\").replace("'", "\\'") + "'" for file in files)
    tree = compose_tree(["stage=eval", "data=jsonl", f"data.test_files=[{listed}]", *map(_of_test_side, settings)])
    job = validate(plain(tree))
    data = _load(job, "test")
    records: list[Record] = [r for r in data.test.unique if r.AUs is not None or r.labels or r.description]
    if not records:
        raise InputError(f"{files[0]}: no row has action units, a label or a description to score answers against")
    return Export(task_name(task or f"facial_r1_{files[0].stem}"), job, data, records, ", ".join(file.name for file in files))


def _of_test_side(setting: str) -> str:
    """`data.images=[faces]` means the pictures of the files that are exported, which are the test side here."""
    return setting.replace("data.images=", "data.test_images=", 1) if setting.startswith("data.images=") else setting


def _load(job: Job, side: str) -> Data:
    if job.data.protocol.name in _OWN_FORMAT:
        raise InputError(
            f"protocol={job.data.protocol.name} has a question and rules of its own for each row, which lmms-eval's tasks cannot carry; use stage=eval"
        )
    return load_data(dataclasses.replace(job.data, amount=None), need=(side,))
