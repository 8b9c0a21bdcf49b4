"""The three penalties of AffectGPT-R1 and the variants of the third."""

from __future__ import annotations

import math

import pytest

from facial_r1.rewards.length_penalty import length_penalty

PENALTIES = [
    ("none", "paper"),
    ("p1", "paper"),
    ("p2", "paper"),
    *(("p3", v) for v in ("paper", "plus_one_if_single", "plus_one_always")),
]


@pytest.mark.parametrize(
    ("predicted", "true", "penalty", "variant", "factor"),
    [
        (5, 3, "none", "paper", 1.0),
        (5, 3, "p1", "paper", 1 / 3),
        (5, 3, "p2", "paper", 3 / 5),
        (5, 3, "p3", "paper", math.log(3) / math.log(5)),
        (5, 1, "p3", "paper", 0.0),
        (5, 1, "p3", "plus_one_if_single", math.log(2) / math.log(6)),
        (5, 3, "p3", "plus_one_if_single", math.log(3) / math.log(5)),
        (5, 1, "p3", "plus_one_always", math.log(2) / math.log(6)),
        (5, 3, "p3", "plus_one_always", math.log(4) / math.log(6)),
        (2, 0, "p1", "paper", 1 / 3),
        (2, 0, "p2", "paper", 0.0),
        (2, 0, "p3", "plus_one_always", 0.0),
    ],
)
def test_value(predicted: int, true: int, penalty: str, variant: str, factor: float):
    assert length_penalty(predicted, true, penalty, variant) == pytest.approx(factor)


@pytest.mark.parametrize(("penalty", "variant"), PENALTIES)
def test_only_longer_answers_are_penalised(penalty: str, variant: str):
    assert all(length_penalty(predicted, true, penalty, variant) == 1.0 for true in range(1, 9) for predicted in range(true + 1))


@pytest.mark.parametrize(("penalty", "variant"), PENALTIES)
def test_factors_are_in_0_to_1_and_fall_with_the_length(penalty: str, variant: str):
    for true in range(6):
        factors = [length_penalty(predicted, true, penalty, variant) for predicted in range(40)]
        assert all(0 <= factor <= 1 for factor in factors)
        assert factors == sorted(factors, reverse=True)


def test_p1_is_strictest_and_p3_loosest_from_three_true_words_on():
    for true in range(3, 7):
        for predicted in range(true + 1, 20):
            p1, p2, p3 = (length_penalty(predicted, true, penalty) for penalty in ("p1", "p2", "p3"))
            assert p1 <= p2 <= p3
