"""The clamp of the summed rewards in training, which TRL sums itself."""

from __future__ import annotations

from typing import Any

import pytest

from facial_r1 import rewards
from facial_r1.config.schema import Reward
from facial_r1.training.grpo import reward_functions, reward_weights

RECORDS = [{"id": "0", "AUs": ["AU4"], "labels": ["anger"]}, {"id": "1", "AUs": None, "labels": []}]
TEXTS = ["<think>AU4</think><answer>anger</answer>", "AU4", "<think>AU4</think><answer>fear</answer>"]
ROWS = [0, 0, 1]


def summed(reward: Reward) -> list[float]:
    """What TRL makes of the functions: the weighted sum of what is not None."""
    logged: dict[str, Any] = {"log_metric": lambda *_: None, "log_extra": lambda *_: None, "completion_ids": [[1]] * len(TEXTS)}
    columns = [
        function(completions=TEXTS, row=ROWS, prompts=[""] * len(TEXTS), **logged)
        for function in reward_functions(reward, RECORDS, {}, [1])
    ]
    weights = reward_weights(reward)
    assert len(weights) == len(columns)
    return [
        sum(w * value for w, value in zip(weights, row, strict=True) if value is not None) for row in zip(*columns, strict=True)
    ]


@pytest.mark.parametrize("limit", [None, 0.5, 1.5, 10.0])
@pytest.mark.parametrize("weights", [{"au": 1.0, "accuracy": 1.0, "format": 1.0}, {"au_compat": 4.0, "accuracy_compat": 2.0}])
def test_trl_sums_to_what_evaluation_reports(weights: dict[str, float], limit: float | None) -> None:
    reward = Reward("r", weights, limit=limit)
    values = {name: rewards.score(name, TEXTS, [RECORDS[row] for row in ROWS]) for name in weights}
    assert summed(reward) == pytest.approx(rewards.combine(values, weights, limit))


def test_a_limit_that_cannot_bind_adds_nothing() -> None:
    reward = Reward("r", {"au_compat": 1.0, "accuracy_compat": 1.0, "format_compat": 1.0}, limit=10.0)
    assert len(reward_functions(reward, RECORDS, {}, [1])) == 3 and reward_weights(reward) == [1.0, 1.0, 1.0]


def test_a_limit_that_can_bind_is_logged_under_its_name() -> None:
    reward = Reward("r", {"au": 20.0}, limit=10.0)
    assert [function.__name__ for function in reward_functions(reward, RECORDS, {}, [1])] == ["au", "limit"]
