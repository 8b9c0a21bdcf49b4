"""A batch that is put together from several rounds keeps vLLM's log-probabilities and importance weights with their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facial_r1.training.efficiency import Efficiency
from tests.invariants import rollouts, tiny_vl
from tests.invariants.test_dynamic_sampling import SHAPE, kept, reward, rows
from tests.invariants.test_vllm_equality import FAR, no_engine  # noqa: F401 (a fixture)


@pytest.mark.parametrize("skip", [True, False], ids=["weights in training", "weights in a pass of their own"])
@pytest.mark.parametrize("mode", ["token_truncate", "sequence_mask"])
def test_the_step_is_that_of_plain_trl_over_the_kept_prompts(mode: str, skip: bool, tmp_path: Path) -> None:
    folder = tiny_vl.saved("qwen2_5_vl", tmp_path / "model")
    settings: dict[str, Any] = {
        "use_vllm": True,
        "max_steps": 1,
        "vllm_importance_sampling_mode": mode,
        "vllm_importance_sampling_clip_min": 0.2,
        "vllm_importance_sampling_clip_max": 2.0,
        **SHAPE,
    }
    options = {"reward_funcs": [reward], "dynamic_sampling": 6, **FAR}
    data = rows()
    switches = Efficiency(skip_old_logprobs=skip)
    ours = rollouts.train(tmp_path / "ours", folder, "qwen2_5_vl", switches, rows=data, trainer_options=options, **settings)
    prompts = kept(ours.trainer)
    assert all(prompt % 2 == 0 for prompt in prompts) and ours.trainer.state.log_history[0]["dynamic_sampling/rounds"] > 1
    plain = rollouts.train(
        tmp_path / "plain", folder, "qwen2_5_vl", None, rows=data.select(prompts), shuffle_dataset=False,
        trainer_options={"reward_funcs": [reward]}, **settings,
    )  # fmt: skip
    assert ours.step_losses() == pytest.approx(plain.step_losses(), rel=1e-4, abs=1e-6)
    assert rollouts.difference(ours.weights, plain.weights) < 2e-5
