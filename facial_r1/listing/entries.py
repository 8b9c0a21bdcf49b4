"""What there is of each kind, read off the files and registries themselves, so that a listing is never out of date. Imports no torch."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from facial_r1.config.paths import conf_dir, options


@dataclass(frozen=True)
class Entry:
    """One thing that can be chosen.

    Attributes:
        name: As it is written in a command.
        what: What it is for, one line.
        command: How it is chosen; "" where that goes without saying.
        cost: What it costs; "" where nothing is known.
        details: Further facts by name, for `--json`.
    """

    name: str
    what: str
    command: str = ""
    cost: str = ""
    details: Mapping[str, object] = field(default_factory=dict)


def header(text: str) -> dict[str, str]:
    """What, command and cost of a configuration file, from the comment that opens it; parts that it lacks are missing.

    >>> header("# What:    a model\\n#          that is small.\\n# Cost:    none.\\nname: x")
    {'what': 'a model that is small.', 'cost': 'none.'}
    """
    found: dict[str, str] = {}
    part = ""
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comment = line.removeprefix("#").strip()
        start = re.match(r"(What|Command|Cost):\s*(.*)", comment)
        if start:
            part = start[1].lower()
            found[part] = start[2]
        elif part and comment and not comment.startswith("@"):
            found[part] = f"{found[part]} {comment}".strip()
        elif not comment:
            part = ""
    return found


def summary(docstring: str | None) -> str:
    """The first paragraph of a docstring on one line."""
    paragraph = (docstring or "").strip().split("\n\n")[0]
    return " ".join(paragraph.split()).rstrip(":")


def of_group(group: str) -> list[Entry]:
    """The options of a configuration group."""
    found = []
    for option in options(group):
        facts = header((conf_dir() / group / f"{option}.yaml").read_text(encoding="utf-8"))
        found.append(Entry(option, facts.get("what", ""), facts.get("command", ""), facts.get("cost", "")))
    return found


def rewards() -> list[Entry]:
    """The rewards that `reward.weights` may name."""
    from facial_r1 import rewards as registry

    return [
        Entry(one.name, one.line, f"reward.weights.{one.name}=1", details={"options": list(one.options), "bound": one.bound})
        for one in registry.describe()
    ]


FIGURES: Mapping[str, tuple[str, Sequence[str]]] = {
    "emotion": ("facial_r1.metrics.emotion", ("emotion/*",)),
    "au": ("facial_r1.metrics.action_units", ("au/*",)),
    "text": ("facial_r1.metrics.text", ("text/rouge_*",)),
    "rege": ("facial_r1.metrics.rege", ("text/rege*",)),
    "judge": ("facial_r1.metrics.judge", ("text/judge*",)),
    "format": ("facial_r1.metrics.format", ("format/*",)),
    "compat": ("facial_r1.metrics.facial_r1_compat", ("compat/*",)),
    "wheel": ("facial_r1.metrics.wheel", ("wheel/*",)),
    "sentiment": ("facial_r1.metrics.sentiment", ("sentiment/*",)),
    "ferbench": ("facial_r1.metrics.ferbench", ("ferbench/*",)),
    "unibench": ("facial_r1.metrics.unibench", ("unibench/*",)),
    "folds": ("facial_r1.metrics.folds", ("folds/*",)),
    "by": ("facial_r1.metrics.breakdown", ("by",)),
    "reward": ("facial_r1.rewards.registry", ("reward/*",)),
}
"""Families of figures: the module whose docstring says what they are, and their names in summary.json."""

_SETTINGS = {
    "rege": "stage.rege=emotion",
    "judge": "stage.judge.enabled=true",
    "compat": "stage.compat=true",
    "wheel": "protocol=open",
    "ferbench": "protocol=ferbench",
    "unibench": "protocol=mer_unibench",
    "by": "stage.by=[dataset]",
}


def metrics() -> list[Entry]:
    """The families of figures that an evaluation writes into summary.json."""
    found = []
    for name, (module, figures) in FIGURES.items():
        what = summary(importlib.import_module(module).__doc__)
        found.append(Entry(name, f"{', '.join(figures)}: {what}", _SETTINGS.get(name, ""), details={"figures": list(figures)}))
    return found


def protocols() -> list[Entry]:
    """The options of `protocol=`, then the shipped protocols that come with their dataset only."""
    from facial_r1.data import protocol

    found = of_group("protocol")
    named = {entry.name for entry in found}
    for name in sorted(set(protocol.shipped_protocols()) - named):
        path = Path(protocol.__file__).parent / "protocols" / f"{name}.yaml"
        comment = takewhile(lambda line: line.startswith("# "), path.read_text(encoding="utf-8").splitlines())
        what = " ".join(line.removeprefix("# ").strip() for line in comment)  # "Protocol `name`: what it is."
        found.append(Entry(name, what.partition(": ")[2] or what, f"data.protocol.name={name}"))
    return sorted(found, key=lambda entry: entry.name)


KINDS: Mapping[str, tuple[str, Callable[[], list[Entry]]]] = {
    "rewards": ("what an answer earns in GRPO: reward.weights.<name>", rewards),
    "metrics": ("figures of summary.json; docs/metrics.md defines each", metrics),
    "protocols": ("what labels and action units mean: protocol=<name>", protocols),
    "models": ("checkpoints: model=<name>", lambda: of_group("model")),
    "experiments": ("recipes: experiment=<name>", lambda: of_group("experiment")),
    "data": ("datasets: data=<name>", lambda: of_group("data")),
    "prompts": ("the text beside the picture: prompt=<name>", lambda: of_group("prompt")),
    "stages": ("what is done: stage=<name>", lambda: of_group("stage")),
}
"""By kind, one line about it and what gives its entries."""
