"""Models and settings that cannot share say so and train as plain TRL does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLProcessor

from facial_r1.training.efficiency import Efficiency
from facial_r1.training.group_grpo import GroupGRPOTrainer
from tests.invariants import rollouts, tiny_vl


def build(folder: Path, model: torch.nn.Module, processor: object, **settings: object) -> GroupGRPOTrainer:
    return rollouts.recorded(GroupGRPOTrainer, rollouts.Recorded(4))(
        model=model,
        reward_funcs=[rollouts.reward],
        args=rollouts.config(folder, max_steps=1, **settings),
        train_dataset=rollouts.dataset(4),
        processing_class=processor,
        image_loader=rollouts.load_image,
    )


def test_another_architecture_trains_as_plain_trl(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ids = {token: 256 + place for place, token in enumerate(tiny_vl.SPECIAL)}
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": 264,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "bos_token_id": None,
        },
        vision_config={"depth": 1, "embed_dim": 32, "num_heads": 2, "hidden_size": 64, "patch_size": 14},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    parts = tiny_vl.processor("qwen2_5_vl")
    processor = Qwen2VLProcessor(
        parts.image_processor, parts.tokenizer, parts.video_processor, chat_template=tiny_vl.CHAT_TEMPLATE
    )
    with caplog.at_level("WARNING"):
        trainer = build(tmp_path, Qwen2VLForConditionalGeneration(config), processor)
    report = trainer.efficiency_report()
    assert report.pop("overlap_rewards").startswith("off: no pass"), "it does not depend on the architecture"
    assert all(state.startswith("off: architecture Qwen2VLForConditionalGeneration") for state in report.values())
    assert caplog.text.count("plain TRL is used") == len(report), "every switch that is off is logged"
    trainer.train()
    assert trainer.state.global_step == 1


def test_eager_attention_cannot_share_prompts_but_the_rest_works(tmp_path: Path) -> None:
    model = tiny_vl.model("qwen2_5_vl")
    model.set_attn_implementation("eager")
    trainer = build(tmp_path, model, tiny_vl.processor("qwen2_5_vl"))
    report = trainer.efficiency_report()
    assert report.pop("share_prompt") == "off: attention eager; use sdpa"
    assert report.pop("overlap_rewards").startswith("off: no pass")
    assert set(report.values()) == {"on"}
    trainer.train()
    assert trainer.state.global_step == 1


def test_vision_tokens_are_never_sampled(tmp_path: Path) -> None:
    """All tokens are equally likely, so that a token which can be sampled is."""
    model = tiny_vl.model("qwen2_5_vl")
    with torch.no_grad():
        model.lm_head.weight.zero_()
    seen: set[int] = set()

    def reward(completion_ids: list[list[int]], **_: object) -> list[float]:
        seen.update(token for ids in completion_ids for token in ids)
        return [float(len(ids)) for ids in completion_ids]

    for efficiency in (Efficiency(), Efficiency.none()):
        trainer = GroupGRPOTrainer(
            model=model,
            reward_funcs=[reward],
            args=rollouts.config(
                tmp_path, max_steps=1, num_generations=32, per_device_train_batch_size=64, max_completion_length=60
            ),
            train_dataset=rollouts.dataset(2),
            processing_class=tiny_vl.processor("qwen2_5_vl"),
            image_loader=rollouts.load_image,
            efficiency=efficiency,
        )
        trainer.train()
    assert len(seen) > 200 and not seen & {259, 260, 261, 262, 263}
