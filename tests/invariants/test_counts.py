"""What is done once is counted: decodes, processor passes, vision passes, prompt tokens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from facial_r1.models.thinker import backbone_of
from facial_r1.training.efficiency import Efficiency
from facial_r1.training.group_grpo import GroupGRPOTrainer
from tests.invariants import rollouts, tiny_vl

#: Two generation batches of four prompts with groups of four, each trained in four micro-batches.
STEPS, PROMPTS, GROUP, ACCUMULATION = 2, 4, 4, 4


@dataclass
class Counts:
    """What happened during training."""

    decoded: Counter[str] = field(default_factory=Counter)
    processed: int = 0
    encoded_images: int = 0
    vision_passes: int = 0
    decoder_tokens: list[int] = field(default_factory=list)
    generation_tokens: int = 0
    report: dict[str, str] = field(default_factory=dict)
    prompt_lengths: dict[int, int] = field(default_factory=dict)
    completion_tokens: int = 0


def count(folder: Path, architecture: str, efficiency: Efficiency, freeze_vision: bool, **settings: Any) -> Counts:
    """Train and count."""
    counts = Counts()
    model = tiny_vl.model(architecture)
    for parameter in backbone_of(model).visual.parameters():
        parameter.requires_grad_(not freeze_vision)
    processor = tiny_vl.processor(architecture)

    def load(name: str) -> Any:
        counts.decoded[name] += 1
        return rollouts.load_image(name)

    original = processor.image_processor.__class__.__call__

    def process(self: Any, images: Any = None, *args: Any, **kwargs: Any) -> Any:
        flat = [image for row in images for image in (row if isinstance(row, list) else [row])]
        counts.processed += len(flat)
        return original(self, images, *args, **kwargs)

    visual, decoder = backbone_of(model).visual, backbone_of(model).language_model

    def seen(_: Any, arguments: tuple, options: dict) -> None:
        counts.vision_passes += 1
        counts.encoded_images += len(options["grid_thw"])

    def forwarded(_: Any, arguments: tuple, options: dict) -> None:
        if options.get("past_key_values") is None:
            counts.decoder_tokens.append(options["inputs_embeds"].shape[:2].numel())
        elif torch.is_tensor(options.get("attention_mask")):
            counts.generation_tokens += int(options["attention_mask"].sum())

    visual.register_forward_pre_hook(seen, with_kwargs=True)
    decoder.register_forward_pre_hook(forwarded, with_kwargs=True)
    base = rollouts.recorded(GroupGRPOTrainer, rollouts.Recorded(GROUP))
    if settings.pop("sample", False):
        base = GroupGRPOTrainer
    data = rollouts.dataset(8)
    trainer = base(
        model=model,
        reward_funcs=[lambda completion_ids, **_: [(sum(ids) % 17) / 16 for ids in completion_ids]],
        args=rollouts.config(
            folder,
            max_steps=STEPS,
            per_device_train_batch_size=PROMPTS * GROUP // ACCUMULATION,
            gradient_accumulation_steps=ACCUMULATION,
            **settings,
        ),
        train_dataset=data,
        processing_class=processor,
        efficiency=efficiency,
        image_loader=load,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processor.image_processor.__class__, "__call__", process)
        trainer.train()
    counts.report = trainer.efficiency_report()
    return counts


@pytest.mark.parametrize("architecture", tiny_vl.ARCHITECTURES)
def test_an_image_is_decoded_and_processed_once_per_generation_batch(architecture: str, tmp_path: Path) -> None:
    counts = count(tmp_path, architecture, Efficiency(), freeze_vision=True)
    assert sum(counts.decoded.values()) == STEPS * PROMPTS, "every image of a generation batch is decoded once"
    assert counts.processed == STEPS * PROMPTS, "every image of a generation batch is preprocessed once"


def test_workers_decode_nothing_twice(tmp_path: Path) -> None:
    """The loader runs in another process, where a counter would not be seen; the log of names is a file."""
    log = tmp_path / "opened"

    def load(name: str) -> Any:
        with log.open("a") as file:
            file.write(name + "\n")
        return rollouts.load_image(name)

    trainer = rollouts.recorded(GroupGRPOTrainer, rollouts.Recorded(GROUP))(
        model=tiny_vl.model("qwen2_5_vl"),
        reward_funcs=[rollouts.reward],
        args=rollouts.config(
            tmp_path, max_steps=2, gradient_accumulation_steps=2, dataloader_num_workers=1, per_device_train_batch_size=8
        ),
        train_dataset=rollouts.dataset(8),
        processing_class=tiny_vl.processor("qwen2_5_vl"),
        image_loader=load,
    )
    trainer.train()
    names = log.read_text().split()
    assert len(names) == len(set(names)) == 8


def test_a_frozen_tower_sees_an_image_once_per_step(tmp_path: Path) -> None:
    counts = count(tmp_path, "qwen2_5_vl", Efficiency(), freeze_vision=True, sample=True)
    assert counts.encoded_images == STEPS * PROMPTS
    assert counts.vision_passes == STEPS, "the prefill encodes all images of the generation batch together"


def test_a_trained_tower_sees_an_image_once_per_pass(tmp_path: Path) -> None:
    counts = count(tmp_path, "qwen3_vl", Efficiency(), freeze_vision=False, sample=True)
    assert counts.encoded_images == 2 * STEPS * PROMPTS, "one generation pass and one training pass"


def test_sharing_vision_alone_encodes_a_group_once_per_micro_batch(tmp_path: Path) -> None:
    counts = count(tmp_path, "qwen2_5_vl", Efficiency.only("share_vision"), freeze_vision=False)
    assert counts.encoded_images == STEPS * PROMPTS


def test_plain_trl_encodes_every_copy(tmp_path: Path) -> None:
    """The counters do count: the same run without savings."""
    counts = count(tmp_path, "qwen2_5_vl", Efficiency.none(), freeze_vision=True)
    assert counts.encoded_images == STEPS * PROMPTS * GROUP
    assert sum(counts.decoded.values()) >= STEPS * PROMPTS * GROUP


def test_prompt_tokens_are_forwarded_once_per_group(tmp_path: Path) -> None:
    """Training forwards each prompt without its last token, and each completion once (it begins with that token)."""
    shared = count(tmp_path, "qwen2_5_vl", Efficiency(skip_dead_groups=False), freeze_vision=True)
    processor = tiny_vl.processor("qwen2_5_vl")
    data = rollouts.dataset(8)
    lengths = {}
    for row in data:
        messages = [dict(row["prompt"][0])]
        images = [rollouts.load_image(name) for name in row["images"]]
        from facial_r1.generation.prompt_batch import encode_prompts

        lengths[row["row"]] = len(encode_prompts(processor, [messages], [images]).ids[0])
    source = rollouts.Recorded(GROUP)
    completions = sum(len(source(row, 0, place)) for row in range(8) for place in range(GROUP))
    assert sum(shared.decoder_tokens) == sum(lengths.values()) - len(lengths) + completions


def test_a_prompt_is_prefilled_once(tmp_path: Path) -> None:
    counts = count(tmp_path, "qwen2_5_vl", Efficiency(), freeze_vision=True, sample=True)
    plain = count(tmp_path, "qwen2_5_vl", Efficiency.none(), freeze_vision=True, sample=True, max_completion_length=1)
    assert counts.generation_tokens > 0
    assert plain.generation_tokens == GROUP * counts.generation_tokens


def test_dead_groups_are_not_forwarded(tmp_path: Path) -> None:
    model = tiny_vl.model("qwen2_5_vl")
    tokens: list[int] = []
    model.model.language_model.register_forward_pre_hook(
        lambda _, arguments, options: (
            tokens.append(options["inputs_embeds"].shape[1]) if options.get("past_key_values") is None else None
        ),
        with_kwargs=True,
    )
    trainer = rollouts.recorded(GroupGRPOTrainer, rollouts.Recorded(GROUP))(
        model=model,
        # 0.7 is not exact in float32: the mean of eight of them need not be 0.7.
        reward_funcs=[lambda completions, **_: [0.7] * len(completions)],
        args=rollouts.config(tmp_path, max_steps=2, num_generations=8),
        train_dataset=rollouts.dataset(8),
        processing_class=tiny_vl.processor("qwen2_5_vl"),
        image_loader=rollouts.load_image,
    )
    trainer.train()
    assert tokens == []
