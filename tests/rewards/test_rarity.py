"""Weights of rows by rarity: the right form by its properties; the released one is in `test_facial_r1_table`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facial_r1.errors import InputError
from facial_r1.rewards.rarity import row_weights, row_weights_compat, unit_weights_compat

ROWS = [["AU12"], ["AU12"], ["AU12"], ["AU12", "AU9"], None, []]


def test_by_hand() -> None:
    # shares of the four coded rows: AU12 1, AU9 1/4; raw 1, 1, 1, (1 + 2) / 2; mean 9/8
    assert row_weights(ROWS) == pytest.approx([8 / 9, 8 / 9, 8 / 9, 12 / 9, 1.0, 1.0])


def test_power_0_weighs_all_alike() -> None:
    assert row_weights(ROWS, power=0.0) == [1.0] * 6


UNITS = st.one_of(st.none(), st.lists(st.sampled_from([f"AU{n}" for n in (1, 2, 4, 6, 12)]), max_size=5, unique=True))


@given(st.lists(UNITS, max_size=30), st.floats(0, 2))
def test_mean_1_never_0_and_1_without_units(rows: list[list[str] | None], power: float) -> None:
    weights = row_weights(rows, power)
    assert all(weight > 0 for weight in weights) and sum(weights) == pytest.approx(len(rows))
    assert all(weight == 1.0 for weight, row in zip(weights, rows, strict=True) if not row)


def test_the_row_of_the_rarer_unit_weighs_more() -> None:
    common, _, rare = row_weights([["AU1"], ["AU1"], ["AU2"]])
    assert rare > common


@pytest.mark.parametrize("power", [-0.1, float("nan"), float("inf")])
def test_a_power_that_makes_no_sense_is_refused(power: float) -> None:
    with pytest.raises(InputError, match="number from 0"):
        row_weights(ROWS, power)


def test_compat_weights_of_units_sum_to_1() -> None:
    assert sum(unit_weights_compat({"AU1": 0.3, "AU2": 0.1, "AU4": 0.0}).values()) == pytest.approx(1.0)


def test_compat_without_units_or_rows_gives_nothing() -> None:
    assert unit_weights_compat({}) == {} and row_weights_compat([], {"AU1": 0.5}) == []


def test_compat_needs_a_frequency_for_each_unit() -> None:
    with pytest.raises(InputError, match="AU9: has no frequency"):
        row_weights_compat([["AU9"]], {"AU1": 0.5})


def test_compat_frequencies_must_not_all_be_0() -> None:
    with pytest.raises(InputError, match="all are 0"):
        unit_weights_compat({"AU1": 0.0})


def test_released_weights_are_plain_sums_to_the_last_digit() -> None:
    """2.3: 1 / (share + 1e-6), normalised, added over a row's units one after the other."""
    frequencies = {"AU1": 0.1, "AU2": 0.7, "AU4": 0.3, "AU6": 0.2, "AU12": 0.6}
    whole = 0.1 + 0.7 + 0.3 + 0.2 + 0.6
    raw = [1 / (frequency / whole + 1e-6) for frequency in frequencies.values()]
    one, two, four, six, twelve = (weight / (raw[0] + raw[1] + raw[2] + raw[3] + raw[4]) for weight in raw)
    found = row_weights_compat([["AU2"], ["AU1", "AU4", "AU6"], ["AU1", "AU2", "AU4", "AU6", "AU12"]], frequencies)
    high = one + two + four + six + twelve
    assert found == [0.0, (one + four + six - two) / (high - two), 1.0]
