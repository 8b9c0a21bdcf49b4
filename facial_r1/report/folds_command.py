"""`facial-r1 folds RUN RUN ...`: one table of evaluations of subject-exclusive folds, with their mean and the pooled figures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facial_r1.errors import InputError

if TYPE_CHECKING:
    from facial_r1.metrics.evaluate import Evaluation

_DESCRIPTION = """\
Summarise the evaluations of folds (data.fold=0, 1, 2), each tested by a model of its own.

Every figure is computed again from the answers of each run. The mean over the folds is what papers report for DISFA and BP4D; pooled is one
figure over all rows together. Intervals resample subjects over all folds.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns 0, or 2 when the runs are no folds of one evaluation."""
    parser = argparse.ArgumentParser(
        prog="facial-r1 folds", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="an evaluated run of each fold, in order")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="also write folds.csv, .md, .tex and .json there")
    parser.add_argument("--details", action="store_true", help="also single emotions and action units")
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="behind each interval (2000)")
    options = parser.parse_args(list(arguments))
    try:
        _run(options)
    except InputError as error:
        print(f"facial-r1 folds: {error}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> None:
    from facial_r1 import atomic
    from facial_r1.metrics.folds import fold_figures
    from facial_r1.report.tables import MetricTable, console, write_tables

    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise InputError(f"--out={options.out}: a file is there; name a folder")
    folds = fold_figures([_evaluation(path, options.resamples) for path in options.runs], options.resamples)
    columns = {f"fold {number}": figures for number, figures in enumerate(folds.each, start=1)}
    columns |= {"mean": folds.mean, "pooled": folds.pooled}
    table = MetricTable.of({name: {"metrics": figures} for name, figures in columns.items()}, details=options.details)
    console(table, stream=sys.stdout)
    if options.out:
        for path in write_tables(table, options.out, "folds"):
            print(path)
        target = options.out / "folds.json"
        atomic.write_text(target, json.dumps(folds.named(), indent=1) + "\n")
        print(target)


def _evaluation(path: Path, resamples: int) -> Evaluation:
    from facial_r1.report.compare_runs import rows_of, rules_of
    from facial_r1.report.compare_scores import evaluate_by
    from facial_r1.report.load import load_run

    if not path.is_dir():
        raise InputError(f"{path}: no such run directory")
    run = load_run(path)
    rows = list(rows_of(run, path).values())
    rules = rules_of(run)
    if rules.ferbench or rules.wheels is not None:
        raise InputError(
            f"{path}: folds are for action units and emotions of a closed set, not for FERBench or an open vocabulary"
        )
    return evaluate_by(rules, rows, rows, resamples)
