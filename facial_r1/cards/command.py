"""`facial-r1 card <run>`: write the card of a model or of a written dataset."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from facial_r1.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="facial-r1 card",
        description="Write model/README.md of a run with a model, or README.md of a synthesis or prepare run, from what the run knows.",
        epilog="SFT and GRPO runs write their card when they finish; this writes it anew. exit code: 0 written; 2 nothing to describe",
    )
    parser.add_argument("run", nargs="+", type=Path, help="a run directory; of a pipeline, all its models and datasets")
    parser.add_argument(
        "--evaluation",
        action="append",
        default=[],
        type=Path,
        metavar="RUN",
        help="also show this evaluation of the model (may be given again)",
    )
    parser.add_argument(
        "--license",
        metavar="ID",
        help="the hub's identifier of the licence you give it, for example apache-2.0; a run does not know it",
    )
    parser.add_argument("--force", action="store_true", help="also replace a card that was edited by hand")
    options = parser.parse_args(list(arguments))
    from facial_r1.cards.write import write_cards

    try:
        for folder in options.run:
            for file in write_cards(folder, options.evaluation, options.license, options.force):
                print(file)
    except InputError as error:
        print(f"facial-r1 card: {error}", file=sys.stderr)
        return 2
    return 0
