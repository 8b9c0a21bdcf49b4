"""Balanced samples: quotas are met where rows suffice, and every repeat is counted."""

from __future__ import annotations

from collections import Counter

import pytest

from facial_r1.data import Record
from facial_r1.data.balance import balanced


def face(name: str, units: tuple[str, ...] = (), label: str = "") -> Record:
    return Record(name, "set", (f"/{name}.png",), "", units, (label,) if label else ())


# AU12 in 900 rows, AU9 in 60, AU19 in 1.
SKEWED = [
    *(face(f"smile{i}", ("AU12",)) for i in range(900)),
    *(face(f"nose{i}", ("AU9", "AU12")) for i in range(60)),
    face("tongue", ("AU19",)),
]


def units(rows: list[int]) -> Counter[str]:
    return Counter(code for row in rows for code in (SKEWED[row].AUs or ()))


def test_rare_units_get_their_quota():
    found = balanced(SKEWED, 300, "action_units")
    assert units(found.rows)["AU9"] >= 9


def test_without_repeats_each_row_comes_once():
    found = balanced(SKEWED, 300, "action_units")
    assert len(set(found.rows)) == 300
    assert found.repeats == 0


def test_a_unit_that_stays_below_its_quota_is_named():
    assert balanced(SKEWED, 300, "action_units").below == {"AU19": 1}


def test_repeats_fill_the_quota_and_are_counted():
    found = balanced(SKEWED, 300, "action_units", repeats=True)
    assert units(found.rows)["AU19"] == 9
    assert found.repeats == 8
    assert found.below == {}


def test_classes_are_equal_where_there_are_rows():
    records = [face(f"h{i}", (), "happiness") for i in range(80)] + [face(f"f{i}", (), "fear") for i in range(40)]
    found = balanced(records, 60, "labels")
    assert Counter(records[row].labels[0] for row in found.rows) == {"happiness": 30, "fear": 30}


def test_the_order_of_the_records_does_not_matter():
    there = balanced(SKEWED, 100, "action_units", seed=3)
    turned = SKEWED[::-1]
    back = balanced(turned, 100, "action_units", seed=3)
    assert [SKEWED[row].id for row in there.rows] == [turned[row].id for row in back.rows]


def test_the_seed_matters():
    assert balanced(SKEWED, 100, "action_units", seed=1).rows != balanced(SKEWED, 100, "action_units", seed=2).rows


def test_more_than_there_is_needs_repeats():
    with pytest.raises(ValueError, match="need repeats"):
        balanced(SKEWED, 1000, "action_units")


def test_all_rows_come_once_before_any_comes_twice():
    records = [face(f"h{i}", (), "happiness") for i in range(10)]
    found = balanced(records, 15, "labels", repeats=True)
    assert sorted(Counter(found.rows).values()) == [1] * 5 + [2] * 5
    assert found.repeats == 5


def test_rows_without_codes_are_a_plain_sample():
    records = [face(f"n{i}") for i in range(10)]
    assert len(balanced(records, 4, "action_units").rows) == 4
