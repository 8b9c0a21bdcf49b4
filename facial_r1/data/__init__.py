"""Records, where they come from, and which of them a run sees. Nothing here imports torch."""

from __future__ import annotations

from facial_r1.data.images import ImageError, decode_count, open_image
from facial_r1.data.jsonl import load_records
from facial_r1.data.load import Data, load_data
from facial_r1.data.mixture import Mixture, Part, mix
from facial_r1.data.problems import Problem, write_skipped
from facial_r1.data.protocol import Protocol, load_protocol
from facial_r1.data.record import Record
from facial_r1.data.records import Records
from facial_r1.data.selection import divide, take
from facial_r1.data.torch_rows import to_dataset

__all__ = [
    "Data",
    "ImageError",
    "Mixture",
    "Part",
    "Problem",
    "Protocol",
    "Record",
    "Records",
    "decode_count",
    "divide",
    "load_data",
    "load_protocol",
    "load_records",
    "mix",
    "open_image",
    "take",
    "to_dataset",
    "write_skipped",
]
