"""`leaderboard.html` of FERBench: ranking, tests, confusion matrices, and the questions on which two models differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from facial_r1 import atomic
from facial_r1.data.ferbench_images import PictureFinder
from facial_r1.metrics.comparison import mcnemar
from facial_r1.metrics.ferbench import merged
from facial_r1.metrics.ferbench_figures import MEAN, MODES, POOLED
from facial_r1.report import document, svg
from facial_r1.report.gallery import Pictures, Prompts, segments
from facial_r1.report.leaderboard_board import FIGURES, Board, counts
from facial_r1.report.leaderboard_models import SET_LABELS, Model
from facial_r1.report.leaderboard_tables import compared, highest, interval, mark, percent, probability, sources

MAX_BYTES = 10_000_000
"""A page must open at once, also from a mail: beyond this, fewer answers and smaller faces are shown."""

# Questions, characters of an answer, side of a thumbnail; the first plan that fits is taken.
_PLANS = ((800, 1500, 112), (500, 1200, 96), (250, 900, 80), (120, 600, 64), (40, 400, 64), (0, 0, 64))


def write_page(board: Board, path: Path, images: Path | None = None, max_bytes: int = MAX_BYTES) -> Path:
    """Write the page: one file that loads nothing.

    Args:
        board: What to show.
        path: The file.
        images: Folder above the pictures, as `data.root` of ``data=ferbench``; without it the page shows no faces.
        max_bytes: See `MAX_BYTES`.
    """
    finder = None if images is None else PictureFinder(images)
    text = ""
    for plan in _PLANS:
        text = _render(board, finder, *plan)
        if len(text.encode()) <= max_bytes:
            break
    atomic.write_text(path, text)
    return path


def _render(board: Board, finder: PictureFinder | None, limit: int, characters: int, side: int) -> str:
    pictures, prompts = Pictures(side), Prompts()
    chosen = differing(board, limit)
    samples = [_sample(board, name, at, pictures, prompts, finder, characters) for name, at in chosen]
    notes = list(board.notes)
    if lost := sum(sample["face"] < 0 for sample in samples) if finder is not None else 0:
        notes.append(f"{lost} of the {len(samples)} pictures shown below were not found below --images, or cannot be read")
    data = {
        "models": [model.name for model in board.models],
        "sets": [{"key": name, "label": SET_LABELS[name]} for name in board.sets if name != MEAN],
        "matrices": [model.result.confusion for model in board.models],
        "pairs": _pairs(board),
        "samples": samples,
        "faces": pictures.uris,
        "prompts": prompts.texts,
    }
    return document.render(
        "leaderboard.html.j2",
        data,
        styles=("report.css", "leaderboard.css"),
        scripts=("leaderboard.js",),
        title="FERBench leaderboard",
        columns=[SET_LABELS[name] for name in board.sets],
        figures=[_table(board, figure, title) for figure, title in FIGURES.items()],
        chart=_chart(board),
        reading=_reading(board),
        tests={mode: compared(board, mode) for mode in MODES},
        best=board.best,
        several=len(board.models) > 1,
        names=[model.name for model in board.models],
        sets=data["sets"],
        sources=sources(board),
        notes=notes,
        faces=bool(pictures.uris),
        shown=len(samples),
        questions=sum(len(keys) for keys in board.keys.values()),
    )


# --- tables ------------------------------------------------------------------------------------------------------------


def _table(board: Board, figure: str, title: str) -> dict[str, Any]:
    rows = []
    for place, model in enumerate(board.models):
        cells = [_cell(board, model, name, figure) for name in board.sets]
        rows.append({"name": model.name, "place": place + 1, "cells": cells})
    published = []
    for system in board.references:
        values = [
            [system["figures"].get(f"ferbench/{name}/{mode}/{figure}", {}).get("value") for mode in MODES] for name in board.sets
        ]
        if any(value is not None for pair in values for value in pair):
            cells = [{"compat": percent(compat), "strict": percent(strict)} for compat, strict in values]
            published.append({"name": system["name"], "cells": cells})
    return {"name": figure, "title": title, "rows": rows, "published": published}


def _cell(board: Board, model: Model, name: str, figure: str) -> dict[str, Any]:
    metric = {mode: f"ferbench/{name}/{mode}/{figure}" for mode in MODES}
    found = {mode: model.figure(metric[mode]) for mode in MODES}
    majority = model.result.baselines["majority"].get(metric["strict"], {}).get("value")
    marks = [("most frequent class", majority)] if majority is not None else []
    cell: dict[str, Any] = {"drawing": svg.whisker(found["strict"], marks), "n": found["strict"].get("n")}
    for mode in MODES:
        value = found[mode].get("value")
        cell[mode] = {
            "value": percent(value),
            "range": interval(found[mode]),
            "best": value is not None and value == highest(board, metric[mode]),
            "mark": mark(board, model.name, name, mode) if figure == "accuracy" else "",
        }
    return cell


def _chart(board: Board) -> Any:
    """Strict accuracies by set; none where the colours would not tell the models apart."""
    shown = [name for name in board.sets if name != MEAN]
    if len(board.models) > 6 or len(shown) < 2:
        return None
    rows = []
    for name in shown:
        found = [model.figure(f"ferbench/{name}/strict/accuracy") for model in board.models]
        rows.append((SET_LABELS[name], "", [svg.Bar(one.get("value"), one.get("low"), one.get("high")) for one in found]))
    names = [model.name for model in board.models]
    return {
        "drawing": svg.bars("Strict accuracy of each model by set", rows, names, list(range(len(names)))),
        "legend": [(name, colour) for colour, name in enumerate(names)] if len(names) > 1 else [],
    }


def _reading(board: Board) -> list[dict[str, Any]]:
    """How each model's answers could be read, over all sets."""
    rows = []
    for model in board.models:
        failures = model.result.failures
        total = sum(len(answers) for answers in model.answers.values())
        named = POOLED if model.figure(f"ferbench/{POOLED}/format_rate") else None
        names = [named] if named else [name for name in board.keys if model.answers.get(name)]
        rates = [[model.figure(f"ferbench/{name}/{rate}") for name in names] for rate in ("format_rate", "fallback_rate")]
        strict, compat = (model.figure(f"ferbench/{names[0]}/{mode}/accuracy").get("value") for mode in ("strict", "compat"))
        rows.append(
            {
                "name": model.name,
                "n": f"{total:,}",
                "rates": [_mean_rate(found) for found in rates],
                "counts": [f"{failures[key]:,}" for key in ("unknown_strict", "unknown_compat", "errors", "missing")],
                "gap": "–"
                if named is None or strict is None or compat is None
                else f"{100 * (compat - strict):+.2f}".replace("-", "−"),
            }
        )
    return rows


