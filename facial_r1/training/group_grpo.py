"""A `trl.GRPOTrainer` that never does the same work twice for the completions of one prompt.

`GroupGRPOTrainer` overrides methods of TRL 1.16.0 and leaves sampling, rewards, advantages and the loss to them. What
it changes is how the inputs of those methods come about: images are prepared once per generation batch (`load_once`),
prompts are prefilled once (`generation.prefix_decode`), and log-probabilities are computed with every prompt forwarded
once per group (`shared_prompt`) and every image encoded once (`vision_reuse`). A test compares the source of each
overridden method with the one that was read when this was written.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.logging import get_logger
from accelerate.utils import DistributedType, gather_object
from datasets import IterableDataset
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from trl import GRPOTrainer
from trl.data_utils import is_conversational, prepare_multimodal_messages
from trl.extras.profiling import profiling_context
from trl.models import unwrap_model_for_generation

from facial_r1.generation import prefix_decode
from facial_r1.generation.prompt_batch import ImageLoader, PromptBatch, supported, without_empty_fields
from facial_r1.training import log_probs, resume, shared_prompt, vision_reuse
from facial_r1.training.efficiency import Efficiency
from facial_r1.training.load_once import (
    PROMPT,
    PROMPTS,
    ROW,
    GroupSampler,
    LoadOnceDataset,
    PromptCollator,
    is_stub,
    row_images,
)
from facial_r1.training.micro_batches import cut, equal_groups, group_order
from facial_r1.training.rollout import Rollout

logger = get_logger(__name__)

#: Never sampled: a placeholder would ask the next forward for features of an image that is not there, and the other
#: vision tokens only frame placeholders.
VISION_TOKENS = (
    "<|image_pad|>",
    "<|video_pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
)
#: Losses in which the rows of an optimizer step may be distributed over its micro-batches at will.
ORDER_FREE_LOSSES = ("grpo", "dapo", "dr_grpo", "cispo", "sapo", "vespo", "luspo")
#: Keys of TRL's batch that the rollout replaces.
_REPLACED = ("pixel_values", "image_grid_thw", "mm_token_type_ids", "num_images")


@dataclass
class _Scope:
    """What the log-probability pass has to know beyond its arguments.

    Attributes:
        rollout: Prompts and images of the generation batch.
        prompt: Index of each row's prompt.
        dead: Rows that need not be computed, shape (rows,), or None.
        old: Old log-probabilities, which stand in for those of dead rows, shape (rows, T), or None.
        skip_next: Whether the next pass is TRL's pass for old log-probabilities and is not needed.
    """

    rollout: Rollout
    prompt: list[int]
    dead: Tensor | None = None
    old: Tensor | None = None
    skip_next: bool = False


class GroupGRPOTrainer(GRPOTrainer):
    """Drop-in `trl.GRPOTrainer` that shares the work of a group; results differ from TRL's by rounding only.

    Rows have the columns `prompt` (chat messages), `images` (a list of images or paths) or `image`, and any others for
    the reward functions, as with TRL. Without column the row is text.

    Args:
        *args: As `trl.GRPOTrainer`.
        efficiency: Which savings to use; all by default, `Efficiency.none()` is plain TRL.
        image_loader: Decodes a path found in `images`; called in the data loader's workers.
        **kwargs: As `trl.GRPOTrainer`.
    """

    def __init__(
        self,
        *args: Any,
        efficiency: Efficiency | None = None,
        image_loader: ImageLoader | None = None,
        **kwargs: Any,
    ) -> None:
        self.efficiency = efficiency or Efficiency()
        self.image_loader = image_loader
        self._scope: _Scope | None = None
        self._captured: Tensor | None = None
        self._batch_rows: list[dict[str, Any]] = []
        self._batch_rewards: Tensor | None = None
        self._pending: Rollout | None = None
        self._train_sampler: GroupSampler | None = None
        self._reference_tower: str | None = None
        self._prompt_of_row: list[int] = []
        super().__init__(*args, **kwargs)
        self._report = self.efficiency.resolve(self._obstacles())
        self._install()

    # ------------------------------------------------------------------------------------------------ what is on

    def efficiency_report(self) -> dict[str, str]:
        """For each switch "on" or "off: reason"."""
        return dict(self._report)

    def _on(self, switch: str) -> bool:
        return self._report[switch] == "on"

    @property
    def _core(self) -> Any:
        """The transformers model inside DDP and PEFT wrappers."""
        return prefix_decode.base_model(self.accelerator.unwrap_model(self.model))

    def _obstacles(self) -> dict[str, str | None]:
        args = self.args
        core = prefix_decode.base_model(self.model)
        backbone = getattr(core, "model", None)
        decoder = getattr(backbone, "language_model", None)
        common: str | None = None
        if not isinstance(backbone, nn.Module) or not vision_reuse.supports(backbone):
            names = ", ".join(vision_reuse.SUPPORTED_MODELS)
            common = f"architecture {type(core).__name__} (supported backbones: {names}); plain TRL is used"
        elif not supported(self.processing_class):
            common = f"processor {type(self.processing_class).__name__}; plain TRL is used"
        elif self.tools or self.environment_factories is not None or self.rollout_func is not None:
            common = (
                "tools, environments and rollout functions change prompts while generating; plain TRL is used"
            )
        elif self.aux_loss_enabled:
            common = "the router's auxiliary loss depends on the batch layout; plain TRL is used"
        elif self.use_vllm:
            common = "vLLM generates; plain TRL is used"
        elif self.is_fsdp_enabled:
            common = "FSDP is not supported; plain TRL is used"
        if common:
            return dict.fromkeys(self._all_switches(), common)

        obstacles: dict[str, str | None] = dict.fromkeys(self._all_switches())
        if isinstance(self.train_dataset, IterableDataset) or isinstance(self.eval_dataset, IterableDataset):
            obstacles["load_once"] = "an iterable dataset has no row numbers"
        elif args.remove_unused_columns:
            obstacles["load_once"] = "remove_unused_columns drops the row numbers"
        obstacles["share_prompt"] = shared_prompt.unsupported_reason(decoder)
        obstacles["share_prefill"] = (
            prefix_decode.unsupported_reason(self.model) or self._generation_obstacle()
        )
        if self.beta != 0.0:
            obstacles["skip_dead_groups"] = (
                "beta != 0: completions without advantage still carry the KL gradient"
            )
        elif self._entropy_bonus_enabled:
            obstacles["skip_dead_groups"] = "the entropy bonus acts on completions without advantage, too"
        elif self.top_entropy_quantile < 1.0:
            obstacles["skip_dead_groups"] = "top_entropy_quantile ranks the tokens of all completions"
        cycle = args.steps_per_generation * self.num_iterations
        if (
            args.steps_per_generation > args.gradient_accumulation_steps
            or cycle % args.gradient_accumulation_steps
        ):
            obstacles["skip_old_logprobs"] = (
                "a generation batch spans several optimizer steps before it is seen a second time"
            )
        return obstacles

    def _all_switches(self) -> list[str]:
        return list(Efficiency().resolve({}))

    def _generation_obstacle(self) -> str | None:
        args = self.args
        if args.generation_kwargs:
            return f"generation_kwargs {sorted(args.generation_kwargs)} are known to model.generate only"
        if args.cache_implementation is not None:
            return f"cache_implementation {args.cache_implementation}"
        if self.use_transformers_continuous_batching:
            return "continuous batching"
        if self._dist.is_zero3 and not args.ds3_gather_for_generation:
            return "ds3_gather_for_generation=False: all ranks must step through model.generate together"
        return None

    def _install(self) -> None:
        """Tell the user what is off, and prepare the models for shared forwards."""
        for switch, state in self._report.items():
            if state.startswith("off: ") and state != "off: switched off":
                logger.warning(f"efficiency.{switch} is {state}")
        never = sorted({token for name in VISION_TOKENS if (token := self._token(name)) is not None})
        self._vision_tokens = tuple(never)
        if never and not self.use_vllm and not (self.args.generation_kwargs or {}).get("suppress_tokens"):
            self.generation_kwargs["suppress_tokens"] = never
            self.generation_config.suppress_tokens = never
        self._shares = any(self._on(switch) for switch in self._report)
        if not self._shares:
            return
        references = [] if self.ref_model is None else [self.accelerator.unwrap_model(self.ref_model)]
        for core in [self._core, *references]:
            if self._on("share_vision"):
                vision_reuse.install(core.model)
            if self._on("share_prompt"):
                shared_prompt.install(core.model.language_model)
        if self._on("load_once"):
            self.data_collator = PromptCollator(
                self.processing_class, self.image_loader, self.chat_template_kwargs
            )

    def _token(self, name: str) -> int | None:
        token = self._tokenizer.convert_tokens_to_ids(name)
        return None if token is None or token == self._tokenizer.unk_token_id else token

    # ------------------------------------------------------------------------------------------------ loading

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
            rows = self.data_collator(
                LoadOnceDataset(self.train_dataset).__getitems__([row[ROW] for row in rows])
            )
        return rows

    def _decoded(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row with images in place of paths; without `load_once` every copy of a row is decoded, as with TRL."""
        loader = self.image_loader
        if loader is None or not any(isinstance(image, str) for image in row_images(row)):
            return row
        images = [loader(image) if isinstance(image, str) else image for image in row_images(row)]
        return {**row, "images": images} if "images" in row else {**row, "image": images[0]}

    # ------------------------------------------------------------------------------------------------ generation

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
        if not wants_groups or self.loss_type not in ORDER_FREE_LOSSES or self._entropy_bonus_enabled:
            return torch.randperm(rows).to(batch["advantages"].device)
        micro = rows // self.args.steps_per_generation
        accumulation = self.args.gradient_accumulation_steps
        whole = (
            self.args.steps_per_generation % accumulation == 0
            or self.args.steps_per_generation < accumulation
        )
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
            return super()._generate_and_score_completions(inputs)
        mode = "train" if self.model.training else "eval"
        size = self.num_generations if mode == "train" else self.num_generations_eval
        inputs = self._fetched(inputs)
        self._pending = None
        if self._on("load_once"):
            self._pending = Rollout.from_prompts(inputs[0][PROMPTS], self.accelerator.device)
            prompt_of_row = [row[PROMPT] for row in inputs]
        else:
            first = self.accelerator.process_index * len(inputs)
            prompt_of_row = [(first + row) // size - first // size for row in range(len(inputs))]
        self._prompt_of_row = prompt_of_row
        self._batch_rows = [
            {key: row[key] for key in row if key not in (ROW, PROMPT, PROMPTS)} for row in inputs
        ]
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
            batch["rollout"] = rollout
            batch["row_prompt"] = torch.tensor(prompt_of_row, device=batch["advantages"].device)
            self._log_images()
        finally:
            self._scope = self._pending = self._batch_rewards = None
            self._batch_rows = []
        return batch

    def _mark_dead(self, batch: dict[str, Any], size: int) -> None:
        """Add `dead`: rows whose advantage is zero; rounding errors of groups with equal rewards are set to zero."""
        advantages = batch["advantages"]
        dead = torch.zeros_like(advantages, dtype=torch.bool)
        if self._on("skip_dead_groups"):
            if self.multi_objective_aggregation == "sum_then_normalize" and self._batch_rewards is not None:
                weights = self.reward_weights.to(advantages.device)
                rewards = (self._batch_rewards * weights).nansum(1)
                rewards[self._batch_rewards.isnan().all(1)] = torch.nan
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
        self._scope = _Scope(self._pending, self._prompt_of_row, skip_next=self._old_pass_follows())
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
            [prompts.ids[prompt] for prompt in order],
            [prompts.image_index[prompt] for prompt in order],
            prompts.pixel_values,
            prompts.image_grid_thw,
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
            torch.no_grad(),
            self.accelerator.autocast(),
        ):
            completions = prefix_decode.decode(
                model,
                chosen,
                counts,
                self._sampling(),
                vision_arguments=vision.arguments(rollout, rollout.images(list(order))),
            )
        taken = [iter(group) for group in completions]
        return [next(taken[order[prompt]]) for prompt in self._prompt_of_row]

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
        device = self.accelerator.device
        patches: list[Tensor] = []
        grids: Tensor | None = None
        if "pixel_values" in fields:
            all_grids = torch.as_tensor(fields["image_grid_thw"])
            all_patches = torch.as_tensor(fields["pixel_values"]).split(all_grids.prod(-1).tolist())
        ids, index, kept = [], [], []
        for prompt in dict.fromkeys(self._prompt_of_row):
            row = self._prompt_of_row.index(prompt)
            ids.append(prompt_ids[row])
            index.append(tuple(range(len(kept), len(kept) + counts[row])))
            kept.extend(range(starts[row], starts[row] + counts[row]))
        if kept:
            patches, grids = [all_patches[image] for image in kept], all_grids[kept]
        pixels = torch.cat(patches) if patches else None
        return Rollout.from_prompts(PromptBatch(ids, index, pixels, grids), device)

    def _fields_of_rows(self, prompt_ids: list[list[int]]) -> dict[str, Any]:
        """What TRL's generation expects of the processor, one copy per row."""
        assert self._pending is not None
        shown = log_probs.Vision(share=False).arguments(
            self._pending, self._pending.images(self._prompt_of_row)
        )
        if not shown:
            return {}
        image_token = self._core.config.image_token_id
        return shown | {
            "mm_token_type_ids": [[int(token == image_token) for token in ids] for ids in prompt_ids]
        }

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any
    ) -> Tensor:
        if self._shares and self._on("load_once"):
            inputs = self._batch_rows
            if is_conversational({"prompt": prompts[0]}):
                prompts = [
                    prepare_multimodal_messages(without_empty_fields(row["prompt"]), images=row_images(row))
                    for row in inputs
                ]
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._batch_rewards = rewards
        return rewards

    # ------------------------------------------------------------------------------------------------ training

    def _old_pass_follows(self) -> bool:
        """Whether TRL's next log-probability pass is the one for old log-probabilities, and is not needed."""
        cycle = self.args.steps_per_generation * self.num_iterations
        return self._on("skip_old_logprobs") and self.args.gradient_accumulation_steps % cycle != 0

    def _vision(self, model: Any) -> log_probs.Vision:
        """How a pass of `model` gets its image features."""
        share = self._on("share_vision")
        if self.ref_model is not None and model is self.ref_model:
            if self.args.sync_ref_model:
                return log_probs.Vision(share, tower="reference")
            if self._reference_tower is None:
                mine, theirs = self._core.model.visual, self.accelerator.unwrap_model(model).model.visual
                same = (
                    vision_reuse.frozen(mine)
                    and not self._dist.is_zero3
                    and vision_reuse.equal_weights(mine, theirs)
                )
                self._reference_tower = "policy" if same else "reference"
            return log_probs.Vision(share, tower=self._reference_tower, keep=True)
        return log_probs.Vision(share, keep=vision_reuse.frozen(self._core.model.visual))

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        scope = self._scope
        if scope is None:
            return super()._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                compute_aux_loss,
                **kwargs,
            )
        completion, mask = input_ids[:, -logits_to_keep:], attention_mask[:, -logits_to_keep:]
        if scope.skip_next:
            scope.skip_next = False
            return torch.zeros(completion.shape, device=completion.device), None, None
        everything = log_probs.Rows(scope.rollout, scope.prompt, completion, mask)
        width = (input_ids.shape[1] - logits_to_keep, logits_to_keep)
        step = batch_size or len(input_ids)
        logps, entropies = [], []
        for start in range(0, len(input_ids), step):
            rows = everything.select(list(range(start, min(start + step, len(input_ids)))))
            dead = None if scope.dead is None else scope.dead[start : start + step]
            part, entropy = self._score_live(model, rows, dead, width)
            logps.append(part)
            entropies.append(entropy)
        joined = torch.cat(logps)
        if scope.dead is not None and scope.old is not None:
            joined = torch.where(scope.dead[:, None], scope.old.to(joined.dtype), joined)
        self._captured = joined.detach()
        return joined, torch.cat(entropies) if compute_entropy else None, None

    def _score_live(
        self, model: Any, rows: log_probs.Rows, dead: Tensor | None, width: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Score the rows that carry gradient; others get log-probability 0 and the mean entropy of the live ones."""
        lengths = rows.lengths()
        flags = [False] * len(lengths) if dead is None else dead.tolist()
        live = [row for row, flag in enumerate(flags) if not flag and lengths[row]]
        if len(live) == len(lengths):
            return self._score(model, rows, width)
        shape, device = rows.completion.shape, rows.completion.device
        if not live:
            zero = self._touch(model, rows, width)
            entropy = torch.nan if self.accelerator.num_processes == 1 else 0.0
            return torch.zeros(shape, device=device) + zero, torch.full(shape, entropy, device=device)
        chosen = rows.select(live)
        part, entropy = self._score(model, chosen, width)
        place = torch.tensor(live, device=device)
        logps = part.new_zeros(shape).index_put((place,), part)
        if (
            torch.is_grad_enabled()
            and rows.rollout.images(rows.prompt)
            and not rows.rollout.images(chosen.prompt)
        ):
            logps = logps + self._zero(self._core.model.visual)
        mean = (entropy * chosen.mask).sum() / chosen.mask.sum()
        return logps, mean.detach().expand(shape).index_put((place,), entropy)

    def _touch(self, model: Any, rows: log_probs.Rows, width: tuple[int, int]) -> Tensor:
        """A zero that reaches the parameters which a forward of these rows would have reached."""
        if not torch.is_grad_enabled():
            return torch.zeros((), device=rows.completion.device)
        if self.accelerator.distributed_type == DistributedType.NO:
            core = self._core
            seen = rows.rollout.images(rows.prompt)
            return self._zero(core) if seen else self._zero(core, without=core.model.visual)
        # Wrapped models count on one forward per backward: the shortest prompt with a single token.
        shortest = min(range(len(rows.prompt)), key=lambda row: len(rows.rollout.ids[rows.prompt[row]]))
        one = rows.select([shortest])
        mask = torch.zeros_like(one.mask)
        mask[:, 0] = 1
        probe = log_probs.Rows(one.rollout, one.prompt, one.completion, mask)
        return self._score(model, probe, width)[0].sum() * 0.0

    def _zero(self, module: nn.Module, without: nn.Module | None = None) -> Tensor:
        left_out = set(map(id, without.parameters())) if without is not None else set()
        return log_probs.zero_gradients(
            [
                parameter
                for parameter in module.parameters()
                if parameter.requires_grad and id(parameter) not in left_out
            ]
        )

    def _score(self, model: Any, rows: log_probs.Rows, width: tuple[int, int]) -> tuple[Tensor, Tensor]:
        vision = self._vision(model)
        unwrapped = prefix_decode.base_model(self.accelerator.unwrap_model(model))

        def forward(**arguments: Any) -> Any:
            with self.accelerator.autocast():
                return model(**arguments)

        if self._on("share_prompt"):
            logps, entropy = log_probs.packed(forward, unwrapped.model, rows, vision)
        else:
            logps, entropy = log_probs.padded(
                forward,
                rows,
                vision,
                pad_token=self._tokenizer.pad_token_id,
                image_token=unwrapped.config.image_token_id,
                width=None if self._on("trim_padding") else width,
            )
        return logps, torch.zeros_like(logps) if entropy is None else entropy

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        rollout = inputs.get("rollout")
        if rollout is None:
            return super()._compute_loss(model, inputs)
        old = inputs.get("old_per_token_logps")
        self._scope = _Scope(rollout, inputs["row_prompt"].tolist(), inputs["dead"], old)
        try:
            loss = super()._compute_loss(model, inputs)
        finally:
            self._scope = None
        if self.model.training and self._old_pass_follows() and old is None:
            inputs["old_per_token_logps"] = self._captured
        self._captured = None
        return loss

    # ------------------------------------------------------------------------------------------------ resuming

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        cycle = self.args.steps_per_generation * self.num_iterations
        state = {
            "shape": self._shape(),
            "step": self._step,
            "buffer": resume.encode_buffer(self._buffered_inputs) if self._step % cycle else None,
            "metrics": {mode: dict(values) for mode, values in self._metrics.items()},
            "step_time": self._current_train_step_time,
        }
        resume.save(output_dir, self.accelerator.process_index, state)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        state = resume.load(checkpoint, self.accelerator.process_index, self.accelerator.device)
        if state is None or state["shape"] != self._shape():
            found = (
                "was written without generation state"
                if state is None
                else "was written with other batch sizes"
            )
            logger.warning(
                f"{os.path.basename(checkpoint)} {found}: the run continues from its weights and optimizer, but the next "
                "completions are generated anew and differ from those of an uninterrupted run."
            )
            return
        self._step = state["step"]
        self._buffered_inputs = resume.decode_buffer(state["buffer"])
        self._current_train_step_time = state["step_time"]
        for mode, values in state["metrics"].items():
            self._metrics[mode].update(values)

    def _shape(self) -> list[int]:
        args = self.args
        return [
            self.accelerator.num_processes,
            args.per_device_train_batch_size,
            args.gradient_accumulation_steps,
            args.steps_per_generation,
            self.num_iterations,
            self.num_generations,
        ]

    def _run_epoch(self, *args: Any, epoch: int, **kwargs: Any) -> Any:
        if self._train_sampler is not None:
            self._train_sampler.set_epoch(
                epoch
            )  # a data loader that skips batches does not reach its sampler
        return super()._run_epoch(*args, epoch=epoch, **kwargs)
