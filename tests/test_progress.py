"""Progress is a bar on a terminal and at most a line now and then elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from facial_r1 import progress as module
from facial_r1.progress import duration, progress, progress_bar


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module.time, "monotonic", made)
    return made


def test_short_work_says_nothing_in_a_log(capsys):
    assert list(progress(range(3), what="reading")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_long_work_says_a_line_every_thirty_seconds(capsys, clock):
    for _ in progress(range(100), what="reading", unit="rows"):
        clock.now += 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "reading: 30/100 rows, 1.0 rows/s, 1m 10s left",
        "reading: 60/100 rows, 1.0 rows/s, 40s left",
        "reading: 90/100 rows, 1.0 rows/s, 10s left",
        "reading: 100/100 rows, 1.0 rows/s, done in 1m 40s",
    ]


def test_unknown_totals(capsys, clock):
    def items():
        for index in range(50):
            clock.now += 1
            yield index

    assert len(list(progress(items(), what="reading", unit="rows"))) == 50
    assert capsys.readouterr().err.splitlines() == [
        "reading: 30 rows, 1.0 rows/s",
        "reading: 50 rows, 1.0 rows/s, done in 50s",
    ]


def test_a_bar_with_rate_and_time_left_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress_bar(4, "drawing", "faces") as advance:
        advance(4)
    assert "drawing" in screen.getvalue() and "4/4" in screen.getvalue() and "faces/s" in screen.getvalue()


def test_no_standard_error(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", None)
    for _ in progress(range(3)):
        clock.now += 40


def test_an_error_inside_passes_through(capsys):
    with pytest.raises(ValueError, match="mine"), progress_bar(3) as advance:
        advance(1)
        raise ValueError("mine")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (59.4, "59s"), (185, "3m 05s"), (7800, "2h 10m")])
def test_durations(seconds, text):
    assert duration(seconds) == text
