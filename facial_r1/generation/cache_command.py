"""`facial-r1 cache show|prune`: what the cache of answers holds, and how to make it smaller."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from facial_r1.config.suggest import did_you_mean
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from facial_r1.generation.cache import ResponseCache

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns 0, or 2 when the cache cannot be read or holds no such model."""
    options = _parser().parse_args(list(arguments))
    from facial_r1.generation.cache import ResponseCache, cache_file

    path = cache_file(options.file or True)
    if not path.is_file():
        print(f"{path}: there is no cache yet")
        return 0
    try:
        cache = ResponseCache(path)
        if options.action == "prune":
            _prune(cache, options)
        _show(cache)
    except InputError as error:
        print(f"facial-r1 cache: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facial-r1 cache",
        description="The cache of generated answers and verdicts (generation.cache, stage.judge.cache).",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="show|prune")
    show = actions.add_parser("show", help="answers, bytes and dates of each model", description="What the cache holds.")
    prune = actions.add_parser(
        "prune",
        help="delete answers by age, size or model",
        description="Delete answers. With --model only that model's are considered; --model alone deletes all of them.",
    )
    for action in (show, prune):
        action.add_argument(
            "--file", metavar="PATH", help="the cache; by default responses.sqlite in $FACIAL_R1_CACHE or ~/.cache/facial_r1"
        )
    prune.add_argument("--older-than", type=duration, metavar="AGE", help="stored longer ago than 12h, 30d, 4w")
    prune.add_argument("--max-size", type=size, metavar="SIZE", help="then the oldest, until at most 500M, 2G are left")
    prune.add_argument("--model", metavar="NAME", help="of this model, as `cache show` names it")
    return parser


def duration(text: str) -> float:
    """Seconds of "12h", "30d", ... Raises argparse.ArgumentTypeError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip().lower())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number and a unit, s, m, h, d or w: 30d")
    return float(found[1]) * _SECONDS[found[2]]


def size(text: str) -> int:
    """Bytes of "500M", "2G", "1000". Raises argparse.ArgumentTypeError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgt]?)(i?b)?", text.strip().lower())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of bytes, or one with a unit, K, M or G: 500M")
    return int(float(found[1]) * _BYTES[found[2]])


def _prune(cache: ResponseCache, options: argparse.Namespace) -> None:
    if options.older_than is None and options.max_size is None and options.model is None:
        raise InputError("prune needs to know what to delete: --older-than 30d, --max-size 2G or --model NAME")
    known = {share.model for share in cache.stats()}
    if options.model is not None and options.model not in known:
        raise InputError(f"--model {options.model}: no answers of it in {cache.path}; {did_you_mean(options.model, known)}")
    deleted = cache.prune(older_than=options.older_than, max_bytes=options.max_size, model=options.model)
    print(f"deleted {deleted} {'answer' if deleted == 1 else 'answers'}")


def _show(cache: ResponseCache) -> None:
    shares = cache.stats()
    total, held = sum(share.entries for share in shares), sum(share.bytes for share in shares)
    print(f"{cache.path}: {total} answers, {_readable(held)} of text, {_readable(cache.path.stat().st_size)} on disk")
    rows = [("model", "weights", "engine", "answers", "size", "first", "last")]
    for share in shares:
        dates = (_date(share.first), _date(share.last))
        rows.append((share.model, share.weights[:40], share.engine, str(share.entries), _readable(share.bytes), *dates))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows if shares else ():
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _readable(count: int) -> str:
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _date(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(moment))
