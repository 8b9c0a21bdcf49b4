"""Runs that are stopped or killed at any moment: nothing is left behind, and the same command ends as if nothing had happened.

`FACIAL_R1_KILLS=20 pytest tests/launch/test_cut_off.py -s` cuts twenty times in each test and prints where.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.launch.harness import KILLS, SEED, moments
from tests.launch.runs import STAGES, Straight


def schedule(straight: Straight, salt: str, stages: Sequence[str]) -> list[tuple[str, float]]:
    """Stages in turn, each cut at moments spread over the length of its run."""
    plan = []
    for place, stage in enumerate(stages):
        count = len(range(place, KILLS, len(STAGES)))
        plan.append([(stage, after) for after in moments(count, straight.seconds(stage), f"{salt} {stage}")] if count else [])
    return [plan[index % len(STAGES)][index // len(STAGES)] for index in range(KILLS)]


@pytest.mark.slow
def test_a_signal_at_any_moment(straight: Straight, tmp_path: Path):
    for index, (stage, after) in enumerate(schedule(straight, "signal", STAGES)):
        number = (signal.SIGTERM, signal.SIGINT)[(index + index // len(STAGES)) % 2]
        where = (
            f"{stage} after {after:.2f} s of {straight.seconds(stage):.2f}, {number.name} (FACIAL_R1_SEED={SEED}, cut {index})"
        )
        print(where, end=": ")
        try:
            code, said = straight.cut(stage, tmp_path / f"run{index}", after, number)
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from None
        print(code)
        allowed = (0, 128 + number, -number)  # done already; stopped in order; before the application listened
        assert code in allowed, f"{where}: ended with {code}:\n{said}"
        assert "Traceback" not in said, f"{where}:\n{said}"


@pytest.mark.slow
def test_a_kill_at_any_moment(straight: Straight, tmp_path: Path):
    for index, (stage, after) in enumerate(schedule(straight, "kill", STAGES[::-1])):
        where = f"{stage} after {after:.2f} s of {straight.seconds(stage):.2f} (FACIAL_R1_SEED={SEED}, cut {index})"
        print(where, end=": ")
        try:
            code, _ = straight.cut(stage, tmp_path / f"run{index}", after, signal.SIGKILL)
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from None
        print(code)
        assert code in (0, -signal.SIGKILL), f"{where}: ended with {code}"
