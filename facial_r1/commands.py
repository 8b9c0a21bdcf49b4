"""Subcommands of the command line: `facial-r1 <command> ...`. Each is one module, imported when it is called."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

_COMMANDS = {
    "cache": ("facial_r1.generation.cache_command", "show or prune the cache of generated answers"),
    "card": ("facial_r1.cards.command", "write the card of a trained model or of a written dataset: card <run>"),
    "compare": ("facial_r1.report.compare_command", "which of two runs is better, on the same samples, and how sure that is"),
    "doctor": ("facial_r1.doctor.command", "what this machine has and lacks, each with a fix"),
    "draw": ("facial_r1.data.schematic.ferbench_layout", "drawn faces laid out as FERBench, with UniFER's training files"),
    "export": (
        "facial_r1.export.command",
        "an evaluation as a task folder and samples for lmms-eval: export <run | rows.jsonl> --lmms-eval <folder>",
    ),
    "figure": ("facial_r1.studies.command", "the figure of a study from its runs: figure experiments/group_size"),
    "folds": ("facial_r1.report.folds_command", "evaluations of subject-exclusive folds in one table, with their mean"),
    "leaderboard": ("facial_r1.report.leaderboard", "one table of many runs, or of many models on FERBench"),
    "ls": ("facial_r1.listing.command", "what there is: rewards, metrics, protocols, models, experiments, data, prompts, stages"),
    "predict": ("facial_r1.predict.command", "what a model says about pictures: face.jpg|folder|- init_from=<run>"),
    "push": ("facial_r1.publish.command", "upload a trained model or a written dataset to the hub: push <run> --repo owner/name"),
    "review": ("facial_r1.report.review_command", "read back what people decided about written rows; makes a reviewed test set"),
    "report": ("facial_r1.report.command", "rebuild report.html of run directories"),
    "serve": ("facial_r1.serve.command", "an OpenAI-compatible server in front of a run's model: init_from=<run>"),
    "wheels": ("facial_r1.affect.wheels.command", "explain emotion words on the wheels, draw a wheel"),
    "workspace": (
        "facial_r1.tracking.workspace_command",
        "the panels a GRPO run is watched by, as a wandb workspace: <entity>/<project>",
    ),
}

_STAGES = {
    "prepare": "a dataset in its owner's folders into JSON lines: prepare data=<dataset> data.root=<folder> (stage=prepare)",
}
"""Commands that are another way to write `stage=<name>`; settings follow as usual."""


def names() -> list[str]:
    """The commands there are."""
    return sorted([*_COMMANDS, *_STAGES])


def describe() -> dict[str, str]:
    """One line about each command."""
    return dict(sorted([*((name, line) for name, (_, line) in _COMMANDS.items()), *_STAGES.items()]))


def as_settings(arguments: Sequence[str]) -> list[str]:
    """The command line with a command that stands for a stage written as one.

    >>> as_settings(["prepare", "data=raf_db"])
    ['stage=prepare', 'data=raf_db']
    """
    if arguments and arguments[0] in _STAGES:
        return [f"stage={arguments[0]}", *arguments[1:]]
    return list(arguments)


def run(name: str, arguments: Sequence[str]) -> int:
    """Run a command; returns the exit code."""
    return int(importlib.import_module(_COMMANDS[name][0]).main(list(arguments)))
