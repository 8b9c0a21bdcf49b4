"""Predictions for people: panels on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import TextIO

from facial_r1.affect.action_units import ACTION_UNITS
from facial_r1.predict.answers import Prediction


def facts(prediction: Prediction) -> list[tuple[str, str]]:
    """What there is to say about a prediction, as (name, text), in the order in which it is shown."""
    if prediction.failed:
        return [("no answer", prediction.reason or "the engine failed")]
    found = [("emotion", ", ".join(prediction.labels) or "(none)"), ("action units", _units(prediction))]
    if prediction.left_out:
        found.append(("left out", f"{', '.join(prediction.left_out)} (not in the protocol)"))
    if prediction.reasoning:
        found.append(("reasoning", " ".join(prediction.reasoning.split())))
    if not prediction.valid:
        cut = ", cut off at stage.max_new_tokens" if prediction.finish_reason == "length" else ""
        found.append(("answer", f"{' '.join(prediction.completion.split())} (not in the answer format{cut})"))
    return found


def plain(prediction: Prediction) -> str:
    """A few lines of text."""
    return "\n".join([prediction.record.id, *(f"  {name + ':':<14}{text}" for name, text in facts(prediction))])


def show(prediction: Prediction, stream: TextIO) -> None:
    """Print a prediction; with colours where the stream is a terminal."""
    if not stream.isatty():
        print(plain(prediction), file=stream, flush=True)
        return
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, text in facts(prediction):
        table.add_row(name, Text(text, style=_STYLES.get(name, "")))
    edge = "red" if prediction.failed else "green" if prediction.valid else "yellow"
    Console(file=stream).print(Panel(table, title=Text(prediction.record.id), title_align="left", border_style=edge))


_STYLES = {"emotion": "bold cyan", "action units": "cyan", "no answer": "red", "answer": "yellow", "left out": "dim"}


def _units(prediction: Prediction) -> str:
    if prediction.action_units is None:
        return "(none named)"
    named = [f"{code} {ACTION_UNITS[code].name.lower()}" for code in prediction.action_units]
    return ", ".join(named) or "none active"
