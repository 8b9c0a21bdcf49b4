"""GRPO steps whose completions come from vLLM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from facial_r1.app import main
from facial_r1.errors import InputError
from facial_r1.generation.vllm_inputs import Prompt, vllm_prompt
from facial_r1.training import vllm_backend
from facial_r1.training.efficiency import Efficiency
from facial_r1.training.group_grpo import GroupGRPOTrainer
from facial_r1.training.vllm_backend import VLLMOptions
from facial_r1.training.vllm_weights import Sent
from tests.command import SMALL
from tests.vllm import faces

IMAGE = "<|image_pad|>"


@dataclass
class Watched:
    """A trained trainer and what passed between it and vLLM."""

    trainer: GroupGRPOTrainer
    requests: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    pixels: list[torch.Tensor] = field(default_factory=list)
    trained_pixels: list[torch.Tensor] = field(default_factory=list)


def watch(trainer: GroupGRPOTrainer) -> Watched:
    """Note requests, weights and pixels from now on."""
    backend = trainer.vllm_generation
    seen = Watched(trainer)
    generate, sync, tower = backend.llm.generate, backend.sync_weights, backend._vllm_model.visual

    def noted_generate(prompts: Any, sampling_params: Any, **options: Any) -> Any:
        seen.requests.extend((prompt, each.n) for prompt, each in zip(prompts, sampling_params, strict=True))
        return generate(prompts, sampling_params=sampling_params, **options)

    def noted_sync() -> None:
        sync()
        seen.sent.append(backend.last_sent)

    backend.llm.generate, backend.sync_weights = noted_generate, noted_sync
    # vLLM's tower gets bytes and normalises them itself.
    tower.input_norm.register_forward_hook(lambda _, args, output: seen.pixels.append(output.clone()))
    trainer._core.model.visual.register_forward_pre_hook(
        lambda _, args, kwargs: seen.trained_pixels.append((args or tuple(kwargs.values()))[0].clone()), with_kwargs=True
    )
    return seen


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Two steps with a frozen tower and all savings."""
    seen = watch(faces.trainer(tmp_path_factory.mktemp("run"), freeze_vision=True))
    seen.trainer.train()
    yield seen
    seen.trainer.close_engine()


def test_all_savings_but_the_shared_prefill_are_on(run: Watched) -> None:
    report = run.trainer.efficiency_report()
    assert report.pop("share_prefill").startswith("off: vLLM generates")
    assert "no pass lies between" in report.pop("overlap_rewards"), "old log-probabilities come from the training pass"
    assert set(report.values()) == {"on"}, report


def test_a_prompt_is_one_request_for_its_group(run: Watched) -> None:
    assert len(run.requests) == 2 * 2, "two steps of two prompts"
    assert {count for _, count in run.requests} == {faces.GROUP}


def test_one_placeholder_is_sent_for_an_image_at_the_model_s_size(run: Watched) -> None:
    token = run.trainer.processing_class.image_token_id
    for prompt, _ in run.requests:
        assert prompt["prompt_token_ids"].count(token) == 1
        assert [image.size for image in prompt["multi_modal_data"]["image"]] == [(112, 112)]


def test_the_towers_get_the_same_pixels(run: Watched) -> None:
    """An image is 64 patches; those of groups without advantage are not trained on."""
    theirs, ours = (torch.cat(pixels).unflatten(0, (-1, 64)) for pixels in (run.pixels, run.trained_pixels))
    assert len(ours) >= 2
    for image in ours:
        assert float((theirs - image).abs().amax((1, 2)).min()) < 1e-5


def test_log_probabilities_agree(run: Watched) -> None:
    assert max(faces.logged(run.trainer, "sampling/sampling_logp_difference/mean")) < 1e-4
    assert min(faces.logged(run.trainer, "sampling/importance_sampling_ratio/min")) > 0.99


def test_a_frozen_tower_is_sent_once(run: Watched) -> None:
    assert len(run.sent) == 2
    first, second = (set(sent.names) for sent in run.sent)
    assert any(".visual." in name for name in first) and not any(".visual.blocks." in name for name in second)
    assert second == {
        name for name in first if name not in {n for n, p in run.trainer.model.named_parameters() if not p.requires_grad}
    }


def test_vllm_holds_the_weights_that_were_trained(run: Watched) -> None:
    run.trainer.vllm_generation.sync_weights()
    theirs = dict(run.trainer.vllm_generation._vllm_model.named_parameters())
    layer = run.trainer._core.model.language_model.layers[0]
    joined = torch.cat([layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight, layer.self_attn.v_proj.weight])
    found = next(tensor for name, tensor in theirs.items() if name.endswith("layers.0.self_attn.qkv_proj.weight"))
    assert torch.equal(found, joined)
    fresh, _ = faces.load()
    assert not torch.equal(layer.self_attn.q_proj.weight, fresh.model.language_model.layers[0].self_attn.q_proj.weight)


def prompts(run: Watched) -> list[Prompt]:
    """Two of the run's prompts as the trainer has them."""
    collator = run.trainer.data_collator
    rows = collator([{"_row": row, "prompt": faces.ask(row), "images": [str(row)]} for row in range(2)])
    batch = rows[0]["_prompts"]
    return [Prompt(tuple(ids), (batch.pictures[image],)) for ids, (image,) in zip(batch.ids, batch.shown, strict=True)]


