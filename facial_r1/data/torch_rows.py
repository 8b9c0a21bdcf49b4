"""Records as the `datasets.Dataset` that TRL trainers take."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from facial_r1.data.record import Record

if TYPE_CHECKING:
    from datasets import Dataset


def to_dataset(records: Iterable[Record], extra: Mapping[str, list[Any]] | None = None) -> Dataset:
    """One row a record: `id`, `images` (paths, not pixels) and `record`, the published form as JSON text.

    The record is text on purpose: Arrow gives all rows of a column the union of their keys, so that mappings
    such as `meta_info` would show each row the keys of all the others.

    Args:
        extra: further columns, aligned with the records, for example rendered prompts.
    """
    from datasets import Dataset

    rows = list(records)
    columns: dict[str, list[Any]] = {
        "id": [record.id for record in rows],
        "images": [list(record.images) for record in rows],
        "record": [json.dumps(record.to_json(), ensure_ascii=False, default=str) for record in rows],
    }
    return Dataset.from_dict(columns | dict(extra or {}))
