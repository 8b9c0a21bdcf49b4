"""A wheel as a picture: three rings of labels, with the words of a truth and a prediction where they lie on it.

Drawn without pyplot: no global state, no display, safe in any thread.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1.affect.wheels.parsing import Labels
from facial_r1.affect.wheels.parsing import words as tokens_of
from facial_r1.affect.wheels.scorer import Wheels
from facial_r1.affect.wheels.tables import NEUTRAL, WHEELS, Mode, Tree
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, PAPER = "#1a2029", "#566270", "#ffffff"
_REACH = 1.24
"""Height beyond which no word is written; the outer ring has radius 1."""
_RINGS = ((0.0, 0.36), (0.36, 0.68), (0.68, 1.0))
_HUES = {  # one colour for sectors of one meaning, on all wheels
    **dict.fromkeys(("mad", "angry", "anger"), 0.00),
    **dict.fromkeys(("scared", "fearful", "fear"), 0.76),
    **dict.fromkeys(("happy", "joyful", "joy"), 0.125),
    **dict.fromkeys(("sad",), 0.59),
    **dict.fromkeys(("disgusted", "disgust"), 0.27),
    **dict.fromkeys(("surprised", "genius"), 0.48),
    **dict.fromkeys(("powerful", "bad"), 0.90),
    **dict.fromkeys(("peaceful",), 0.38),
}
_WIDTH, _HEIGHT = 8.6, 7.6
"""Of one wheel, in inches."""


@dataclass(frozen=True)
class _Cell:
    """One label on the wheel; angles in turns, clockwise from the top."""

    label: str
    ring: int
    start: float
    end: float
    top: str
    path: tuple[str, ...]

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2


def draw_wheel(
    wheels: Wheels,
    truth: Labels,
    prediction: Labels,
    path: str | Path,
    wheel: int | None = 1,
    mode: Mode = "compat",
) -> Path:
    """Write a picture of a wheel with a truth and a prediction on it.

    Cells that a predicted word reaches are filled, those that a true word reaches have a dark border: a filled cell with a border
    is agreement. The words stand outside, at the label that places them.

    Args:
        wheels: The tables.
        truth: Labels as `Wheels.parse` takes them; may be empty.
        prediction: The same.
        path: Ends in .png, .svg or .pdf.
        wheel: 1 to 5; None draws all five side by side.
        mode: How words are placed, ``compat`` or ``strict``.

    Raises:
        InputError: No such wheel, or a file name with another ending.
    """
    target = Path(path)
    if target.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"{target}: give a name that ends in .png, .svg or .pdf")
    if wheel is not None and wheel not in range(1, WHEELS + 1):
        raise InputError(f"wheel={wheel!r}: give 1 to {WHEELS}, or nothing for all five")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [wheel] if wheel else list(range(1, WHEELS + 1))
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    foot = 0.55 / (rows * _HEIGHT + 0.55)
    figure = Figure(figsize=(_WIDTH * columns, rows * _HEIGHT + 0.55), facecolor=PAPER)
    FigureCanvasAgg(figure)
    for place, number in enumerate(shown):
        row, column = divmod(place, columns)
        height = (1 - foot) / rows
        axes = figure.add_axes((column / columns, foot + (rows - 1 - row) * height, 1 / columns, height * 0.93))
        _draw(axes, wheels, number, tokens_of(truth), tokens_of(prediction), mode)
    _legend(figure)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=150)
    return target


def _draw(axes: Axes, wheels: Wheels, number: int, truth: Sequence[str], prediction: Sequence[str], mode: Mode) -> None:
    """One wheel on its axes."""
    from matplotlib.patches import Wedge

    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(-1.55, 1.55)
    axes.set_ylim(-1.36, 1.3)
    cells = list(_cells(wheels.source.trees[number - 1]))
    placed = {name: _placed(wheels, number, words, mode) for name, words in (("truth", truth), ("prediction", prediction))}
    reached = {name: {part for label in labels.values() for part in _path(cells, label)} for name, labels in placed.items()}
    for cell in cells:
        key = (cell.ring, cell.label, cell.top)
        predicted, true = key in reached["prediction"], key in reached["truth"]
        start, end = 90 - 360 * cell.end, 90 - 360 * cell.start
        inner, outer = _RINGS[cell.ring]
        fill = _colour(cell.top, cell.ring, strong=predicted)
        axes.add_patch(
            Wedge((0, 0), outer, start, end, width=outer - inner, facecolor=fill, edgecolor=PAPER, linewidth=1.1, zorder=1)
        )
        if true:
            border = Wedge((0, 0), outer, start, end, width=outer - inner, fill=False, edgecolor=INK, linewidth=2.4, zorder=3)
            axes.add_patch(border)
        _label(axes, cell, strong=predicted or true)
    _outside(axes, cells, placed)
    score = wheels.pair(list(truth), list(prediction), mode=mode).wheels[number - 1]
    figures = "the truth has no place here" if score.skipped else _figures(score.precision, score.recall, score.f)
    axes.set_title(f"Wheel {number}   {figures}", fontsize=15, color=INK)
    homeless = [word for word in dict.fromkeys([*truth, *prediction]) if not any(word in labels for labels in placed.values())]
    if homeless:
        text = f"no place on this wheel: {', '.join(homeless[:8])}{' ...' if len(homeless) > 8 else ''}"
        axes.text(0, -1.36, text, ha="center", va="bottom", fontsize=10.5, color=MUTED, style="italic")


def _figures(precision: float, recall: float, f: float) -> str:
    return f"precision {precision:.2f}   recall {recall:.2f}   F {f:.2f}"


def _cells(tree: Tree) -> Iterator[_Cell]:
    """The cells of a wheel; each label of the outer ring has the same angle."""
    leaves = sum(len(labels) for branches in tree.values() for labels in branches.values())
    at = 0
    for top, branches in tree.items():
        first = at
        for middle, labels in branches.items():
            begun = at
            for label in labels:
                yield _Cell(label, 2, at / leaves, (at + 1) / leaves, top, (top, middle, label))
                at += 1
            yield _Cell(middle, 1, begun / leaves, at / leaves, top, (top, middle))
        yield _Cell(top, 0, first / leaves, at / leaves, top, (top,))


def _placed(wheels: Wheels, number: int, words: Sequence[str], mode: Mode) -> dict[str, tuple[str, str]]:
    """Word to the label that places it and its sector; words without one are left out."""
    found = {}
    for word in dict.fromkeys(words):
        path = wheels.explain(word)
        step = (path.steps if mode == "compat" else path.strict)[number - 1]
        if step.label is not None and step.level1 not in (None, NEUTRAL):
            found[word] = (step.label, str(step.level1))
    return found


def _path(cells: Sequence[_Cell], label: tuple[str, str]) -> Iterator[tuple[int, str, str]]:
    """The cells from the middle of the wheel to a label, as (ring, label, sector)."""
    cell = _cell_of(cells, label)
    for ring, name in enumerate(cell.path if cell else ()):
        yield ring, name, cell.top if cell else ""


def _cell_of(cells: Sequence[_Cell], label: tuple[str, str]) -> _Cell | None:
    """The outermost cell of a label in its sector; where a label occurs in two sectors, the one that scores."""
    found = [cell for cell in cells if cell.label == label[0] and cell.top == label[1]]
    return max(found, key=lambda cell: cell.ring, default=None)


def _colour(top: str, ring: int, strong: bool) -> str:
    hue = _HUES.get(top, 0.08)
    lightness = (0.62, 0.68, 0.74)[ring] if strong else (0.88, 0.915, 0.945)[ring]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.78 if strong else 0.42)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _label(axes: Axes, cell: _Cell, strong: bool) -> None:
    inner, outer = _RINGS[cell.ring]
    radius = 0.215 if cell.ring == 0 else (inner + outer) / 2
    x, y = _point(cell.middle, radius)
    turn = 90 - 360 * cell.middle
    turn = turn + 180 if 0.5 < cell.middle % 1 < 1 else turn
    size = _size(cell)
    weight = "bold" if strong or cell.ring == 0 else "normal"
    colour = INK if strong else MUTED
    axes.text(
        x, y, cell.label, ha="center", va="center", rotation=turn, rotation_mode="anchor", fontsize=size, color=colour,
        fontweight=weight, zorder=4,
    )  # fmt: skip


def _size(cell: _Cell) -> float:
    """Points of a label: what its ring allows, less for long words and narrow cells."""
    longest, size = ((7.0, 12.0), (10, 9.2), (11, 8.6))[cell.ring]
    size *= min(1.0, longest / len(cell.label))
    return size * (0.9 if cell.end - cell.start < 0.0125 else 1.0)


def _outside(axes: Axes, cells: Sequence[_Cell], placed: dict[str, dict[str, tuple[str, str]]]) -> None:
    """The words themselves outside of the wheel, each at its label's angle, moved apart where they would overlap."""
    marks: dict[tuple[str, str], list[str]] = {}
    for name, labels in placed.items():
        for word, label in labels.items():
            marks.setdefault(label, []).append(f"{'○' if name == 'truth' else '●'} {word}")
    spots = []
    for label, texts in marks.items():
        cell = _cell_of(cells, label)
        if cell is not None:
            spots.append((cell.middle, _RINGS[cell.ring][1], "\n".join(texts), len(texts)))
    for side in (False, True):  # right half, left half
        column = sorted(spot for spot in spots if (spot[0] % 1 >= 0.5) == side)
        heights = _spread([_point(spot[0], 1.16)[1] for spot in column], [0.085 * spot[3] + 0.03 for spot in column], side)
        for (turn, radius, text, _), height in zip(column, heights, strict=True):
            reach = math.sqrt(max(0.0, 1.16**2 - min(1.16, abs(height)) ** 2))
            x = math.copysign(max(abs(_point(turn, 1.16)[0]), reach, 0.12), -1 if side else 1)
            start = _point(turn, radius)
            edge = _point(turn, 1.0)
            axes.plot([start[0], edge[0]], [start[1], edge[1]], color=INK, linewidth=0.7, alpha=0.3, zorder=2)
            axes.plot([edge[0], x], [edge[1], height], color=INK, linewidth=0.8, zorder=2)
            axes.text(
                x + (-0.02 if side else 0.02), height, text, ha="right" if side else "left", va="center", fontsize=11.5, color=INK,
                linespacing=1.15, zorder=5, bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.2},
            )  # fmt: skip


