"""With clips and sounds: decoded, preprocessed and encoded once, prompts forwarded once per group."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from facial_r1.models import perception
from facial_r1.models.media import KINDS, towers
from facial_r1.models.thinker import backbone_of
from facial_r1.training.efficiency import Efficiency
from facial_r1.training.group_grpo import GroupGRPOTrainer
from tests.invariants import rollouts, tiny_vl

#: Two generation batches of four prompts with groups of four, each trained in four micro-batches.
STEPS, PROMPTS, GROUP, ACCUMULATION = 2, 4, 4, 4


def counted(folder: Path, efficiency: Efficiency, frozen: bool, sample: bool, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Train on clips with their sound and count what is done."""
    counts: Counter[str] = Counter()
    model = tiny_vl.model("qwen2_5_omni")
    for tower in towers(backbone_of(model), KINDS).values():
        for parameter in tower.parameters():
            parameter.requires_grad_(not frozen)
    model.audio_tower.audio_bos_eos_token.requires_grad_(False)

    class Counting(rollouts.Loader):
        def clip(self, name: str) -> Any:
            counts["clips decoded"] += 1
            return super().clip(name)

        def sound(self, name: str) -> Any:
            counts["sounds decoded"] += 1
            return super().sound(name)

    for name in ("clip_item", "sound_item"):
        original = getattr(perception, name)

        def preprocessed(processor: Any, value: Any, original: Any = original, name: str = name) -> Any:
            counts[name] += 1
            return original(processor, value)

        monkeypatch.setattr("facial_r1.generation.prompt_batch." + name, preprocessed)
    model.visual.register_forward_pre_hook(
        lambda _, arguments, options: counts.update({"clips seen": len(options["grid_thw"])}), with_kwargs=True
    )
    model.audio_tower.register_forward_pre_hook(
        lambda _, arguments, options: counts.update({"sounds heard": len(options["feature_lens"])}), with_kwargs=True
    )

    def forwarded(_: Any, arguments: tuple, options: dict) -> None:
        rows = options["inputs_embeds"].shape[0]
        counts["prefilled" if options.get("past_key_values") is not None else "scored"] += rows

    model.model.register_forward_pre_hook(forwarded, with_kwargs=True)
    base = GroupGRPOTrainer if sample else rollouts.recorded(GroupGRPOTrainer, rollouts.Recorded(GROUP))
    base(
        model=model,
        reward_funcs=[lambda completion_ids, **_: [(sum(ids) % 17) / 16 for ids in completion_ids]],
        args=rollouts.config(
            folder,
            max_steps=STEPS,
            per_device_train_batch_size=PROMPTS * GROUP // ACCUMULATION,
            gradient_accumulation_steps=ACCUMULATION,
        ),
        train_dataset=rollouts.media_dataset(("clip",), 8),
        processing_class=tiny_vl.processor("qwen2_5_omni"),
        efficiency=efficiency,
        image_loader=Counting(),
    ).train()
    return counts


def test_a_frozen_tower_sees_and_hears_a_clip_once_per_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = counted(tmp_path, Efficiency(), frozen=True, sample=True, monkeypatch=monkeypatch)
    each = STEPS * PROMPTS
    assert counts["clips decoded"] == counts["sounds decoded"] == counts["clip_item"] == counts["sound_item"] == each
    assert counts["clips seen"] == counts["sounds heard"] == each
    assert counts["prefilled"] == each, "one prefill for each group"


def test_a_trained_tower_sees_and_hears_a_clip_once_per_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = counted(tmp_path, Efficiency(skip_dead_groups=False), frozen=False, sample=True, monkeypatch=monkeypatch)
    assert counts["clips seen"] == counts["sounds heard"] == 2 * STEPS * PROMPTS, "one generation pass and one training pass"


def test_without_sharing_every_row_is_seen_and_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counters do count."""
    plain = Efficiency.only("load_once", "share_prefill")
    counts = counted(tmp_path, plain, frozen=False, sample=False, monkeypatch=monkeypatch)
    assert counts["clips seen"] == counts["sounds heard"] == STEPS * PROMPTS * GROUP
    assert counts["scored"] >= STEPS * PROMPTS * GROUP
    assert counts["clips decoded"] == STEPS * PROMPTS


def test_a_group_is_scored_in_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = counted(tmp_path, Efficiency(skip_dead_groups=False), frozen=False, sample=False, monkeypatch=monkeypatch)
    assert counts["scored"] == STEPS * ACCUMULATION, "each micro-batch is one packed row"
