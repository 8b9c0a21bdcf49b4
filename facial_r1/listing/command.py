"""`facial-r1 ls <kind>`: rewards, metrics, protocols, models, experiments, data, prompts, stages, one line each."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from facial_r1.config.suggest import did_you_mean
from facial_r1.errors import InputError
from facial_r1.listing.entries import KINDS, Entry


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns 0, or 2 for a kind that there is not."""
    parser = argparse.ArgumentParser(
        prog="facial-r1 ls",
        description="What there is, one line each: name, what for, how it is chosen, what it costs. With tabs in between where the output is no terminal.",
    )
    parser.add_argument("kind", nargs="?", metavar="KIND", help=f"{', '.join(KINDS)}; without one, these are listed")
    parser.add_argument("--json", action="store_true", help="a list of objects")
    options = parser.parse_args(list(arguments))
    try:
        entries = _entries(options.kind)
    except InputError as error:
        print(f"facial-r1 ls: {error}", file=sys.stderr)
        return 2
    if options.json:
        rows = [{**dataclasses.asdict(entry), **entry.details} for entry in entries]
        for row in rows:
            del row["details"]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        _table(entries)
    else:
        for entry in entries:
            print("\t".join((entry.name, entry.what, entry.command, entry.cost)).rstrip())
    return 0


def _entries(kind: str | None) -> list[Entry]:
    if kind is None:
        return [Entry(name, line, f"facial-r1 ls {name}") for name, (line, _) in KINDS.items()]
    if kind not in KINDS:
        raise InputError(f"{kind}: no such kind; {did_you_mean(kind, KINDS)}")
    return KINDS[kind][1]()


def _table(entries: Sequence[Entry]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for entry in entries:
        lines = [Text(entry.what), *(Text(line, style="dim") for line in (entry.command, entry.cost) if line)]
        table.add_row(Text(entry.name, style="bold cyan"), Text("\n").join(lines))
    Console().print(table)
