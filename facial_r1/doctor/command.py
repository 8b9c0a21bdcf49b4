"""`facial-r1 doctor`: environment, versions, GPUs, disk, network and optional parts, each with a verdict and a fix."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from facial_r1.doctor.check import Check

_STYLES = {"ok": "green", "note": "yellow", "missing": "yellow", "broken": "bold red"}


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns 0, or 1 when something that is needed is broken."""
    parser = argparse.ArgumentParser(
        prog="facial-r1 doctor",
        description="What this machine has and lacks. ok: works; note: works, but look; missing: an optional part is not there; "
        "broken: something needed does not work (exit code 1).",
    )
    parser.add_argument("--json", action="store_true", help="one object with the verdict and all checks")
    parser.add_argument("--outputs", default="outputs", metavar="FOLDER", help="where runs go: output_root (outputs)")
    options = parser.parse_args(list(arguments))
    checks = examine(options.outputs)
    broken = [check for check in checks if check.verdict == "broken"]
    if options.json:
        print(json.dumps({"ok": not broken, "checks": [dataclasses.asdict(check) for check in checks]}, indent=2))
    else:
        _show(checks)
        print(f"\n{len(broken)} broken" if broken else "\nnothing needed is broken")
    return 1 if broken else 0


def examine(outputs: str = "outputs") -> list[Check]:
    """All checks, in the order in which they are shown."""
    from facial_r1.doctor import machine, packages

    return [
        *packages.python(),
        *machine.cores_and_memory(),
        *machine.gpus(),
        *machine.disks(outputs),
        *machine.network(),
        *packages.required(),
        *packages.optional(),
    ]


def _show(checks: Sequence[Check]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stdout, soft_wrap=True, highlight=False)
    width = max(len(check.name) for check in checks)
    part = ""
    for check in checks:
        if check.part != part:
            part = check.part
            console.print(Text(part, style="bold"))
        line = Text.assemble("  ", (f"{check.verdict:<8}", _STYLES[check.verdict]), f"{check.name:<{width}}  {check.found}")
        console.print(line)
        for text in (check.meaning, check.fix and f"fix: {check.fix}"):
            if text:
                console.print(Text(f"{'':<{width + 12}}{text}", style="dim"))
