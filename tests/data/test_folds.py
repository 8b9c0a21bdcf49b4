"""Cross-validation: the subjects of one fold are the test side."""

from __future__ import annotations

import pytest

from facial_r1.data import load_data
from facial_r1.errors import InputError

FOLDS = [["a-0", "a-3"], ["a-1"], ["a-2", "a-4"]]


def settings(folder, **more):
    folder.faces("a.jsonl", 20)  # subjects a-0 to a-4, four rows each
    protocol = {"name": "mine", "labels": ["happiness"], "folds": FOLDS}
    return {"files": [str(folder.path / "a.jsonl")], "images": [str(folder.images)], "protocol": protocol, **more}


@pytest.mark.parametrize(("fold", "rows"), [(0, 8), (1, 4), (2, 8)])
def test_a_fold_is_the_test_side(folder, fold, rows):
    data = load_data(settings(folder, fold=fold))
    assert {record.subject for record in data.test} == set(FOLDS[fold]) and len(data.test) == rows
    assert not {record.subject for record in data.train} & set(FOLDS[fold]) and len(data.train) == 20 - rows


def test_without_a_fold_the_split_decides_and_the_folds_are_mentioned(folder):
    data = load_data(settings(folder))
    assert len(data.test) == 4 and any("scored by 3 folds: data.fold=0 to 2" in note for note in data.notes)


def test_subjects_in_no_fold_are_trained_on_and_named(folder):
    config = settings(folder, fold=1)
    config["protocol"]["folds"] = [["a-0"], ["a-1"]]
    data = load_data(config)
    assert any("3 subjects are in no fold, for example a-2: they are on the train side" in note for note in data.notes)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"fold": 3}, "data.fold=3: there are 3 folds, give 0 to 2"),
        ({"fold": 0, "protocol": {"name": "generic"}}, "the protocol has no folds"),
        ({"fold": 0, "protocol": {"name": "mine", "labels": ["happiness"], "folds": [["b-1"]]}}, "no row is of a subject of this fold (b-1, ...); the subjects of the rows are a-0, a-1"),
    ],
)  # fmt: skip
def test_a_fold_that_cannot_be(folder, change, part):
    with pytest.raises(InputError) as caught:
        load_data(settings(folder) | change)
    assert part in str(caught.value)


def test_rows_without_a_subject_are_named(folder):
    config = settings(folder, fold=0)
    folder.faces("a.jsonl", 20, subject=lambda index: None if index == 6 else f"a-{index // 4}")
    with pytest.raises(InputError, match=r"a\.jsonl:7: subject: data\.fold=0 needs the subject of each row"):
        load_data(config)


def test_test_files_and_a_fold_exclude_each_other(folder):
    folder.faces("b.jsonl", 4)
    more = {"test_files": [str(folder.path / "b.jsonl")], "test_images": [str(folder.images)]}
    with pytest.raises(InputError, match=r"the rows have a test side of their own; set data\.fold=null"):
        load_data(settings(folder, fold=0, **more))
