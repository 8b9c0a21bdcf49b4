"""Amounts nest and do not depend on order; splits keep people apart."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facial_r1.data import Record, divide, take
from facial_r1.data.selection import rank, rows_of
from facial_r1.errors import InputError


def rows(count: int, people: int = 0, **fields) -> list[Record]:
    """`count` records with ids r0, r1, ...; of `people` subjects, unevenly, when given."""
    return [
        Record(
            id=f"r{index}",
            dataset="d",
            images=(f"/{index}.png",),
            question="",
            AUs=None,
            labels=(),
            subject=f"s{(index * index) % people}" if people else None,
            source=f"/d.jsonl:{index + 1}",
            **fields,
        )
        for index in range(count)
    ]


def ids(records) -> list[str]:
    return [record.id for record in records]


def test_smaller_amounts_are_subsets_of_larger_ones():
    whole = rows(500)
    chosen = [set(ids(take(whole, amount, seed=3))) for amount in (8, 64, 0.5, 256, 500)]
    assert [len(part) for part in chosen] == [8, 64, 250, 256, 500]
    assert all(small <= large for small, large in pairwise(chosen))


@given(seed=st.integers(0, 2**31), amount=st.integers(1, 40), shuffle=st.integers(0, 1000))
def test_amounts_do_not_depend_on_the_order_of_rows(seed, amount, shuffle):
    whole = rows(40)
    other = random.Random(shuffle).sample(whole, len(whole))
    assert set(ids(take(whole, amount, seed))) == set(ids(take(other, amount, seed)))


def test_rows_keep_their_order():
    chosen = [int(name[1:]) for name in ids(take(rows(100), 30))]
    assert chosen == sorted(chosen)


def test_the_seed_decides():
    assert ids(take(rows(100), 10, seed=0)) == ids(take(rows(100), 10, seed=0))
    assert ids(take(rows(100), 10, seed=0)) != ids(take(rows(100), 10, seed=1))


def test_the_choice_is_the_same_on_every_machine():
    assert rank(7, "r0", 0).hex() == "4602f5ba247be047cdb29910c612ad25"
    assert ids(take(rows(20), 4, seed=7)) == ["r0", "r2", "r5", "r13"]


def test_rows_that_occur_twice_count_twice():
    twice = rows(10) * 2
    chosen = take(twice, 15)
    assert len(chosen) == 15
    assert len(set(ids(chosen))) > 7


@pytest.mark.parametrize(("amount", "count"), [(None, 30), (7, 7), (7.0, 7), (1, 1), (1.0, 30), (0.1, 3), (0.5, 15), (0.001, 1)])
def test_what_amounts_mean(amount, count):
    assert rows_of(amount, 30) == count


@pytest.mark.parametrize("amount", [0, -1, 1.5, -0.2, True])
def test_amounts_that_mean_nothing(amount):
    with pytest.raises(InputError, match=r"data.amount=.*: give a number of rows, or a fraction"):
        rows_of(amount, 30)


def test_an_amount_above_what_there_is():
    with pytest.raises(InputError, match=r"data.amount=31, but there are 30 rows: give at most 30, or null"):
        rows_of(31, 30)


# --- splits --------------------------------------------------------------------------------------------------


@given(people=st.integers(2, 60), share=st.floats(0.01, 0.6), seed=st.integers(0, 10**6))
def test_nobody_is_on_both_sides(people, share, seed):
    whole = rows(200, people)
    sides = divide(whole, "subject", share, seed)
    train, test = ({record.subject for record in side} for side in (sides.train, sides.test))
    assert not train & test
    assert sorted(ids(sides.train + sides.test)) == sorted(ids(whole)), "no row is lost"
    assert sides.train and sides.test


def test_the_test_side_has_at_least_its_share():
    sides = divide(rows(1000, 100), "subject", 0.2)
    assert 200 <= len(sides.test) <= 240


def test_splits_do_not_depend_on_the_order_of_rows():
    whole = rows(200, 30)
    assert set(ids(divide(whole).test)) == set(ids(divide(whole[::-1]).test))


def test_another_seed_tests_other_people():
    assert set(ids(divide(rows(200, 30), seed=0).test)) != set(ids(divide(rows(200, 30), seed=1).test))


def test_rows_without_subject_go_by_image_and_that_is_said():
    whole = rows(40)
    twins = [Record(**{**{name: getattr(r, name) for name in Record.__slots__}, "id": r.id + "b"}) for r in whole]
    sides = divide(whole + twins, test=0.25)
    shown = [{image for record in side for image in record.images} for side in (sides.train, sides.test)]
    assert not shown[0] & shown[1]
    assert sides.notes == ["80 of 80 rows have no subject: a person may be on both sides of the split"]


def test_by_record_divides_rows_of_a_person():
    sides = divide(rows(400, 2), "record", 0.25)
    assert len(sides.test) == 100
    assert {record.subject for record in sides.test} == {record.subject for record in sides.train}


def test_one_person_alone_is_for_training():
    sides = divide(rows(10, 1), "subject", 0.1)
    assert len(sides.train) == 10 and not sides.test
    assert sides.notes == ["all rows are of one subject or image: nothing is left for a test side"]


def test_no_share_no_test_side():
    assert divide(rows(10, 5), test=0.0).test == []


def test_the_field_split_goes_before_shares():
    whole = rows(3, split="Train") + rows(2, split="test") + rows(1, split="val") + rows(1)
    sides = divide(whole, "subject", 0.5)
    assert (len(sides.train), len(sides.test)) == (4, 2)
    assert sides.notes == [
        "1 rows are for validation and are on neither side",
        "1 rows have no split while others do: they are on the train side",
    ]


def test_by_field_wants_the_field_on_every_row():
    with pytest.raises(InputError, match=r"/d.jsonl:1: split: 2 of 5 rows have none: add .* or set data.split.by=subject"):
        divide(rows(2) + rows(3, split="train"), "field")


def test_an_unknown_split_is_named_with_a_suggestion():
    with pytest.raises(InputError, match=r"/d.jsonl:1: split: 'tset' is no split; did you mean 'test'\?"):
        divide(rows(1, split="tset"))
