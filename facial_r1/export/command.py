"""`facial-r1 export <run | rows.jsonl> --lmms-eval FOLDER`: our evaluation in lmms-eval, and its samples in lmms-eval's shape."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from facial_r1.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="facial-r1 export",
        description="Write a task folder for lmms-eval (--include_path) from an evaluated run or from JSON lines; of a run also its samples.",
        epilog="With files, settings choose how rows are asked: prompt=, protocol=, data.images=[faces], model.image_size.max_pixels=... "
        "Pictures are named by their paths, not copied. exit code: 0 written; 2 wrong arguments or data",
    )
    parser.add_argument(
        "what", nargs="+", metavar="RUN|FILE|key=value", help="a run directory, or files of records with settings"
    )
    parser.add_argument("--lmms-eval", required=True, type=Path, metavar="FOLDER", help="where to write <task>/ and samples/")
    parser.add_argument("--task", metavar="NAME", help="name of the task; by default facial_r1_<data>")
    options = parser.parse_intermixed_args(list(arguments))
    try:
        return _export(options)
    except InputError as error:
        print(f"facial-r1 export: {error}", file=sys.stderr)
        return 2


def _export(options: argparse.Namespace) -> int:
    settings = [item for item in options.what if "=" in item and not Path(item).exists()]
    places = [Path(item).expanduser() for item in options.what if item not in settings]
    absent = [place for place in places if not place.exists()]
    if not places or absent:
        raise InputError(
            f"{absent[0]}: there is no such run or file"
            if absent
            else "nothing to export: give a run directory or a file of records"
        )
    folder = options.lmms_eval.expanduser().absolute()
    if folder.is_file():
        raise InputError(f"--lmms-eval {folder}: that is a file; give a folder")
    from facial_r1.export import lmms_folder, rows

    if not places[0].is_dir():
        export, samples = rows.of_files(places, settings, options.task), None
    elif len(places) > 1 or settings:
        raise InputError(f"{places[0]}: a run is exported alone and as it ran, without settings; give files for other choices")
    else:
        export, answers, name, date = rows.of_run(places[0], options.task)
        samples = lambda: lmms_folder.write_samples(export, answers, folder, name, date)  # noqa: E731
    print(lmms_folder.write_task(export, folder))
    if samples is not None:
        print(samples())
    print(
        f"lmms-eval --model <model> --model_args pretrained=<model> --tasks {export.task} --include_path {folder} (facial_r1 installed beside it)",
        file=sys.stderr,
    )
    return 0
