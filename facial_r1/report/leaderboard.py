"""`facial-r1 leaderboard <folder> ...`: the evaluated runs below some folders in one table, the best one first."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from facial_r1 import runs
from facial_r1.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns 0, or 2 when there is no evaluated run."""
    parser = argparse.ArgumentParser(prog="facial-r1 leaderboard", description="Compare evaluated runs in one table.")
    parser.add_argument(
        "folder", nargs="*", type=Path, default=[Path("outputs")], help="run directories, or folders of them (outputs)"
    )
    parser.add_argument("--by", default="emotion/accuracy", metavar="METRIC", help="the metric to sort by (emotion/accuracy)")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="also write leaderboard.csv, .md and .tex there")
    options = parser.parse_args(list(arguments))
    from facial_r1.report.tables import console, leaderboard, write_tables

    try:
        table = leaderboard([folder for given in options.folder for folder in _evaluated(given)], options.by)
        if not table.models:
            raise InputError(f"no evaluated run in {', '.join(map(str, options.folder))}: run stage=eval first")
        if options.by not in table.metrics:
            raise InputError(f"no run has the metric {options.by}: choose --by from {', '.join(table.metrics)}")
    except InputError as error:
        print(f"facial-r1 leaderboard: {error}", file=sys.stderr)
        return 2
    console(table, stream=sys.stdout)
    if options.write:
        for path in write_tables(table, options.write, "leaderboard"):
            print(path)
    return 0


def _evaluated(folder: Path) -> Iterator[Path]:
    """The folder itself when it is a run, else the runs below it; the steps of a pipeline are shown by the pipeline."""
    if (folder / "summary.json").is_file():
        yield folder
        return
    found = [run.path for run in runs.find(folder) if run.summary.is_file()]
    inside = {path for path in found if path.parent in found}
    yield from (path for path in found if path not in inside)
