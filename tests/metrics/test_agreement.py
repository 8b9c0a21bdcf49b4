"""Raw agreement and Cohen's kappa."""

from __future__ import annotations

import pytest

from facial_r1.metrics.agreement import agreement

YES_NO = ("yes", "no")


def spread(table: dict[tuple[str, str], int]) -> tuple[list[str], list[str]]:
    pairs = [pair for pair, count in table.items() for _ in range(count)]
    return [one for one, _ in pairs], [two for _, two in pairs]


def test_the_textbook_table():
    """50 proposals read by two people: they agree on 35, chance would on 25 (Cohen 1960's formula by hand: 0.4)."""
    first, second = spread({("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15})
    found = agreement(first, second, YES_NO, range(50))
    assert found["raw"]["value"] == pytest.approx(0.7) and found["kappa"]["value"] == pytest.approx(0.4)
    assert found["kappa"]["low"] < 0.4 < found["kappa"]["high"] and found["kappa"]["n"] == found["kappa"]["clusters"] == 50


@pytest.mark.parametrize(
    ("first", "second", "kappa"),
    [
        (["yes", "no", "yes", "no"], ["yes", "no", "yes", "no"], 1.0),
        (["yes", "no", "yes", "no"], ["no", "yes", "no", "yes"], -1.0),
        (["yes", "yes", "no", "no"], ["yes", "no", "yes", "no"], 0.0),
        (["yes"] * 4, ["yes"] * 4, None),
        (["yes"] * 4, ["no"] * 4, 0.0),
    ],
)
def test_extremes(first, second, kappa):
    found = agreement(first, second, YES_NO, range(4), resamples=0)
    assert found["kappa"]["value"] == (None if kappa is None else pytest.approx(kappa))


def test_the_order_of_the_classes_does_not_matter():
    first, second = ["a", "b", "c", "a", "b"], ["a", "c", "c", "b", "b"]
    one, two = (agreement(first, second, order, range(5), resamples=50) for order in (("a", "b", "c"), ("c", "a", "b")))
    assert one == two


def test_faces_of_one_person_are_one_cluster():
    first, second = ["yes", "no"] * 10, ["yes", "yes"] * 10
    assert agreement(first, second, YES_NO, ["p", "q"] * 10, resamples=20)["raw"]["clusters"] == 2


def test_nothing_to_compare():
    assert agreement([], [], YES_NO, []) == {}
