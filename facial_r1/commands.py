"""Subcommands of the command line: `facial-r1 <command> ...`. Each is one module, imported when it is called."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

_COMMANDS = {
    "leaderboard": ("facial_r1.report.leaderboard", "one table of many runs"),
    "report": ("facial_r1.report.command", "rebuild report.html of run directories"),
}


def names() -> list[str]:
    """The commands there are."""
    return sorted(_COMMANDS)


def describe() -> dict[str, str]:
    """One line about each command."""
    return {name: line for name, (_, line) in sorted(_COMMANDS.items())}


def run(name: str, arguments: Sequence[str]) -> int:
    """Run a command; returns the exit code."""
    return int(importlib.import_module(_COMMANDS[name][0]).main(list(arguments)))
