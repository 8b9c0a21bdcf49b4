"""`facial-r1 wheels show|draw`: how a word reaches its sectors, and a wheel with a prediction on it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from facial_r1.affect.wheels.loading import SOURCES, load
from facial_r1.affect.wheels.scorer import Wheels
from facial_r1.affect.wheels.scores import Path
from facial_r1.config.suggest import nearest
from facial_r1.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns 0, 1 when a word is in no table, 2 when the tables or the file cannot be had."""
    options = _parser().parse_args(list(arguments))
    try:
        wheels = load(options.source, options.root)
        if options.action == "show":
            return _show(wheels, options.word, options.json)
        from facial_r1.affect.wheels.drawing import draw_wheel

        number = None if options.wheel == "all" else int(options.wheel)
        print(draw_wheel(wheels, options.truth, options.prediction, options.out, number, options.mode))
    except InputError as error:
        print(f"facial-r1 wheels: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="facial-r1 wheels", description="Emotion wheels: words and the sectors they lie in.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="show|draw")
    show = actions.add_parser("show", help="how words reach their sectors", description="How words reach their sectors.")
    show.add_argument("word", nargs="+", help="a word, or several; quote those with a blank in them")
    show.add_argument("--json", action="store_true", help="one JSON object per word")
    draw = actions.add_parser("draw", help="a wheel with a prediction on it", description="Draw a wheel with a prediction on it.")
    draw.add_argument("--truth", default="", metavar="WORDS", help='for example "happy, relieved"')
    draw.add_argument("--prediction", default="", metavar="WORDS", help='for example "joyful, calm"')
    draw.add_argument("--out", default="wheel.png", metavar="FILE", help=".png, .svg or .pdf (wheel.png)")
    draw.add_argument("--wheel", default="1", choices=("1", "2", "3", "4", "5", "all"), help="1 to 5, or all (1)")
    draw.add_argument("--mode", default="compat", choices=("compat", "strict"), help="how words are placed (compat)")
    for action in (show, draw):
        action.add_argument("--source", default="embedded", metavar="NAME", help=f"{', '.join(SOURCES)} (embedded)")
        action.add_argument("--root", metavar="FOLDER", help="folder of the released tables, for mer2025 and mer2026")
    return parser


def _show(wheels: Wheels, given: Sequence[str], as_json: bool) -> int:
    missing = 0
    for number, word in enumerate(given):
        path = wheels.explain(word)
        missing += not path.known
        if as_json:
            print(json.dumps(path.to_dict(), ensure_ascii=False))
            continue
        print("\n" * (number > 0) + "\n".join(_lines(path, wheels)))
    return 1 if missing else 0


def _lines(path: Path, wheels: Wheels) -> list[str]:
    if not path.known:
        sector = next((step.level1 for step in path.strict if step.level1), None)
        if sector:
            return [f"{path.word}: in none of the tables ({wheels.name}); strict gives it the sector {sector} on each wheel"]
        close = nearest(path.word, wheels.source.forms)
        hint = f"; did you mean '{close}'?" if close else ""
        return [f"{path.word}: not in the tables ({wheels.name}), so it scores nothing{hint}"]
    lines = [
        f"{path.word} ({wheels.name})",
        f"  form of       {', '.join(path.bases)}",
        f"  wheel labels  {', '.join(path.labels)}",
    ]
    rows = [("wheel", "through", "level 1", "level 2", "in strict")]
    for step, strict in zip(path.steps, path.strict, strict=True):
        same = (step.level1, step.level2) == (strict.level1, strict.level2)
        mended = "the same" if same else f"{strict.level1 or '-'} / {strict.level2 or '-'} through {strict.label}"
        rows.append((str(step.wheel), step.label or "-", step.level1 or "-", step.level2 or "-", mended))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines += [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) + f"  {row[4]}" for row in rows
    ]
    return lines
