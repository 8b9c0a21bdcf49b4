"""GRPO with verifiable rewards: our rewards, prompts and group-aware trainer, put together for one job."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from PIL import Image
from transformers import TrainerCallback
from trl import GRPOConfig

from facial_r1 import rewards
from facial_r1.config.schema import GRPO, Job, Reward
from facial_r1.disk import writing
from facial_r1.errors import InputError
from facial_r1.generation.special_tokens import end_tokens
from facial_r1.generation.vllm_inputs import require_vllm
from facial_r1.models.thinker import part_of_whole
from facial_r1.prompts import parse
from facial_r1.prompts.open_vocabulary import is_formatted
from facial_r1.rewards.rarity import row_weights
from facial_r1.training.arguments import shard_on_cpu, shared_arguments
from facial_r1.training.efficiency import Efficiency
from facial_r1.training.fsdp import check_sharded
from facial_r1.training.group_grpo import GroupGRPOTrainer
from facial_r1.training.vllm_backend import VLLMOptions


@dataclass(frozen=True)
class Row:
    """One GRPO prompt: chat messages, pictures, the record its completions are scored against, and the files of clips and sounds."""

    messages: list[dict[str, Any]]
    images: tuple[str, ...]
    record: Mapping[str, Any]
    videos: tuple[str, ...] = ()
    audios: tuple[str, ...] = ()


RewardFunction = Callable[..., list[float | None]]


def reward_functions(
    reward: Reward, records: Sequence[Mapping[str, Any]], options: Mapping[str, Mapping[str, Any]], ends: Collection[int]
) -> list[RewardFunction]:
    """One TRL reward function for each weighted reward, named after it, in the order of `reward.weights`; weights: `reward_weights`.

    Where `reward.limit` can bind, a last one is added, ``limit``: what has to be added to the sum to clamp it. TRL sums rewards
    itself, and this way each is still logged as it is.

    Args:
        reward: weights; a reward of weight 0 is computed and logged, and does not train.
        records: what the column `row` of the training set points into.
        options: extra keyword arguments per reward name (vocabulary and the like).
        ends: token ids that end a completion; one that ends otherwise was cut off.
    """

    latest: dict[str, list[float | None]] = {}
    bare = any(one.get("output") == "direct" for one in options.values())

    def make(name: str, first: bool) -> RewardFunction:
        def function(completions: list[Any], row: list[int], **kwargs: Any) -> list[float | None]:
            texts = [turn[0]["content"] if isinstance(turn, list) else turn for turn in completions]
            found = [records[index] for index in row]
            if first:
                _log_batch(texts, row, kwargs, ends, bare)
            latest[name] = rewards.score(name, texts, found, **options.get(name, {}))
            return latest[name]

        function.__name__ = name
        return function

    def limit(**kwargs: Any) -> list[float | None]:
        sums, clamped = (rewards.combine(latest, reward.weights, bound) for bound in (None, reward.limit))
        return [None if a is None or b is None else b - a for a, b in zip(sums, clamped, strict=True)]

    functions = [make(name, index == 0) for index, name in enumerate(reward.weights)]
    return [*functions, limit] if rewards.can_exceed(reward.weights, reward.limit) else functions


def reward_weights(reward: Reward) -> list[float]:
    """The weights of `reward_functions`, in their order."""
    weights = list(reward.weights.values())
    return [*weights, 1.0] if rewards.can_exceed(reward.weights, reward.limit) else weights


def _log_batch(texts: list[str], row: list[int], kwargs: Mapping[str, Any], ends: Collection[int], bare: bool = False) -> None:
    """Note what trackers show of a batch; with `bare`, answers are lists of words without tags."""
    valid = [is_formatted(text, "direct") if bare else parse(text).valid for text in texts]
    kwargs["log_metric"]("completions/parse_failures", sum(not one for one in valid) / len(valid))
    kwargs["log_extra"]("row", list(row))
    kwargs["log_extra"]("length", [len(ids) for ids in kwargs["completion_ids"]])
    kwargs["log_extra"]("truncated", [ids[-1] not in ends for ids in kwargs["completion_ids"]])


def grpo_config(job: Job, stage: GRPO, world: int, checkpoints: Path, weights: Sequence[float]) -> GRPOConfig:
    """TRL's arguments for a stage. Batch arithmetic: `stage.accumulation(world)` passes make one optimizer step."""
    accumulation = stage.accumulation(world)
    return GRPOConfig(
        **shared_arguments(job, stage, checkpoints, stage.batch_size(world), accumulation),
        num_generations=stage.num_generations,
        max_completion_length=stage.max_completion_length,
        steps_per_generation=accumulation,
        temperature=stage.temperature,
        top_p=stage.top_p,
        top_k=stage.top_k,
        min_p=stage.min_p or None,
        repetition_penalty=stage.repetition_penalty,
        beta=stage.beta,
        epsilon=stage.epsilon,
        epsilon_high=stage.epsilon_high,
        num_iterations=stage.num_iterations,
        loss_type=stage.loss_type,
        scale_rewards=stage.scale_rewards,
        importance_sampling_level=stage.importance_sampling_level,
        mask_truncated_completions=stage.mask_truncated_completions,
        reward_weights=list(weights),
        log_completions=False,
        disable_dropout=False,
        **vllm_arguments(stage, job.model.max_position),
    )


