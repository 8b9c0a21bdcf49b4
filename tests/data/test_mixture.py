"""Several sources with amounts and weights; repeats are counted and shown."""

from __future__ import annotations

from collections import Counter

import pytest

from facial_r1.data import Part, Record, mix
from facial_r1.errors import InputError


def part(name: str, count: int, amount=None, weight=1.0, described: int = 0, **options) -> Part:
    records = [
        Record(
            id=f"{name}{index}",
            dataset=name,
            images=(f"/{name}/{index}.png",),
            question="",
            AUs=("AU12",) if index % 2 else None,
            labels=("happiness",) if index % 4 else (),
            description="<think>x</think><answer>y</answer>" if index < described else "",
            subject=f"s{index // 10}",
        )
        for index in range(count)
    ]
    return Part(name, records, amount, weight, **options)


def ids(mixture) -> Counter:
    return Counter(record.id for record in mixture)


def test_all_rows_of_all_sources():
    mixture = mix([part("a", 30), part("b", 20)])
    assert len(mixture) == 50 and mixture.repeats == 0


@pytest.mark.parametrize(("weight", "rows"), [(0.5, 20), (1, 40), (1.5, 60), (2, 80), (3.25, 130)])
def test_weight_is_how_often_a_row_comes(weight, rows):
    mixture = mix([part("a", 40, weight=weight)])
    counts = ids(mixture)
    assert len(mixture) == rows
    assert max(counts.values()) - min(counts.values()) <= 1
    assert mixture.repeats == rows - len(counts)


def test_amount_and_weight_of_each_source():
    mixture = mix([part("a", 100, amount=0.1, weight=3), part("b", 50, amount=20)])
    assert [(row["source"], row["available"], row["rows"], row["repeats"]) for row in mixture.table()] == [
        ("a", 100, 30, 20),
        ("b", 50, 20, 0),
    ]


def test_amount_of_the_whole():
    sources = [part("a", 100, weight=2), part("b", 100)]
    mixture = mix(sources, amount=60)
    assert len(mixture) == 60
    assert 25 < mixture.table()[0]["rows"] < 55, "sources are drawn in proportion to their rows"


def test_amounts_of_the_whole_nest_in_any_order_of_sources():
    a, b = part("a", 100, weight=2), part("b", 100)
    small, large = mix([a, b], amount=64, seed=5), mix([b, a], amount=0.8, seed=5)
    assert ids(small) <= ids(large)
    assert ids(mix([b, a], amount=64, seed=5)) == ids(small)


def test_fingerprint_does_not_depend_on_the_order_of_sources_but_on_repeats():
    a, b = part("a", 10), part("b", 10)
    assert mix([a, b]).fingerprint == mix([b, a]).fingerprint
    assert mix([a, b]).fingerprint != mix([part("a", 10, weight=2), b]).fingerprint


def test_having_selects_before_the_amount():
    mixture = mix([part("a", 100, described=12)], amount=12, having=("description",))
    assert len(mixture) == 12 and all(record.description for record in mixture)


def test_an_amount_above_the_rows_that_have_a_field():
    with pytest.raises(InputError, match=r"data.amount=13, but there are 12 rows with description"):
        mix([part("a", 100, described=12)], amount=13, having=("description",))


def test_an_amount_above_a_source():
    with pytest.raises(InputError, match="amount of a=101, but there are 100 rows"):
        mix([part("a", 100, amount=101)])


@pytest.mark.parametrize("weight", [0, -1])
def test_weights_are_positive(weight):
    with pytest.raises(InputError, match="the weight of a is"):
        mix([part("a", 10, weight=weight)])


def test_a_step_takes_its_own_rows_of_a_mixture():
    mixture = mix([part("a", 100, described=40)], seed=2)
    step = mixture.having("description").take(10)
    assert len(step) == 10 and all(record.description for record in step)
    assert ids(step) <= ids(mixture.having("description").take(20))


def test_a_face_without_active_units_is_coded():
    face = Record("x", "d", ("/x.png",), "", (), ())
    assert len(mix([Part("a", [face])]).having("AUs")) == 1


def test_unique_rows():
    mixture = mix([part("a", 10, weight=3)])
    assert [record.id for record in mixture.unique] == [f"a{index}" for index in range(10)]


def test_the_table_as_text():
    mixture = mix([part("raf", 40, weight=2, skipped=3, invalid=1), part("disfa", 20, described=5)])
    text = mixture.describe()
    head, raf, disfa, total, *rest = text.splitlines()
    columns = head.split()
    assert dict(zip(columns, raf.split(), strict=True)) == {
        "source": "raf",
        "available": "40",
        "rows": "80",
        "repeats": "40",
        "weight": "2",
        "subjects": "4",
        "labelled": "60",
        "labels": "1",
        "coded": "40",
        "AUs": "1",
        "described": "0",
        "skipped": "3",
        "invalid": "1",
    }
    assert disfa.split()[:4] == ["disfa", "20", "20", "0"]
    assert total.split()[:4] == ["all", "60", "100", "40"]
    assert "all: labels: happiness 75" in rest and "raf: AUs: AU12 40" in rest


# --- balance -----------------------------------------------------------------------------------------------------------


def skewed(**options) -> Part:
    """90 smiles, 9 wrinkled noses, one tongue."""
    codes = [("AU12",)] * 90 + [("AU9",)] * 9 + [("AU19",)]
    records = [Record(f"r{index}", "d", (f"/{index}.png",), "", code, ("fear",)) for index, code in enumerate(codes)]
    return Part("skewed", records, **options)


def test_a_balanced_source_shows_its_repeats_in_the_table():
    row = mix([skewed(amount=100, balance="action_units", repeats=True)]).table()[0]
    assert (row["rows"], row["repeats"], row["AUs"]["AU19"]) == (100, 2, 3)


def test_repeats_of_a_balanced_source_are_said():
    mixture = mix([skewed(amount=100, balance="action_units", repeats=True)])
    assert mixture.notes == ("amount of skewed: 2 of 100 rows are repeats, to balance action units",)


def test_codes_that_run_out_are_said():
    mixture = mix([skewed(amount=100, balance="action_units")])
    assert mixture.repeats == 0
    assert mixture.notes == (
        "amount of skewed: rows with some action units run out before their share of 100 is full (AU19 1); "
        "repeats=true would repeat their rows",
    )


def test_a_balanced_amount_may_be_above_the_rows_when_they_repeat():
    mixture = mix([skewed(amount=150, balance="labels", repeats=True)])
    assert (len(mixture), mixture.repeats) == (150, 50)


def test_a_balanced_amount_above_the_rows_needs_repeats():
    with pytest.raises(InputError, match="amount of skewed=150, but there are 100 rows"):
        mix([skewed(amount=150, balance="labels")])


def test_a_balanced_fraction_is_of_the_rows():
    assert len(mix([skewed(amount=0.2, balance="action_units", repeats=True)])) == 20


def test_the_amount_of_the_whole_can_be_balanced():
    whole = mix([skewed(), part("b", 20)], amount=30, balance="labels")
    assert len(whole) == 30 and whole.repeats == 0
    assert Counter(record.labels[0] for record in whole if record.labels)["happiness"] == 15


def test_all_rows_are_as_they_are():
    assert len(mix([skewed()], balance="action_units")) == 100


def test_a_balanced_choice_does_not_depend_on_the_order_of_rows():
    there = skewed(amount=40, balance="action_units", repeats=True)
    back = Part("skewed", there.records[::-1], 40, balance="action_units", repeats=True)
    assert ids(mix([there])) == ids(mix([back]))
