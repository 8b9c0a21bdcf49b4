"""Boxes around faces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from facial_r1.data.faces.boxes import largest, median_box, square

SIDES = st.tuples(*[st.floats(-0.1, 1.1) for _ in range(4)]).map(
    lambda four: (*map(min, zip(four[:2], four[2:], strict=True)), *map(max, zip(four[:2], four[2:], strict=True)))
)


def test_the_largest_of_several_faces():
    assert largest([(0, 0, 0.1, 0.1), (0.2, 0.2, 0.6, 0.6)]) == (0.2, 0.2, 0.6, 0.6)
    assert largest([]) is None


def test_one_wrong_frame_does_not_move_the_median():
    boxes = [(0.4, 0.4, 0.6, 0.6)] * 4 + [(0.0, 0.0, 0.1, 0.1)]
    assert median_box(boxes) == (0.4, 0.4, 0.6, 0.6)


@given(SIDES, st.integers(1, 400), st.integers(1, 400), st.floats(0, 2))
def test_the_square_lies_within_the_picture(box, width: int, height: int, margin: float):
    left, top, side = square(box, width, height, margin)
    assert side >= 1 and left >= 0 and top >= 0 and left + side <= width and top + side <= height
