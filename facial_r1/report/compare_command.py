"""`facial-r1 compare A B`: which of two runs is better, on the same samples, and how sure that is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from facial_r1.config.suggest import did_you_mean
from facial_r1.errors import InputError

_DESCRIPTION = """\
Compare two evaluated runs on the samples that both answered.

Every figure of both is computed again from their answers, with the paired difference B - A, its 95 % interval clustered by subject, its p
value (Holm's correction over action units, classes and datasets), the exact McNemar test, and the smallest difference that these samples
would have shown. One of the two may be a file or folder of answers, as stage.predictions takes it.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns 0, or 2 when the two cannot be compared."""
    options = _parser().parse_args(list(arguments))
    try:
        _run(options)
    except InputError as error:
        print(f"facial-r1 compare: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facial-r1 compare", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "a", type=Path, metavar="A", help="a run directory, of a pipeline one of its steps (outputs/pipeline-.../02_sft)"
    )
    parser.add_argument("b", type=Path, metavar="B", help="the other; differences are B - A")
    parser.add_argument(
        "--metric",
        nargs="+",
        metavar="NAME",
        help="only these figures, by name (emotion/accuracy) or by what it begins with (au/f1); the first one decides",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="also write compare.html, .csv, .md, .tex and .json there")
    parser.add_argument("--names", nargs=2, metavar=("A", "B"), help="what to call them")
    parser.add_argument("--resamples", type=int, default=10_000, metavar="N", help="behind each interval (10000)")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples (0)")
    return parser


def _run(options: argparse.Namespace) -> None:
    from facial_r1.report.compare_page import write_page
    from facial_r1.report.compare_runs import read_pair
    from facial_r1.report.compare_scores import compare
    from facial_r1.report.compare_tables import console, write_tables
    from facial_r1.stages.predictions import read_predictions

    if options.resamples < 100:
        raise InputError(f"--resamples={options.resamples}: at least 100, so that an interval has ends")
    if options.seed < 0:
        raise InputError(f"--seed={options.seed}: 0 or more")
    if options.names and options.names[0] == options.names[1]:
        raise InputError(f"--names: both are called {options.names[0]}; give two names")
    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise InputError(f"--out={options.out}: a file is there; name a folder")
    pair = read_pair(options.a, options.b, read_predictions, options.names)
    found = compare(pair, options.resamples, options.seed)
    every = [*found.lines, *found.by_dataset]
    chosen = None
    if options.metric:
        known = list(dict.fromkeys(line.metric for line in every))
        wanted = [name for text in options.metric for name in _matching(text, known)]
        chosen = sorted(
            (line for line in every if line.metric in wanted), key=lambda line: (line.dataset, wanted.index(line.metric))
        )
        found = found.about(wanted)
    console(found, chosen, sys.stdout)
    if options.out is not None:
        lines = every if chosen is None else chosen
        for path in write_tables(found, lines, options.out):
            print(path)
        print(write_page(found, lines, options.out / "compare.html"))


def _matching(text: str, known: Sequence[str]) -> list[str]:
    """The metrics that a name means: itself, else those below it.

    Raises:
        InputError: Both runs have none of that name.
    """
    found = [name for name in known if name == text] or [name for name in known if name.startswith(text.rstrip("/") + "/")]
    if not found:
        raise InputError(f"--metric {text}: not a figure of both runs; {did_you_mean(text, known)}")
    return found
