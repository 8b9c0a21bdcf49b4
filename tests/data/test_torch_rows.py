"""Records as the dataset of a trainer."""

from __future__ import annotations

import json

from facial_r1.data import Record, to_dataset


def test_rows_do_not_take_over_keys_of_each_other():
    rows = [
        Record(
            str(index),
            "d",
            ("/a.png",) * (index + 1),
            "",
            units,
            ("fear",) * index,
            meta_info={f"k{index}": index},
        )
        for index, units in enumerate([None, (), ("AU1",)])
    ]
    dataset = to_dataset(rows, {"prompt": ["p", "q", "r"]})
    assert dataset["id"][:] == ["0", "1", "2"] and dataset["prompt"][:] == ["p", "q", "r"]
    assert [len(images) for images in dataset["images"]] == [1, 2, 3]
    assert [json.loads(text) for text in dataset["record"]] == [record.to_json() for record in rows]
