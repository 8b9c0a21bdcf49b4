"""`facial-r1 figure experiments/<name>`: results.csv, results.md and figure.png of a study from its runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from facial_r1 import atomic
from facial_r1.errors import InputError

_DESCRIPTION = """\
Draw a study's figure. Where runs of the study are there, their figures are read and written to results.csv, results.md and figure.png
beside study.yaml; where there are none, the figure is drawn again from results.csv. Jobs that are not finished are named.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns 0, or 2 when there is nothing to draw."""
    parser = argparse.ArgumentParser(
        prog="facial-r1 figure", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, metavar="STUDY", help="its folder: experiments/group_size")
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="of its sweep (outputs/sweeps/<name>)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write there instead of beside study.yaml")
    options = parser.parse_args(list(arguments))
    try:
        _run(options)
    except InputError as error:
        print(f"facial-r1 figure: {error}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> None:
    from facial_r1.studies.drawing import draw
    from facial_r1.studies.results import FILE, collect, markdown, read_csv, write_csv
    from facial_r1.studies.study import load_study

    study = load_study(options.study)
    runs = options.runs or Path("outputs") / "sweeps" / study.name
    if options.runs is not None and not options.runs.is_dir():
        raise InputError(f"--runs={options.runs}: no such folder; the sweep is at <output_root>/sweeps/{study.name}")
    out = options.out or study.folder
    rows, missing = collect(study, runs)
    if any(row.seed is not None for row in rows):
        for line in missing:
            print(f"facial-r1 figure: not in the figure: {line}", file=sys.stderr)
        out.mkdir(parents=True, exist_ok=True)
        write_csv(rows, out / FILE)
        rows = read_csv(out / FILE)  # the figure shows what the file says
        atomic.write_text(out / "results.md", markdown(study, rows))
    elif (study.folder / FILE).is_file():
        rows = read_csv(study.folder / FILE)
        print(f"facial-r1 figure: no finished run in {runs}; drawn from {study.folder / FILE}", file=sys.stderr)
    else:
        raise InputError(f"no finished run of this study in {runs}: python -m facial_r1 -m study={options.study}")
    print(markdown(study, rows), end="")
    print(draw(study, rows, out / "figure.png"))
