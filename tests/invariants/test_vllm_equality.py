"""With vLLM's log-probabilities beside the completions, ours and plain TRL train alike.

TRL forms its importance weights from a pass of its own; ours are formed in the training pass. What vLLM would have
written is recorded, so no vLLM is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from trl import GRPOTrainer
from trl.trainer import grpo_trainer

from facial_r1.errors import InputError
from facial_r1.training import vllm_backend
from facial_r1.training.efficiency import Efficiency
from facial_r1.training.group_grpo import GroupGRPOTrainer
from facial_r1.training.vllm_backend import VLLMOptions
from facial_r1.training.vllm_rollouts import CHECKED_STEPS, importance_weights
from tests.invariants import rollouts, tiny_vl


class NoEngine:
    """Stands where the backend would be; completions are recorded."""

    def __init__(self, **_: Any) -> None:
        self.generation_kwargs: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo_trainer, "VLLMGeneration", NoEngine)
    monkeypatch.setattr(vllm_backend, "GroupVLLM", NoEngine)
    monkeypatch.setattr(rollouts, "recorded", with_log_probabilities(rollouts.recorded))


def with_log_probabilities(recorded: Any) -> Any:
    """`rollouts.recorded`, with a log-probability for every token, some of them unknown."""

    def extended(base: type[GRPOTrainer], source: rollouts.Recorded) -> type[GRPOTrainer]:
        class Sampled(recorded(base, source)):  # type: ignore[misc]
            def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
                ids, _ = super()._generate_single_turn(prompt_ids, *args, **kwargs)
                logps: list[list[float | None]] = []
                for row in ids:
                    generator = torch.Generator().manual_seed(sum(row))
                    values = (-torch.rand(len(row), generator=generator) * 2 - 4.6).tolist()
                    logps.append([None if place % 7 == 6 else value for place, value in enumerate(values)])
                return ids, logps

        return Sampled

    return extended


#: Recorded log-probabilities have nothing to do with the model's.
FAR = {"vllm": VLLMOptions(logprob_gap=100.0)}
MODES = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask", "none")
SCHEDULES = {
    "on policy": {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2},
    "two iterations": {"per_device_train_batch_size": 8, "num_iterations": 2},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_weights_and_losses_agree(mode: str, schedule: str, tmp_path: Path) -> None:
    folder = tiny_vl.saved("qwen2_5_vl", tmp_path / "model")
    settings: dict[str, Any] = {"use_vllm": True, "max_steps": 4, **SCHEDULES[schedule]}
    if mode == "none":
        settings["vllm_importance_sampling_correction"] = False
    else:
        # Bounds that some of the weights exceed on either side.
        settings |= {"vllm_importance_sampling_mode": mode, "vllm_importance_sampling_clip_max": 2.0}
        settings["vllm_importance_sampling_clip_min"] = 0.2
    runs = [
        rollouts.train(tmp_path / name, folder, "qwen2_5_vl", efficiency, trainer_options=options, **settings)
        for name, efficiency, options in (("theirs", None, {}), ("ours", Efficiency(), FAR))
    ]
    theirs, ours = runs
    assert ours.step_losses() == pytest.approx(theirs.step_losses(), rel=1e-4, abs=1e-6)
    assert rollouts.difference(ours.weights, theirs.weights) < 2e-5
    if mode != "none":
        name = "sampling/importance_sampling_ratio/mean"
        logged = [[row[name] for row in run.trainer.state.log_history if name in row] for run in runs]
        assert logged[0] and min(logged[0]) > 0.05 and len({round(value, 3) for value in logged[0]}) > 1, "weights vary"


def test_no_pass_is_spent_on_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On policy, the log-probabilities of the training pass serve; plain TRL forwards the batch once more."""
    folder = tiny_vl.saved("qwen2_5_vl", tmp_path / "model")
    calls: list[bool] = []
    original = GroupGRPOTrainer._score

    def counted(self: Any, *args: Any) -> Any:
        calls.append(torch.is_grad_enabled())
        return original(self, *args)

    monkeypatch.setattr(GroupGRPOTrainer, "_score", counted)
    for skip, expected in ((True, [True]), (False, [False, True])):
        calls.clear()
        switches = Efficiency(skip_old_logprobs=skip)
        rollouts.train(tmp_path / str(skip), folder, "qwen2_5_vl", switches, use_vllm=True, max_steps=1, trainer_options=FAR)
        assert calls == expected


def test_a_distance_is_logged_and_judged_without_correction(tmp_path: Path) -> None:
    folder = tiny_vl.saved("qwen2_5_vl", tmp_path / "model")
    run = rollouts.train(
        tmp_path,
        folder,
        "qwen2_5_vl",
        Efficiency(),
        use_vllm=True,
        max_steps=1,
        trainer_options=FAR,
        vllm_importance_sampling_correction=False,
    )
    assert run.trainer.state.log_history[0]["sampling/sampling_logp_difference/mean"] > 0.1


def test_a_large_distance_stops_the_first_steps_and_only_those(tmp_path: Path) -> None:
    folder = tiny_vl.saved("qwen2_5_vl", tmp_path / "model")
    strict = {"vllm": VLLMOptions(logprob_gap=0.1)}
    with pytest.raises(InputError, match=r"stage\.vllm\.logprob_gap=0\.1"):
        rollouts.train(tmp_path / "strict", folder, "qwen2_5_vl", Efficiency(), use_vllm=True, trainer_options=strict)

    def later(trainer: Any) -> None:
        trainer._first_step = -CHECKED_STEPS

    run = rollouts.train(
        tmp_path / "later", folder, "qwen2_5_vl", Efficiency(), use_vllm=True, trainer_options=strict, mutate=later, max_steps=1
    )
    assert run.trainer._warned and run.trainer.state.global_step == 1


def test_a_truncated_distribution_is_not_judged(tmp_path: Path) -> None:
    """With top_p, vLLM's log-probabilities are those of another distribution; the distance says nothing."""
    folder = tiny_vl.saved("qwen2_5_vl", tmp_path / "model")
    run = rollouts.train(tmp_path / "run", folder, "qwen2_5_vl", Efficiency(), use_vllm=True, max_steps=1, top_p=0.9)
    assert run.trainer.state.log_history[0]["sampling/sampling_logp_difference/mean"] > 0.1


def test_unknown_log_probabilities_weigh_one() -> None:
    difference = torch.tensor([[torch.nan, 0.5, 9.0]])
    mask = torch.tensor([[1, 1, 0]])
    assert torch.allclose(
        importance_weights(difference, mask, "token_truncate", None, 3.0), torch.tensor([[0.0, 0.5, 0.0]]).exp()
    )
    assert torch.allclose(importance_weights(difference, mask, "sequence_mask", None, 3.0), torch.tensor([[0.5]]).exp())
    assert float(importance_weights(difference, mask, "sequence_mask", None, 1.5)) == 0.0
