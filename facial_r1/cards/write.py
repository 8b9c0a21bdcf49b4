"""Cards beside what they describe: `model/README.md` of a model, `README.md` of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facial_r1 import atomic
from facial_r1.cards.dataset import dataset_card
from facial_r1.cards.facts import TRAINS
from facial_r1.cards.markdown import is_ours
from facial_r1.cards.model import model_card
from facial_r1.errors import InputError
from facial_r1.report.load import Run, load_run

DATASETS = ("synthesis", "prepare")


def card_of(run: Run) -> Path:
    """Where the card of a run lies.

    Raises:
        InputError: The run made neither a model nor a dataset.
    """
    if run.stage in DATASETS:
        return run.path / "README.md"
    if (run.path / "model").is_dir():
        return run.path / "model" / "README.md"
    if run.stage == "pipeline":
        raise InputError(
            f"{run.path} is a pipeline: name one of its steps, for example {', '.join(child.path.name for child in run.children)}"
        )
    if run.stage in TRAINS:
        raise InputError(
            f"{run.path}: no model/ there (state: {run.status.get('state') or 'unknown'}); finish the run with its own command"
        )
    raise InputError(
        f"{run.path}: stage={run.stage} makes neither a model nor a dataset. Give a run of stage=sft, grpo, synthesis, prepare or pipeline; "
        "an evaluation goes into the card of its model: facial-r1 card <training run> --evaluation <this run>"
    )


def described(path: Path) -> list[Run]:
    """The runs at `path` that a card describes: the run itself, of a pipeline its steps that made a model or a dataset."""
    run = load_run(path)
    return [child for child in run.children if child.stage in (*TRAINS, *DATASETS)] if run.stage == "pipeline" else [run]


def write_cards(path: Path, evaluations: Sequence[Path] = (), licence: str | None = None, force: bool = False) -> list[Path]:
    """Write the card of a run (of each step of a pipeline); returns the files.

    Args:
        path: A run directory.
        evaluations: Further evaluations of the model, by run directory.
        licence: The hub's identifier of its licence.
        force: Also replace a card that was edited by hand.

    Raises:
        InputError: There is nothing to describe, an evaluation is of another model, or the card was edited by hand.
    """
    runs = described(path)
    if evaluations and (len(runs) != 1 or runs[0].stage in DATASETS):
        raise InputError(
            f"--evaluation is for the card of one model; {path} is {'a pipeline' if len(runs) != 1 else 'a dataset'}"
        )
    others = [_evaluation(folder, runs[0]) for folder in evaluations]
    files = []
    for run in runs:
        file = card_of(run)
        if file.is_file() and not force and not is_ours(file.read_text(encoding="utf-8")):
            raise InputError(f"{file} was edited by hand; --force writes it anew, and what was written by hand is lost")
        atomic.write_text(file, dataset_card(run, licence) if run.stage in DATASETS else model_card(run, others, licence))
        files.append(file)
    return files


def _evaluation(folder: Path, of: Run) -> Run:
    run = load_run(folder)
    model = run.status.get("model") or ""
    if not run.summary.get("metrics"):
        raise InputError(f"--evaluation {folder}: no figures there (summary.json); give a finished run of stage=eval")
    if model and Path(str(model)).absolute() != (of.path / "model").absolute():
        raise InputError(f"--evaluation {folder}: that run evaluated {model}, not {of.path / 'model'}")
    return run
