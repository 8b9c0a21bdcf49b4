"""Sampling and fetching rows once per generation batch."""

from __future__ import annotations

from typing import Any

import pytest
from trl.trainer.utils import RepeatSampler

from facial_r1.training.load_once import GroupSampler, LoadOnceDataset, is_stub, row_images

SHAPE: dict[str, Any] = {"mini_repeat_count": 2, "batch_size": 3, "repeat_count": 4, "seed": 7}


@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_come_in_the_order_of_trl_in_every_epoch(shuffle: bool) -> None:
    theirs = RepeatSampler(range(10), shuffle=shuffle, **SHAPE)
    ours = GroupSampler(range(10), shuffle=shuffle, **SHAPE)
    for epoch in range(3):
        ours.set_epoch(epoch)
        assert [index if index >= 0 else -1 - index for index in ours] == list(theirs)
    assert len(ours) == len(theirs)


def test_only_the_first_repeat_is_fetched() -> None:
    indices = list(GroupSampler(range(6), shuffle=False, **SHAPE))
    assert indices[:6] == [0, 0, 1, 1, 2, 2] and indices[6:24] == [-1, -1, -2, -2, -3, -3] * 3
    assert indices[24:30] == [3, 3, 4, 4, 5, 5]


def test_copies_within_a_batch_are_read_once() -> None:
    read: list[int] = []

    class Rows:
        def __getitem__(self, index: int) -> dict[str, int]:
            read.append(index)
            return {"value": 10 * index}

        def __len__(self) -> int:
            return 9

    rows = LoadOnceDataset(Rows()).__getitems__([4, 4, 2, 2, -1, -3])
    assert read == [4, 2]
    assert [row.get("value") for row in rows] == [40, 40, 20, 20, None, None]
    assert [is_stub(row) for row in rows] == [False] * 4 + [True] * 2
    assert [row["_row"] for row in rows] == [4, 4, 2, 2, 0, 2]


def test_images_come_from_either_column() -> None:
    assert row_images({"images": ["a", "b"]}) == ["a", "b"]
    assert row_images({"image": "a"}) == ["a"]
    assert row_images({"images": None}) == row_images({"image": None}) == row_images({}) == []
