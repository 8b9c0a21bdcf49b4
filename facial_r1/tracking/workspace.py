"""The wandb workspace a GRPO run is watched in, as data: sections of panels over the names of `facial_r1.tracking.names`.

The layout is plain and needs no library; `facial_r1.tracking.workspace_objects` turns it into what wandb-workspaces saves.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from facial_r1.tracking.names import SECTIONS, dashboard_name

Kind = Literal["lines", "bars", "pictures", "table", "runs", "text"]
STEP = "step"
"""The axis of every curve: our own step, see `WandbTracker`."""


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        kind: lines over steps, bars over runs, pictures, a table of samples, the settings of runs side by side, or text.
        title: shown above it.
        names: dashboard names it shows; a `<...>` in one stands for anything.
        low, high: ends of the y axis, where they are known.
        text: of kind text.
    """

    kind: Kind
    title: str
    names: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    text: str = ""

    @property
    def pattern(self) -> str | None:
        """A regular expression for the names, where one of them stands for many."""
        if not any("<" in name for name in self.names):
            return None
        parts = [".+".join(re.escape(part) for part in re.split(r"<[^>]+>", name)) for name in self.names]
        return f"^({'|'.join(parts)})$"


@dataclass(frozen=True)
class Section:
    """A titled row of panels."""

    name: str
    about: str
    panels: tuple[Panel, ...]


def layout() -> tuple[Section, ...]:
    """The sections from top to bottom: reward, policy, completions, throughput, samples, evaluation, lineage."""
    return (
        _section(
            "reward",
            _lines("Reward", "reward/mean"),
            _lines("Components", *_components()),
            _lines("Spread inside groups", "reward/std", low=0),
            _share("Groups without spread", "groups/zero_variance", "groups/zero_variance_right", "groups/zero_variance_wrong"),
            _share("Live groups (dynamic sampling)", "dynamic_sampling/live_fraction", "dynamic_sampling/accept_rate"),
            _lines("Advantages", "advantage/<name>"),
        ),
        _section(
            "policy",
            _lines("Loss", "loss"),
            _lines("KL to the reference", "kl", low=0),
            _lines("Entropy", "entropy", low=0),
            _lines("Gradient norm, before clipping", "grad_norm", low=0),
            _share("Clipped tokens", "clip_ratio", "clip_ratio/<name>"),
            _lines("Learning rate", "learning_rate", low=0),
            _lines("Sampler against trainer", "sampling/<name>"),
        ),
        _section(
            "completions",
            _lines("Length, tokens", "completions/mean_length", "completions/p95_length", low=0),
            _share("Cut off", "completions/truncated"),
            _share("Answers that do not parse", "completions/parse_failures"),
        ),
        _section(
            "throughput",
            _lines("Seconds a step", "seconds/step", low=0),
            _lines("Parts of a step", "seconds/<name>", low=0),
            _lines("Tokens a second", "tokens_per_second", low=0),
            _lines("Samples a second", "samples_per_second", low=0),
            _lines("Memory", "memory/<name>", low=0),
        ),
        _section("samples", Panel("table", "Rollouts with their rewards", ("samples/<name>",))),
        _section(
            "eval",
            Panel("bars", "Emotion", _final("emotion/accuracy", "emotion/uar", "emotion/macro_f1"), 0, 1),
            Panel("bars", "Action units", _final("au/macro_f1", "au/micro_f1", "au/subset_accuracy"), 0, 1),
            Panel("bars", "Action units that are not there", _final("au/hallucinated"), 0, 1),
            Panel("bars", "Emotion accuracy and its interval", _bounds("emotion/accuracy"), 0, 1),
            Panel("bars", "AU macro-F1 and its interval", _bounds("au/macro_f1"), 0, 1),
            Panel("bars", "Reasoning against the reference", _final("text/rouge_l", "text/judge")),
            Panel("bars", "Emotion wheels", _final("wheel/level1/f", "wheel/level2/f"), 0, 1),
            Panel("bars", "Answer format", _final("format/valid", "format/truncated"), 0, 1),
            Panel("pictures", "Confusion of emotions", (dashboard_name("confusion"),)),
        ),
        Section(
            "lineage",
            "Where a run comes from: its stage, parent, code version, data and settings",
            (
                Panel(
                    "text",
                    "Lineage",
                    text="`config.lineage` of a run holds its stage, parent run, chain of ancestors, code version and data fingerprint. "
                    "The table beside it shows in what the selected runs differ.",
                ),
                Panel("runs", "In what runs differ"),
            ),
        ),
    )


def as_json(sections: tuple[Section, ...] | None = None) -> list[dict[str, Any]]:
    """The layout as plain lists and mappings."""
    return [asdict(section) for section in sections or layout()]


def _components() -> list[str]:
    """The mean of each reward function that there is; a pattern would also match the total and the spread."""
    from facial_r1 import rewards

    return [f"reward/{entry.name}" for entry in rewards.describe()]


def _section(name: str, *panels: Panel) -> Section:
    return Section(name, SECTIONS[name], panels)


def _lines(title: str, *names: str, low: float | None = None, high: float | None = None) -> Panel:
    return Panel("lines", title, tuple(dashboard_name(name) for name in names), low, high)


def _share(title: str, *names: str) -> Panel:
    return _lines(title, *names, low=0, high=1)


def _final(*names: str) -> tuple[str, ...]:
    """The names under which the figures of a `summary.json` are shown (`facial_r1.tracking.names.summary_scalars`)."""
    return tuple(f"eval/{name}" for name in names)


def _bounds(name: str) -> tuple[str, ...]:
    return _final(f"{name}_low", name, f"{name}_high")
