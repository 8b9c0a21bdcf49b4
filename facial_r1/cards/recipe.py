"""The training recipe in a card: what each step of a lineage set, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facial_r1.cards.facts import Step, rows_used
from facial_r1.cards.markdown import table
from facial_r1.report.wording import stage_label


def recipe(step: Step, taken: int | None = None) -> str:
    """A table of what a training step set.

    Args:
        step: SFT or GRPO.
        taken: Optimizer steps that were taken, where that is known.
    """
    stage = step.settings
    if not stage:
        return "Its settings are not known: the folder of that run is gone."
    rows = [("rows", rows_used(step)), *(_grpo(step) if step.stage == "grpo" else _sft(stage))]
    rows += [("steps", f"{taken:,}" if taken is not None else _length(stage)), *_optimiser(stage), *_weights(step)]
    return table(("setting", "value"), [(name, value) for name, value in rows if value not in (None, "")])


def in_a_line(step: Step) -> str:
    """One ancestor as an item of a list."""
    settings = step.settings
    said = f"**{stage_label(step.stage)}** (`{step.name}`)"
    if not settings:
        return f"{said}: its settings are not known, the folder of that run is gone"
    about = [rows_used(step)]
    if step.stage in ("sft", "grpo"):
        about += [_length(settings), f"learning rate {_plain(settings.get('learning_rate'))}"]
    if step.stage == "grpo":
        about.append(f"rewards {_rewards(step.resolved)}")
    return f"{said}: {'; '.join(part for part in about if part)}"


def _grpo(step: Step) -> list[tuple[str, Any]]:
    stage = step.settings
    prompts, group = stage.get("prompts_per_step"), stage.get("num_generations")
    batch = f"{prompts} prompts x {group} answers" if prompts and group else None
    rows = [
        ("method", "GRPO: groups of answers to one prompt, scored by verifiable rewards"),
        ("rewards (weight)", _rewards(step.resolved)),
        ("a step", batch),
        ("longest answer", _unit(stage.get("max_completion_length"), "tokens")),
        ("sampling", f"temperature {stage.get('temperature')}, top_p {stage.get('top_p')}, top_k {stage.get('top_k')}"),
        ("loss", f"{stage.get('loss_type')}, rewards scaled by {stage.get('scale_rewards')}"),
        ("KL to the reference (beta)", stage.get("beta")),
        ("clipping (epsilon)", f"{stage.get('epsilon')} below, {stage.get('epsilon_high') or stage.get('epsilon')} above"),
    ]
    if (stage.get("dynamic_sampling") or {}).get("enabled"):
        rows.append(("dynamic sampling", f"on, at most {stage['dynamic_sampling'].get('max_rounds')} rounds"))
    if (stage.get("vllm") or {}).get("enabled"):
        rows.append(("sampler", f"vLLM, correction {stage['vllm'].get('correction')}"))
    return rows


def _sft(stage: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("method", "supervised fine-tuning, loss on the answer only"),
        ("rows a pass and rank", stage.get("per_device_batch_size")),
        ("passes a step", stage.get("gradient_accumulation")),
        ("rows again with their labels in the prompt", f"{stage['hinted']:.0%}" if stage.get("hinted") else None),
    ]


def _optimiser(stage: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("learning rate", f"{_plain(stage.get('learning_rate'))}, {stage.get('schedule')}, warm-up {stage.get('warmup')}"),
        ("weight decay", stage.get("weight_decay")),
        ("largest gradient norm", stage.get("max_grad_norm")),
    ]


def _weights(step: Step) -> list[tuple[str, Any]]:
    model, launch = step.resolved.get("model") or {}, step.resolved.get("launch") or {}
    lora = model.get("lora") or {}
    frozen = [part for part in ("vision", "projector") if model.get(f"freeze_{part}")]
    return [
        ("trained weights", f"LoRA, rank {lora.get('rank')}, alpha {lora.get('alpha')}, merged" if lora.get("enabled") else "all"
         + (f" but {' and '.join(frozen)}" if frozen else "")),
        ("pictures", picture_size(model)),
        ("ranks", f"{launch.get('processes')} ({launch.get('distributed')})" if launch.get("processes") else None),
        ("seed", step.resolved.get("seed")),
    ]  # fmt: skip


def picture_size(model: Mapping[str, Any]) -> str | None:
    """How large the model saw pictures, in words; None where nothing says."""
    size = model.get("image_size") or {}
    if size.get("mode") == "square":
        return f"resized to {size.get('side')} x {size.get('side')} pixels"
    if size.get("mode") == "budget" and size.get("max_pixels"):
        return f"at most {size['max_pixels']:,} pixels, their shape kept"
    return "the processor's own size" if size else None


def _rewards(resolved: Mapping[str, Any]) -> str:
    weights = (resolved.get("reward") or {}).get("weights") or {}
    return ", ".join(f"{name} ({weight:g})" for name, weight in weights.items() if weight) or "not known"


def _length(stage: Mapping[str, Any]) -> str:
    steps = stage.get("max_steps")
    return f"{steps:,} steps" if isinstance(steps, int) and steps > 0 else f"{stage.get('epochs')} epochs"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else "not known"


def _unit(value: Any, unit: str) -> str | None:
    return None if value is None else f"{value} {unit}"
