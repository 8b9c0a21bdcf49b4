"""Tokens that stand for pictures are never trained on, even if an engine writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from facial_r1.training.efficiency import Efficiency
from facial_r1.training.group_generation import SharedGeneration
from facial_r1.training.group_grpo import GroupGRPOTrainer
from facial_r1.training.vision_tokens import cut_off
from tests.invariants import rollouts, tiny_vl

PAD, END = 262, 258
#: What a careless engine writes for the rows of a batch: whole, cut in the middle, cut at once, whole.
WRITTEN = [[1, 2, END], [3, PAD, 4, END], [PAD, 5], [6, END]]


def test_tokens_before_the_first_forbidden_one_stay() -> None:
    assert [cut_off(ids, {PAD}) for ids in WRITTEN] == [3, 1, 0, 2]


@pytest.mark.parametrize("efficiency", [Efficiency(), Efficiency.none()], ids=["ours", "plain"])
def test_a_placeholder_ends_its_completion(efficiency: Efficiency, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        SharedGeneration,
        "_generate_single_turn",
        lambda self, prompt_ids, *args, **kwargs: ([list(WRITTEN[row % 4]) for row in range(len(prompt_ids))], None),
    )
    batches: list[dict[str, Any]] = []

    class Noting(GroupGRPOTrainer):
        def _generate_and_score_completions(self, inputs: Any) -> Any:
            batches.append(super()._generate_and_score_completions(inputs))
            return batches[-1]

    trainer = Noting(
        model=tiny_vl.model("qwen2_5_vl"),
        reward_funcs=[rollouts.reward],
        args=rollouts.config(tmp_path, max_steps=1, per_device_train_batch_size=4),
        train_dataset=rollouts.dataset(4),
        processing_class=tiny_vl.processor("qwen2_5_vl"),
        image_loader=rollouts.load_image,
        efficiency=efficiency,
    )
    trainer.train()
    assert trainer.state.global_step == 1
    (batch,) = batches
    assert batch["completion_mask"].sum(1).tolist() == [3, 1, 0, 2]
    assert not torch.isin(batch["completion_ids"], torch.tensor([PAD])).any()
    assert int(batch["num_items_in_batch"]) == 6


def test_tokens_of_the_user_are_suppressed_besides(tmp_path: Path) -> None:
    trainer = GroupGRPOTrainer(
        model=tiny_vl.model("qwen2_5_vl"),
        reward_funcs=[rollouts.reward],
        args=rollouts.config(tmp_path, generation_kwargs={"suppress_tokens": [7]}),
        train_dataset=rollouts.dataset(4),
        processing_class=tiny_vl.processor("qwen2_5_vl"),
        image_loader=rollouts.load_image,
    )
    assert trainer.generation_config.suppress_tokens == [7, 259, 260, 261, 262, 263]