def _spread(heights: Sequence[float], needed: Sequence[float], upwards: bool) -> list[float]:
    """Heights moved apart so that neighbours have room; the list runs downwards on the right, upwards on the left."""
    sign = 1 if upwards else -1
    moved = [sign * height for height in heights]
    for index in range(1, len(moved)):
        moved[index] = max(moved[index], moved[index - 1] + (needed[index] + needed[index - 1]) / 2)
    limit = _REACH
    for index in range(len(moved) - 1, -1, -1):  # what was pushed out at the end pushes back
        moved[index] = min(moved[index], limit - needed[index] / 2)
        limit = moved[index] - needed[index] / 2
    return [sign * height for height in moved]


def _point(turn: float, radius: float) -> tuple[float, float]:
    angle = 2 * math.pi * turn
    return radius * math.sin(angle), radius * math.cos(angle)


def _legend(figure: Any) -> None:
    """What border, fill and marks mean."""
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=PAPER, edgecolor=INK, linewidth=2.4, label="○ truth"),
        Patch(facecolor="#9aa4b0", edgecolor=PAPER, label="● prediction"),
        Patch(facecolor="#9aa4b0", edgecolor=INK, linewidth=2.4, label="both"),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=3, frameon=False, fontsize=12, labelcolor=INK)
