"""`facial-r1 leaderboard <folder> ...`: evaluated runs in one table, the best one first; on FERBench, anyone's models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from facial_r1 import runs
from facial_r1.errors import InputError

_BY = "emotion/accuracy"
_DESCRIPTION = """\
Compare evaluated runs in one table.

Runs that were evaluated on FERBench, and result files of any model in the format of its authors
(rafdb_<model>_results.json, ...), are compared on FERBench instead: all figures of both readings,
tests against the best model and, with --write, a page that shows two models side by side.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns 0, or 2 when there is nothing to compare or a file is wrong."""
    parser = argparse.ArgumentParser(
        prog="facial-r1 leaderboard", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder",
        nargs="*",
        default=["outputs"],
        help="run directories, folders of them, or result files; NAME=PATH names a model",
    )
    parser.add_argument(
        "--by", metavar="METRIC", help=f"the metric to sort by ({_BY}; FERBench: ferbench/pooled/strict/accuracy)"
    )
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="also write leaderboard.csv, .md, .tex (and .html) there")
    ferbench = parser.add_argument_group("FERBench")
    ferbench.add_argument("--ferbench", action="store_true", help="only what was evaluated on FERBench")
    ferbench.add_argument(
        "--questions", metavar="PATH", help="the question files; questions without a result then count as wrong"
    )
    ferbench.add_argument(
        "--images", type=Path, metavar="FOLDER", help="the folder above the pictures, to show faces in the page"
    )
    ferbench.add_argument("--resamples", type=int, default=2000, metavar="N", help="behind each interval (2000)")
    options = parser.parse_args(list(arguments))
    try:
        _run(options)
    except InputError as error:
        print(f"facial-r1 leaderboard: {error}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> None:
    from facial_r1.report.leaderboard_models import distinct, is_ferbench_run, sources_in

    given = [_named(text) for text in options.folder]
    found, ordinary, empty = [], [], []
    for name, place in given:
        evaluated = list(_evaluated(place)) if place.is_dir() else []
        others = [run for run in evaluated if not is_ferbench_run(run)]
        sources = sources_in(place, evaluated, name)
        found += sources
        ordinary += others
        if not sources and not others:
            empty.append(place)
    absent = [place for place in empty if not place.exists()]
    if absent:
        raise InputError(f"{absent[0]}: no such file or folder; give runs, folders of runs, or FERBench result files")
    if options.ferbench or (found and not ordinary):
        if empty:
            raise InputError(
                f"{empty[0]}: no results of FERBench; expected a run of experiment=unifer/eval, or files rafdb*_results.json, "
                "ferplus*_results.json, affectnet*_results.json, sfew_2.0*_results.json"
            )
        if not found:
            raise InputError(f"no results of FERBench in {', '.join(map(str, options.folder))}: run experiment=unifer/eval first")
        return _ferbench(distinct(found), options)
    for option in ("questions", "images"):
        if getattr(options, option):
            raise InputError(f"--{option} is for FERBench, and the runs given are not all of it; add --ferbench, or leave it out")
    _table(ordinary, options)
    if found:
        print(f"{len(found)} models with results on FERBench are not shown: facial-r1 leaderboard --ferbench", file=sys.stderr)


def _table(found: Sequence[Path], options: argparse.Namespace) -> None:
    from facial_r1.report.tables import console, leaderboard, write_tables

    by = options.by or _BY
    table = leaderboard(found, by)
    if not table.models:
        raise InputError(f"no evaluated run in {', '.join(map(str, options.folder))}: run stage=eval first")
    if by not in table.metrics:
        raise InputError(f"no run has the metric {by}: choose --by from {', '.join(table.metrics)}")
    console(table, stream=sys.stdout)
    if options.write:
        for path in write_tables(table, options.write, "leaderboard"):
            print(path)


def _ferbench(found: Sequence[object], options: argparse.Namespace) -> None:
    from facial_r1.data.protocol import load_protocol
    from facial_r1.progress import progress
    from facial_r1.report.leaderboard_board import make_board
    from facial_r1.report.leaderboard_models import Source, read_model
    from facial_r1.report.leaderboard_page import write_page
    from facial_r1.report.leaderboard_tables import console, write_tables

    if options.resamples < 0:
        raise InputError(f"--resamples={options.resamples}: 0 or more")
    if options.images is not None and not options.images.is_dir():
        raise InputError(f"--images={options.images}: no such folder; give the one above RAF-DB, FERPlus, AffectNet and SFEW-2.0")
    sources = [source for source in found if isinstance(source, Source)]
    models = [
        read_model(source, options.questions, options.resamples) for source in progress(sources, what="scoring", unit="models")
    ]
    board = make_board(models, options.by, load_protocol("ferbench").published, options.resamples)
    console(board)
    if options.write:
        for path in write_tables(board, options.write):
            print(path)
        print(write_page(board, options.write / "leaderboard.html", options.images))


def _named(text: str) -> tuple[str | None, Path]:
    """ "NAME=PATH" as name and path; a path that has the sign in it, and exists, is one."""
    name, sign, path = text.partition("=")
    if not sign or not name or Path(text).exists():
        return None, Path(text)
    return name, Path(path)


def _evaluated(folder: Path) -> Iterator[Path]:
    """The folder itself when it is a run, else the runs below it; the steps of a pipeline are shown by the pipeline."""
    if (folder / "summary.json").is_file():
        yield folder
        return
    found = [run.path for run in runs.find(folder) if run.summary.is_file()]
    inside = {path for path in found if path.parent in found}
    yield from (path for path in found if path not in inside)