def vllm_arguments(stage: GRPO, max_position: int | None) -> dict[str, Any]:
    """TRL's arguments for `stage.vllm`.

    Raises:
        InputError: vLLM is asked for and not installed.
    """
    chosen = stage.vllm
    if not chosen.enabled:
        return {"use_vllm": False}
    require_vllm("stage.vllm.enabled=true")
    corrected = chosen.correction != "none"
    return {
        "use_vllm": True,
        "vllm_mode": chosen.mode,
        "vllm_server_base_url": chosen.server_url,
        "vllm_gpu_memory_utilization": chosen.gpu_memory_utilization,
        "vllm_tensor_parallel_size": chosen.tensor_parallel,
        "vllm_max_model_length": chosen.max_model_length or max_position,
        "vllm_enable_sleep_mode": chosen.sleep,
        "vllm_importance_sampling_correction": corrected,
        **({"vllm_importance_sampling_mode": chosen.correction} if corrected else {}),
    }


def build_trainer(
    job: Job,
    stage: GRPO,
    world: int,
    model: Any,
    processor: Any,
    rows: Sequence[Row],
    open_image: Callable[[str], Image.Image],
    reward_options: Mapping[str, Mapping[str, Any]],
    checkpoints: Path,
) -> GroupGRPOTrainer:
    """The group-aware trainer over `rows`, ready to `train()`.

    Raises:
        InputError: A reference model is needed, and TRL, which loads it, cannot take it out of the checkpoint.
    """
    if stage.beta and part_of_whole(model):  # adapters are switched off for the reference, nothing is loaded
        raise InputError(
            f"stage.beta={stage.beta:g} compares with the model as it was, which is loaded a second time, and {job.model.source} holds more than "
            "the thinker. Start from a saved thinker (init_from=<a run of stage=sft>), train adapters (model.lora.enabled=true), or set stage.beta=0"
        )
    table = {
        "prompt": [row.messages for row in rows],
        "images": [list(row.images) for row in rows],
        "row": list(range(len(rows))),
    }
    for name in ("videos", "audios"):
        if any(getattr(row, name) for row in rows):
            table[name] = [list(getattr(row, name)) for row in rows]
    records = [row.record for row in rows]
    switches = stage.efficiency
    arguments = grpo_config(job, stage, world, checkpoints, reward_weights(job.reward))
    shard_on_cpu(job)
    trainer = GroupGRPOTrainer(
        model=model,
        reward_funcs=reward_functions(job.reward, records, reward_options, end_tokens(model, processor.tokenizer)),
        args=arguments,
        train_dataset=Dataset.from_dict(table),
        processing_class=processor,
        image_loader=open_image,
        vllm=VLLMOptions(logprob_gap=stage.vllm.logprob_gap, enforce_eager=stage.vllm.enforce_eager),
        dynamic_sampling=stage.dynamic_sampling.max_rounds if stage.dynamic_sampling.enabled else None,
        efficiency=Efficiency(**{name: getattr(switches, name) for name in vars(switches) if not name.startswith("_")}),
    )
    check_sharded(job, trainer)
    if stage.rarity_weighting == "per_sample":
        trainer.row_weights = row_weights([record.get("AUs") for record in records])
    trainer.reasoning_rewards = frozenset(stage.reasoning_rewards)
    return trainer


class RolloutCallback(TrainerCallback):
    """Writes completions with their rewards, advantages and record ids as parquet, every so many steps."""

    def __init__(
        self, trainer: Any, rows: Sequence[Row], folder: Path, every: int, shown: Callable[[int, str, list[dict[str, Any]]], None]
    ) -> None:
        self._trainer, self._rows, self._folder, self._every, self._shown = trainer, rows, folder, every, shown

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        first = state.global_step == 1
        if not state.is_world_process_zero or not (
            first or state.global_step % self._every == 0 or state.global_step == state.max_steps
        ):
            return
        table = rollout_rows(self._trainer._logs, self._rows, args.num_generations, args.reward_weights, state.global_step)
        if not table:
            return
        target = self._folder / f"step_{state.global_step:08d}.parquet"
        partial = target.with_suffix(".partial")
        with writing(f"rollouts/{target.name}", self._folder.parent):
            self._folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(table), partial)
            partial.replace(target)
        self._shown(state.global_step, "rollouts", table[: 4 * args.num_generations])


def rollout_rows(
    logs: Mapping[str, Any], rows: Sequence[Row], group_size: int, weights: Sequence[float], step: int
) -> list[dict[str, Any]]:
    """The last generation batch as plain rows, groups in order. `logs` is TRL's `trainer._logs`."""
    indexes = list(logs["extra"].get("row", []))
    if not indexes:
        return []
    lengths, truncated = list(logs["extra"]["length"]), list(logs["extra"]["truncated"])
    out = []
    for position, index in enumerate(indexes):
        completion = logs["completion"][position]
        row = rows[index]
        values = {f"reward/{name}": _none(scores[position]) for name, scores in logs["rewards"].items()}
        given = [(value, weight) for value, weight in zip(values.values(), weights, strict=True) if value is not None]
        out.append(
            {
                "step": step,
                "group": position // group_size,
                "record_id": str(row.record["id"]),
                "image": row.images[0] if row.images else "",
                "AUs": row.record.get("AUs"),
                "labels": row.record.get("labels"),
                "prompt": _text(row.messages),
                "completion": completion[0]["content"] if isinstance(completion, list) else completion,
                "reward": sum(value * weight for value, weight in given) if given else None,
                **values,
                "advantage": float(logs["advantages"][position]),
                "length": int(lengths[position]),
                "truncated": bool(truncated[position]),
            }
        )
    return out


def _none(value: float) -> float | None:
    return None if value != value else float(value)


def _text(messages: Sequence[Mapping[str, Any]]) -> str:
    parts = messages[-1]["content"]
    return parts if isinstance(parts, str) else "".join(part.get("text", "") for part in parts)
