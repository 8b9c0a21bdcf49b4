"""Rollouts from a vLLM server, which is a stand-in here: what is asked of it, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facial_r1.errors import InputError
from facial_r1.training import vllm_backend
from facial_r1.training.efficiency import Efficiency
from facial_r1.training.group_grpo import GroupGRPOTrainer
from facial_r1.training.vllm_backend import VLLMOptions
from tests.invariants import rollouts, tiny_vl

END = 258


class Server:
    """TRL's backend with a server behind it: every prompt is answered by two tokens."""

    def __init__(self, **_: Any) -> None:
        self.generation_kwargs: dict[str, Any] = {}
        self.vllm_client = self
        self.asked: list[dict[str, Any]] = []
        self.syncs = 0
        self.extra: list[int] = []

    def get_server_info(self) -> dict[str, Any]:
        return {"model_config": {"logprobs_mode": "processed_logprobs"}}

    def sync_weights(self) -> None:
        self.syncs += 1

    def generate(self, prompts: Any, images: Any, num_generations: int, profiler: Any) -> Any:
        self.asked.append({"prompts": prompts, "images": images, "n": num_generations})
        written = [[row % 200, END] for row in range(len(prompts))]
        return [[*ids, *self.extra] for ids in prompts], written, [[[-5.5], [-5.5]] for _ in prompts], None

    def close(self) -> None:
        """Nothing runs in this process."""


@pytest.fixture(params=[Efficiency(), Efficiency.none()], ids=["ours", "plain"])
def trainer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GroupGRPOTrainer:
    monkeypatch.setattr(vllm_backend, "GroupVLLM", Server)
    return GroupGRPOTrainer(
        model=tiny_vl.model("qwen2_5_vl"),
        reward_funcs=[rollouts.reward],
        args=rollouts.config(tmp_path, max_steps=2, use_vllm=True, vllm_mode="server"),
        train_dataset=rollouts.dataset(4),
        processing_class=tiny_vl.processor("qwen2_5_vl"),
        image_loader=rollouts.load_image,
        efficiency=request.param,
        vllm=VLLMOptions(logprob_gap=100),
    )


def test_every_row_carries_its_picture(trainer: GroupGRPOTrainer) -> None:
    trainer.train()
    server: Any = trainer.vllm_generation
    assert server.syncs == 2 and [call["n"] for call in server.asked] == [4, 4]
    for call in server.asked:
        assert len(call["prompts"]) == len(call["images"]) == 8
        assert all(len(images) == 1 and images[0].size[1] == 56 for images in call["images"])
        assert call["images"][0][0].tobytes() == call["images"][3][0].tobytes() != call["images"][4][0].tobytes()
    trainer.close_engine()


def test_vision_tokens_are_bad_words(trainer: GroupGRPOTrainer) -> None:
    assert set(trainer.vllm_generation.generation_kwargs["bad_words"]) == set(tiny_vl.SPECIAL[3:])


def test_another_prompt_is_refused(trainer: GroupGRPOTrainer) -> None:
    server: Any = trainer.vllm_generation
    server.extra = [1]
    with pytest.raises(InputError, match="vLLM sees a prompt of"):
        trainer.train()