def test_placeholders_are_never_sampled(run: Watched) -> None:
    backend = run.trainer.vllm_generation
    token = run.trainer.processing_class.image_token_id
    pushed = {"logit_bias": {token: 100.0}}
    written = [ids for group in backend.complete(prompts(run), [4, 4], pushed) for ids in (one.ids for one in group)]
    assert len(written) == 8 and not {token} & {each for ids in written for each in ids}
    allowed = backend.complete(prompts(run)[:1], [1], pushed | {"bad_words": []})
    assert set(allowed[0][0].ids) == {token}, "the push alone would have them sampled"


def test_expanded_placeholders_are_noticed(run: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """What plain TRL sends: vLLM expands the placeholders that are expanded already."""

    def expanded(prompt: Prompt, image_token: int | None) -> dict[str, Any]:
        return vllm_prompt(prompt, image_token) | {"prompt_token_ids": list(prompt.ids)}

    one = prompts(run)[0]
    count = one.ids.count(run.trainer.processing_class.image_token_id)
    monkeypatch.setattr(vllm_backend, "vllm_prompt", expanded)
    with pytest.raises(InputError, match=f"{len(one.ids) + count - 1} tokens where the model sees {len(one.ids)}"):
        run.trainer.vllm_generation.complete([one], [1], {})


def test_savings_change_rounding_only(run: Watched, tmp_path: Path) -> None:
    """Plain TRL forms its weights in a pass of its own; the first step has the same completions, so the same loss."""
    plain = faces.trainer(tmp_path, freeze_vision=True, efficiency=Efficiency.none(), max_steps=1)
    seen = watch(plain)
    plain.train()
    plain.close_engine()
    assert faces.logged(plain, "completions/mean_length") == faces.logged(run.trainer, "completions/mean_length")[:1]
    for name in ("loss", "grad_norm"):
        assert faces.logged(plain, name) == pytest.approx(faces.logged(run.trainer, name)[:1], rel=1e-4), name
    ratio = "sampling/importance_sampling_ratio/mean"
    assert faces.logged(plain, ratio) == pytest.approx(faces.logged(run.trainer, ratio)[:1], abs=1e-4)
    assert [count for _, count in seen.requests] == [faces.GROUP] * 2, "prompts are sent once without the savings, too"


def test_a_large_distance_stops_the_run(tmp_path: Path) -> None:
    trainer = faces.trainer(tmp_path, options=VLLMOptions(logprob_gap=1e-12, enforce_eager=True))
    before = trainer.model.lm_head.weight.detach().clone()
    try:
        with pytest.raises(InputError, match=r"stage\.vllm\.logprob_gap=1e-12"):
            trainer.train()
        assert torch.equal(trainer.model.lm_head.weight, before), "it stops before the first update"
    finally:
        trainer.close_engine()


def test_several_iterations_of_refilled_batches(tmp_path: Path) -> None:
    """Old log-probabilities and weights of the first pass serve the second."""
    trainer = faces.trainer(tmp_path, num_iterations=2, max_steps=4, dynamic_sampling=2)
    try:
        trainer.train()
    finally:
        trainer.close_engine()
    assert trainer.state.global_step == 4
    assert len(faces.logged(trainer, "sampling/sampling_logp_difference/mean")) == 2, "measured once per generation"
    assert max(faces.logged(trainer, "sampling/sampling_logp_difference/mean")) < 1e-4


def test_adapters_arrive_merged(tmp_path: Path) -> None:
    """Only layers with adapters are sent again, and the distance stays small after the adapters have moved."""
    trainer = faces.trainer(tmp_path, lora=True, learning_rate=1e-2, max_steps=3)
    seen = watch(trainer)
    try:
        trainer.train()
    finally:
        trainer.close_engine()
    assert max(faces.logged(trainer, "sampling/sampling_logp_difference/mean")) < 1e-4
    first, second, third = (set(sent.names) for sent in seen.sent)
    assert any("visual" in name for name in first) and not any("visual" in name or "norm" in name for name in second)
    assert second == third and any(name.endswith("q_proj.weight") for name in second)


def test_the_stage_trains_and_evaluates_with_vllm(tmp_path: Path, face_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, where linear layers keep their weights: one engine for the rollouts, then one for the answers."""
    monkeypatch.setenv("FACIAL_R1_CACHE", str(face_cache))
    code = main(
        [
            "stage=grpo",
            *SMALL,
            "model.cold_start=false",
            "stage.max_steps=2",
            "stage.prompts_per_step=2",
            "stage.num_generations=4",
            "stage.max_completion_length=24",
            "stage.eval_rows=4",
            # The model has not learned the answer's form: no group has an advantage, and none would be forwarded.
            "stage.efficiency.skip_dead_groups=false",
            "stage.vllm.enabled=true",
            "stage.vllm.enforce_eager=true",
            "stage.vllm.gpu_memory_utilization=0.1",
            "generation=vllm",
            "generation.vllm.enforce_eager=true",
            "generation.vllm.gpu_memory_utilization=0.1",
            f"run_dir={tmp_path}/run",
        ]
    )
    assert code == 0, (tmp_path / "run" / "logs" / "rank0.log").read_text()[-3000:]
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    distances = [row[name] for row in rows for name in row if name.endswith("sampling_logp_difference/mean")]
    assert len(distances) == 2 and max(distances) < 1e-4
    assert len((tmp_path / "run" / "samples.jsonl").read_text().splitlines()) == 4
