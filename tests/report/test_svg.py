"""Charts drawn by hand: axes, smoothing, robustness."""

from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1.report import scales, svg

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


@given(low=finite, size=st.floats(min_value=1e-9, max_value=1e9))
def test_ticks_cover_the_range_in_few_round_steps(low: float, size: float) -> None:
    high = low + size
    marks = scales.ticks(low, high)
    slack = 1e-6 * max(abs(low), abs(high), size)
    assert marks[0] <= low + slack and marks[-1] >= high - slack and 2 <= len(marks) <= 8


def test_smoothing_keeps_a_straight_line_straight() -> None:
    line = [2.0 * index for index in range(50)]
    assert scales.smooth(line, 5) == pytest.approx(line)


def test_smoothing_keeps_gaps() -> None:
    assert scales.smooth([1.0, None, 1.0], 2) == [pytest.approx(1.0), None, pytest.approx(1.0)]


def test_only_restless_lines_are_smoothed() -> None:
    assert scales.is_noisy([math.sin(index) for index in range(60)])
    assert not scales.is_noisy([index**0.5 for index in range(60)])


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.none() | finite, min_size=1, max_size=700), unit=st.booleans())
def test_any_values_give_well_formed_svg(values: list[float | None], unit: bool) -> None:
    drawn = svg.lines(
        "A & <b>", list(range(len(values))), [svg.Series("x<y", values), svg.Series("z", values, values, 1)], unit=unit
    )
    ElementTree.fromstring(str(drawn))
    assert "nan" not in drawn and "inf" not in drawn.replace("interval", "")


def test_labels_of_lines_that_end_together_do_not_overlap() -> None:
    drawn = svg.lines("t", [0, 1], [svg.Series(f"s{index}", [0.0, 0.5], colour=index) for index in range(5)])
    heights = sorted(
        float(node.attrib["y"])
        for node in ElementTree.fromstring(str(drawn)).iter("text")
        if node.attrib["class"].startswith("end")
    )
    assert len(heights) == 5 and all(after - before >= 13.9 for before, after in itertools.pairwise(heights))


def test_heatmap_marks_cells_by_share_and_count() -> None:
    drawn = svg.heatmap("t", ["a", "b"], ["a", "b", "unparsed"], [[3, 1, 0], [0, 0, 0]])
    root = ElementTree.fromstring(str(drawn))
    cells = list(root.iter("g"))
    assert len(cells) == 6 and sum(node.attrib["class"] == "cell right" for node in cells) == 2
    assert cells[0].findtext("title") == "truth a, answer a: 3 of 4 (75%)"


def test_a_bar_without_value_says_so() -> None:
    drawn = svg.bars("t", [("AU1", "", [svg.Bar(None)])], ["m"], [0])
    assert "not scored" in drawn


def test_whiskers_are_drawn_for_shares_only() -> None:
    assert svg.whisker({"value": 12.0}) == "" and svg.whisker({"value": 0.5, "low": 0.4, "high": 0.6}) != ""
