"""`facial-r1 report <run> ...`: build the page of run directories again, and their tables if asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from facial_r1.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns 0, or 2 when a folder is no run directory."""
    parser = argparse.ArgumentParser(prog="facial-r1 report", description="Rebuild report.html of run directories.")
    parser.add_argument("run", nargs="+", type=Path, help="a run directory; of a pipeline, the pipeline's own")
    parser.add_argument("--tables", action="store_true", help="also write metrics.csv, metrics.md and metrics.tex beside it")
    parser.add_argument(
        "--compare", type=Path, metavar="FILE", help="also write one page that shows the runs side by side on the same faces"
    )
    options = parser.parse_args(list(arguments))
    from facial_r1.report import build, build_comparison
    from facial_r1.report.load import load_run
    from facial_r1.report.tables import MetricTable, write_tables

    try:
        for folder in options.run:
            print(build(folder))
            if options.tables:
                summary = load_run(folder).summary
                name = "" if summary.get("models") else str(summary.get("stage") or folder.name)
                for path in write_tables(MetricTable.of({name: summary}, details=True), folder):
                    print(path)
        if options.compare:
            print(build_comparison(_named(options.run), options.compare))
    except InputError as error:
        print(f"facial-r1 report: {error}", file=sys.stderr)
        return 2
    return 0


def _named(folders: Sequence[Path]) -> dict[str, Path]:
    """Runs by folder name, numbered where two are the same."""
    named: dict[str, Path] = {}
    for folder in folders:
        name = folder.resolve().name
        named[name if name not in named else f"{name} ({len(named) + 1})"] = folder
    return named