def _mean_rate(found: Sequence[Mapping[str, float]]) -> str:
    known = [one for one in found if {"value", "n"} <= set(one)]
    size = sum(one["n"] for one in known)
    return percent(sum(one["value"] * one["n"] for one in known) / size) if size else "–"


# --- two models --------------------------------------------------------------------------------------------------------


def _pairs(board: Board) -> dict[str, dict[str, dict[str, list[Any]]]]:
    """For each two models, set and reading: both right, only the first, only the second, neither, p (not corrected)."""
    found: dict[str, dict[str, dict[str, list[Any]]]] = {}
    for first in range(len(board.models)):
        for second in range(first + 1, len(board.models)):
            pair = found.setdefault(f"{first}-{second}", {})
            for name in (POOLED, *board.keys):
                for mode in MODES:
                    both, one, two, neither = counts(board, first, second, name, mode)
                    cells = [both, one, two, neither, probability(mcnemar(one, two))]
                    pair.setdefault(name, {})[mode] = cells
    return found


def differing(board: Board, limit: int) -> list[tuple[str, int]]:
    """Questions for the page, as (set, place): those on which two models differ, a few of each pair, set, direction and reading.

    Where `limit` cannot hold all, every kind gets about the same share, spread evenly over its questions. With a single model:
    those it answers wrong.
    """
    kinds: list[list[tuple[str, int]]] = []
    models = range(len(board.models))
    pairs = [(a, b) for a in models for b in models if a != b] or [(0, 0)]
    for mode in ("strict", "compat"):
        for name in board.keys:
            right = board.right[name, mode]
            for first, second in pairs:
                if first == second:
                    places = [at for at in range(right.shape[1]) if right[0, at] == 0]
                else:
                    places = [int(at) for at in ((right[first] == 1) & (right[second] == 0)).nonzero()[0]]
                kinds.append([(name, at) for at in _spread(places)])
    chosen: dict[tuple[str, int], None] = {}
    for found in zip_longest(*kinds):
        for question in found:
            if question is not None and len(chosen) < limit:
                chosen[question] = None
        if len(chosen) >= limit:
            break
    order = {name: place for place, name in enumerate(board.keys)}
    return sorted(chosen, key=lambda question: (order[question[0]], question[1]))


def _spread(places: Sequence[int]) -> Iterator[int]:
    """All places, so ordered that every beginning of the order is spread over the whole: first, middle, quarters, ..."""
    step = 1 << max(0, (len(places) - 1).bit_length())
    seen: set[int] = set()
    while step >= 1:
        for at in range(0, len(places), step):
            if at not in seen:
                seen.add(at)
                yield places[at]
        step //= 2


def _sample(
    board: Board, name: str, at: int, pictures: Pictures, prompts: Prompts, finder: PictureFinder | None, characters: int
) -> dict[str, Any]:
    key = board.keys[name][at]
    answers: list[dict[str, Any] | None] = []
    asked: Mapping[str, Any] = {}
    for place, model in enumerate(board.models):
        sample = model.sample(name, key)
        if sample is None:
            answers.append(None)
            continue
        asked = asked or sample
        right = {mode: int(board.right[name, mode][place, at]) for mode in MODES}
        text = sample["completion"]
        answers.append(
            {
                "text": segments(text[:characters], (), None),
                "cut": len(text) > characters,
                "strict": sample["ferbench"]["strict"],
                "compat": sample["ferbench"]["compat"] or "crash",
                "right": [right[mode] for mode in MODES],
                "step": sample["ferbench"]["step"],
                "valid": sample["parsed"]["valid"],
            }
        )
    path = finder.find(asked["image"], name) if finder is not None else None
    return {
        "id": asked["image"],
        "set": name,
        "face": pictures.add(Path(path) if path else None),
        "truth": asked["labels"][0],
        "noun": merged(asked["labels"][0]),
        "prompt": prompts.add(asked["prompt"]),
        "answers": answers,
    }
