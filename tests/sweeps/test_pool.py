"""GPUs are shared out between jobs that run side by side."""

from __future__ import annotations

import pytest

from facial_r1.config.sweep_schema import Sweep
from facial_r1.errors import InputError
from facial_r1.sweeps import pool


@pytest.mark.parametrize(
    ("visible", "jobs", "each", "expected"),
    [
        (None, 2, 1, [None, None]),  # no GPU: nothing is shared out
        ("0,1,2,3", 2, 1, ["0", "1"]),
        ("0,1,2,3", 2, 2, ["0,1", "2,3"]),
        ("4,6,7", 3, 2, ["4,6"]),  # one does not fit a second time
        ("0,1", 4, 1, ["0", "1"]),  # no more jobs than GPUs
        ("0,1,2,3", 1, 1, [None]),  # a single job sees all
        ("GPU-a,GPU-b", 2, 1, ["GPU-a", "GPU-b"]),
    ],
)
def test_each_job_gets_gpus_of_its_own(monkeypatch, visible, jobs, each, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    assert pool.shares(Sweep(jobs=jobs, gpus_per_job=each)) == expected


def test_more_gpus_than_there_are_is_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(InputError, match="gpus_per_job=4: this machine shows 2"):
        pool.shares(Sweep(jobs=2, gpus_per_job=4))
