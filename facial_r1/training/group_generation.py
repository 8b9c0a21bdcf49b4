"""Rollouts of a group: images loaded once, prompts prefilled once, micro-batches that keep groups whole."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import IterableDataset
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from trl.data_utils import is_conversational, prepare_multimodal_messages
from trl.extras.profiling import profiling_context
from trl.models import unwrap_model_for_generation

from facial_r1.generation import prefix_decode
from facial_r1.generation.draws import seed_of, uniform
from facial_r1.generation.prompt_batch import PromptBatch, without_empty_fields
from facial_r1.models.media import Item
from facial_r1.training import fsdp, log_probs, span_credit
from facial_r1.training.group_base import Scope, SharedWork
from facial_r1.training.load_once import PROMPT, PROMPTS, ROW, GroupSampler, LoadOnceDataset, is_stub, row_images
from facial_r1.training.micro_batches import cut, equal_groups, group_order, total_reward
from facial_r1.training.rollout import Rollout
from facial_r1.training.row_weights import weighted_advantages

#: Losses in which the rows of an optimizer step may be distributed over its micro-batches at will.
ORDER_FREE_LOSSES = ("grpo", "dapo", "dr_grpo", "cispo", "sapo", "vespo", "luspo")
#: Keys of TRL's batch that the rollout replaces.
_REPLACED = ("pixel_values", "image_grid_thw", "mm_token_type_ids", "num_images")


class SharedGeneration(SharedWork):
    """The part of the trainer that turns rows of the dataset into buffered micro-batches."""

    #: For which generation numbers were drawn last, and how often before: dynamic sampling asks several times.
    _drawn: tuple[bool, int] | None = None
    _calls = 0

    def _get_train_sampler(self, dataset: Any = None) -> Sampler:
        sampler = GroupSampler(
            data_source=self.train_dataset if dataset is None else dataset,
            mini_repeat_count=self.num_generations,
            batch_size=self.args.generation_batch_size // self.num_generations,
            repeat_count=self.num_iterations * self.args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=self.args.seed,
        )
        sampler.stubs = self._on("load_once")
        if self._train_sampler is not None:
            sampler.set_epoch(self._train_sampler.epoch)
        self._train_sampler = sampler
        return sampler

    def _get_dataloader(self, dataset: Any, *args: Any, **kwargs: Any) -> DataLoader:
        if self._on("load_once") and not isinstance(dataset, IterableDataset):
            dataset = LoadOnceDataset(dataset)
        return super()._get_dataloader(dataset, *args, **kwargs)

    def _fetched(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows with their content, also when the data loader sent stubs because the buffer was expected to be full."""
        if self._on("load_once") and is_stub(rows[0]):
            rows = self.data_collator(LoadOnceDataset(self.train_dataset).__getitems__([row[ROW] for row in rows]))
        return rows

    def _decoded(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row with images in place of paths; without `load_once` every copy of a row is decoded, as with TRL."""
        loader = self.image_loader
        if loader is None or not any(isinstance(image, str) for image in row_images(row)):
            return row
        images = [loader(image) if isinstance(image, str) else image for image in row_images(row)]
        return {**row, "images": images} if "images" in row else {**row, "image": images[0]}

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if not self._shares:
            return super()._prepare_inputs(generation_batch)
        if not self.model.training:
            return self._generate_and_score_completions(generation_batch)
        every = self.args.steps_per_generation * self.num_iterations
        if self._step % every == 0 or self._buffered_inputs is None:
            batch = self._generate_and_score_completions(self._fetched(generation_batch))
            self._buffered_inputs = cut(batch, self._row_order(batch), self.args.steps_per_generation)
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    def _row_order(self, batch: dict[str, Any]) -> Tensor:
        rows = len(batch["advantages"])
        wants_groups = self._on("trim_padding") or self._on("share_prompt") or self._on("share_vision")
        by_batch = self._entropy_bonus_enabled or self.top_entropy_quantile < 1.0  # both look at one micro-batch at a time
        if not wants_groups or by_batch or self.loss_type not in ORDER_FREE_LOSSES:
            return torch.randperm(rows).to(batch["advantages"].device)
        micro = rows // self.args.steps_per_generation
        accumulation = self.args.gradient_accumulation_steps
        whole = self.args.steps_per_generation % accumulation == 0 or self.args.steps_per_generation < accumulation
        return group_order(
            batch["row_prompt"],
            batch["completion_mask"].sum(1),
            batch["dead"],
            window=micro * min(accumulation, self.args.steps_per_generation) if whole else micro,
        )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if not self._on("load_once"):
            inputs = [self._decoded(row) for row in inputs]
        if not self._shares:
            batch = super()._generate_and_score_completions(inputs)
            self._credit(batch)
            self._weigh(batch, inputs)
            return batch
        mode = "train" if self.model.training else "eval"
        size = self.num_generations if mode == "train" else self.num_generations_eval
        inputs = self._fetched(inputs)
        self._pending = None
        if self._on("load_once"):
            self._pending = Rollout.from_prompts(inputs[0][PROMPTS], self.accelerator.device)
            self._pictures = inputs[0][PROMPTS].pictures
            prompt_of_row = [row[PROMPT] for row in inputs]
        else:
            first = self.accelerator.process_index * len(inputs)
            prompt_of_row = [(first + row) // size - first // size for row in range(len(inputs))]
        self._prompt_of_row = prompt_of_row
        self._batch_rows = [{key: row[key] for key in row if key not in (ROW, PROMPT, PROMPTS)} for row in inputs]
        rows = self._batch_rows
        if self._on("load_once"):
            # TRL sees text: what it needs of the images is in the rollout.
            rows = [{key: row[key] for key in row if key not in ("image", "images")} for row in rows]
        self._scope = None
        try:
            batch = super()._generate_and_score_completions(rows)
            rollout = self._pending
            assert rollout is not None
            batch = {key: value for key, value in batch.items() if key not in _REPLACED}
            if self._on("skip_old_logprobs"):
                batch.pop("old_per_token_logps", None)
            self._mark_dead(batch, size)
            self._credit(batch)
            self._weigh(batch, self._batch_rows)
            batch["rollout"] = rollout
            batch["row_prompt"] = torch.tensor(prompt_of_row, device=batch["advantages"].device)
            self._log_images()
        finally:
            self._scope = self._pending = self._batch_rewards = None
            self._batch_rows, self._pictures = [], ()
        return batch

    def _credit(self, batch: dict[str, Any]) -> None:
        """Give tokens outside of the reasoning the advantage without the rewards that are credited to the reasoning."""
        if not self.reasoning_rewards or not self.model.training:
            return
        assert self._batch_rewards is not None
        credited = [name in self.reasoning_rewards for name in self.reward_func_names]
        everywhere = span_credit.outside_advantages(
            self._batch_rewards, self.reward_weights, credited, self.num_generations, self.scale_rewards
        )
        inside = batch["advantages"]
        start = self.accelerator.process_index * len(inside)
        outside = everywhere[start : start + len(inside)].to(inside)
        reasoning = span_credit.reasoning_tokens(self._tokenizer, batch["completion_ids"], batch["completion_mask"])
        batch["advantages"] = span_credit.credited_advantages(inside, outside, reasoning)
        if "dead" in batch:
            batch["dead"] = batch["dead"] & (outside == 0)

    def _weigh(self, batch: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """Scale advantages by `row_weights`, which is the same as weighing each row's policy-gradient loss."""
        if self.row_weights is not None and self.model.training:
            batch["advantages"] = weighted_advantages(batch["advantages"], [row["row"] for row in rows], self.row_weights)

    def _mark_dead(self, batch: dict[str, Any], size: int) -> None:
        """Add `dead`: rows whose advantage is zero; rounding errors of groups with equal rewards are set to zero."""
        advantages = batch["advantages"]
        dead = torch.zeros_like(advantages, dtype=torch.bool)
        if self._on("skip_dead_groups"):
            if self.multi_objective_aggregation == "sum_then_normalize" and self._batch_rewards is not None:
                rewards = total_reward(self._batch_rewards, self.reward_weights)
                start = self.accelerator.process_index * len(advantages)
                equal = equal_groups(rewards, size)[start : start + len(advantages)]
                advantages = advantages.masked_fill(equal, 0.0)
                batch["advantages"] = advantages
            dead = advantages == 0
        batch["dead"] = dead

    def _log_images(self) -> None:
        """Keep images for the completions table, which is the only reader, and only when one is written."""
        if not (self._on("load_once") and self.log_completions and self.log_multimodal):
            return
        images = [row_images(row) or None for row in self._batch_rows]
        if any(images):
            self._logs["images"].extend(gather_object(images))

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], Any, dict[str, Any]]:
        if not self._shares:
            return super()._tokenize_prompts(prompts)
        images: Any = None
        fields: dict[str, Any] = {}
        if self._pending is None:
            prompt_ids, images, fields = super()._tokenize_prompts(prompts)
            self._pending = self._rollout_from_rows(prompt_ids, images, fields)
        else:
            ids = [tokens.tolist() for tokens in self._pending.ids]
            prompt_ids = [ids[prompt] for prompt in self._prompt_of_row]
        skip_next = self._old_pass_follows() or self._weighs_in_training()
        self._scope = Scope(self._pending, self._prompt_of_row, skip_next=skip_next)
        return prompt_ids, images, fields

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: Any,
        multimodal_fields: dict[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> tuple[list[list[int]], Any]:
        if self._pending is not None and self._on("share_prefill"):
            return self._decode(self._pending), None
        if self._pending is not None and self._on("load_once"):
            multimodal_fields = self._fields_of_rows(prompt_ids)
        return super()._generate_single_turn(prompt_ids, images, multimodal_fields, *args, **kwargs)

    def _decode(self, rollout: Rollout) -> list[list[int]]:
        order = {prompt: place for place, prompt in enumerate(dict.fromkeys(self._prompt_of_row))}
        counts = [self._prompt_of_row.count(prompt) for prompt in order]
        prompts = rollout.prompts()
        chosen = PromptBatch(
            [prompts.ids[prompt] for prompt in order], [prompts.shown[prompt] for prompt in order], prompts.items
        )
        vision = self._vision(self.model)
        with (
            profiling_context(self, "prefix_decode"),
            unwrap_model_for_generation(
                self.model_wrapped,
                self.accelerator,
                gather_deepspeed3_params=self.args.ds3_gather_for_generation,
                gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
            ) as model,
            fsdp.whole(model),
            torch.no_grad(),
            self.accelerator.autocast(),
        ):
            completions = prefix_decode.decode(
                model,
                chosen,
                counts,
                self._sampling(),
                uniform=self._draws(list(order)),
                vision_arguments=vision.arguments(rollout, rollout.shows(list(order))),
            )
        taken = [iter(group) for group in completions]
        return [next(taken[order[prompt]]) for prompt in self._prompt_of_row]

    def _draws(self, prompts: list[int]) -> Tensor | None:
        """Numbers that choose the tokens, for the rows of these prompts one after the other.

        They follow from the seed, the generation and the place of a row among those of all ranks, so that a run samples the same
        answers however many ranks share a step.
        """
        if not self.temperature:
            return None
        generation = (self.model.training, self._step // (self.args.steps_per_generation * self.num_iterations))
        self._calls = self._calls + 1 if generation == self._drawn else 0
        self._drawn = generation
        first = self.accelerator.process_index * len(self._prompt_of_row)
        rows = [first + row for prompt in prompts for row, own in enumerate(self._prompt_of_row) if own == prompt]
        return uniform((seed_of(self.args.seed, *generation, self._calls, row) for row in rows), self.max_completion_length)

    def _sampling(self) -> prefix_decode.Sampling:
        return prefix_decode.Sampling(
            max_new_tokens=self.max_completion_length,
            eos_token_ids=tuple(self.eos_token_ids),
            pad_token_id=self._tokenizer.pad_token_id,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            suppress_tokens=self._vision_tokens,
        )

    def _rollout_from_rows(self, prompt_ids: list[list[int]], images: Any, fields: dict[str, Any]) -> Rollout:
        """The distinct prompts of rows that TRL has prepared one by one."""
        counts = [len(row or []) for row in images] if images is not None else [0] * len(prompt_ids)
        starts = [sum(counts[:row]) for row in range(len(counts))]
        pictures: list[Item] = []
        if "pixel_values" in fields:
            grids = torch.as_tensor(fields["image_grid_thw"])
            patches = torch.as_tensor(fields["pixel_values"]).split(grids.prod(-1).tolist())
            pictures = [Item("image", values, grid) for values, grid in zip(patches, grids, strict=True)]
        ids: list[list[int]] = []
        index: list[tuple[int, ...]] = []
        kept: list[int] = []
        for prompt in dict.fromkeys(self._prompt_of_row):
            row = self._prompt_of_row.index(prompt)
            ids.append(prompt_ids[row])
            index.append(tuple(range(len(kept), len(kept) + counts[row])))
            kept.extend(range(starts[row], starts[row] + counts[row]))
        return Rollout.from_prompts(PromptBatch(ids, index, tuple(pictures[image] for image in kept)), self.accelerator.device)

    def _fields_of_rows(self, prompt_ids: list[list[int]]) -> dict[str, Any]:
        """What TRL's generation expects of the processor, one copy per row."""
        assert self._pending is not None
        shown = log_probs.Vision(share=False).arguments(self._pending, self._pending.shows(self._prompt_of_row))
        if not shown:
            return {}
        image_token = self._core.config.image_token_id
        return shown | {"mm_token_type_ids": [[int(token == image_token) for token in ids] for ids in prompt_ids]}

    def _seen_by_rewards(self, inputs: Any, prompts: Any) -> tuple[Any, Any]:
        if self._shares and self._on("load_once"):
            inputs = self._batch_rows
            if is_conversational({"prompt": prompts[0]}):
                prompts = [
                    prepare_multimodal_messages(without_empty_fields(row["prompt"]), images=row_images(row)) for row in inputs
                ]
        return inputs, prompts

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        inputs, prompts = self._seen_by_rewards(inputs, prompts)
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._batch_rewards = rewards
        return rewards
