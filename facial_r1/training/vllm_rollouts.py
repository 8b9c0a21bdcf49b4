"""Completions from vLLM: prompts sent once, checked against the trainer's, and weighed without an extra forward.

vLLM's numbers are not quite those of the model that trains, so TRL multiplies the loss by an importance weight, the ratio
of the probabilities of what was sampled, for which it forwards the whole generation batch once more. On policy, the
training pass computes the same log-probabilities; with `skip_old_logprobs` the weights are formed there. The distance
between the two sets of log-probabilities is logged at each step, and a large one in the first steps stops the run: then
vLLM does not see the prompt, the images or the weights that the trainer has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from typing import Any

import torch
from accelerate.logging import get_logger
from PIL import Image
from torch import Tensor
from trl.extras.profiling import profiling_context

from facial_r1.errors import InputError
from facial_r1.generation.vllm_inputs import Prompt, never_sampled, same_prompt
from facial_r1.training.group_base import SharedWork
from facial_r1.training.vllm_backend import GroupVLLM, Sampled, VLLMOptions, installed

logger = get_logger(__name__)

#: Optimizer steps, counted from the start or a resume, in which a large distance stops the run; later ones warn.
CHECKED_STEPS = 3
_GAP = "sampling/sampling_logp_difference/"
_RATIO = "importance_sampling_ratio"


class VLLMRollouts(SharedWork):
    """The part of the trainer that samples with vLLM. Without vLLM it changes nothing."""

    vllm_generation: GroupVLLM

    def __init__(self, *args: Any, vllm: VLLMOptions | None = None, **kwargs: Any) -> None:
        self._vllm = vllm or VLLMOptions()
        self._uncorrected: dict[str, Any] | None = None
        self._first_step: int | None = None
        self._warned = False
        config = kwargs.get("args")
        if config is None or not config.use_vllm:
            super().__init__(*args, **kwargs)
            return
        with installed(self._vllm, config):
            super().__init__(*args, **kwargs)
        words = never_sampled(self._tokenizer, self._vision_tokens)
        given = self.vllm_generation.generation_kwargs
        self.vllm_generation.generation_kwargs = given | {"bad_words": [*given.get("bad_words", []), *words.get("bad_words", [])]}

    def close_engine(self) -> None:
        """Give back the memory of an engine in this process, once training has ended."""
        if self.use_vllm:
            self.vllm_generation.close()

    # --- sampling ---

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: Any,
        multimodal_fields: dict[str, Any],
        num_generations: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[list[list[int]], Any]:
        if not self.use_vllm:
            return super()._generate_single_turn(prompt_ids, images, multimodal_fields, num_generations, *args, **kwargs)
        self._send_weights()
        prompts, prompt_of_row = self._distinct(prompt_ids, images)
        profiler = profiling_context(self, "vLLM.generate")
        if self.vllm_mode == "server":
            shown = [list(prompts[prompt].images) or None for prompt in prompt_of_row]
            seen, ids, logps, _ = self.vllm_generation.generate(
                prompts=prompt_ids, images=shown if any(shown) else None, num_generations=num_generations, profiler=profiler
            )
            for prompt, theirs in zip(prompt_of_row, seen, strict=True):
                same_prompt(prompts[prompt], theirs)
            return ids, [[place[0] for place in row] for row in logps]
        counts = [prompt_of_row.count(prompt) for prompt in range(len(prompts))]
        stop = {"stop_token_ids": list(self.eos_token_ids)}
        taken = [iter(group) for group in self.vllm_generation.complete(prompts, counts, stop, profiler)]
        rows: list[Sampled] = [next(taken[prompt]) for prompt in prompt_of_row]
        return [row.ids for row in rows], [row.logps for row in rows]

    def _send_weights(self) -> None:
        if self.state.global_step == self._last_loaded_step:
            return
        with profiling_context(self, "sync_weights"):
            self.vllm_generation.sync_weights()
        self._last_loaded_step = self.state.global_step

    def _distinct(self, prompt_ids: list[list[int]], images: Any) -> tuple[list[Prompt], list[int]]:
        """The distinct prompts of this rank's rows, with their pictures, and for each row which it is."""
        rows: list[Any] = list(images) if images is not None else [None] * len(prompt_ids)
        keys: list[Hashable] = []
        if self._pending is not None:
            keys.extend(self._prompt_of_row)
            if self._on("load_once"):
                rows = [[self._pictures[image] for image in self._pending.shown[prompt]] for prompt in self._prompt_of_row]
        else:
            keys.extend((tuple(ids), _digest(row)) for ids, row in zip(prompt_ids, rows, strict=True))
        first = {key: row for row, key in reversed(list(enumerate(keys)))}
        order = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        prompts = [Prompt(tuple(prompt_ids[first[key]]), tuple(rows[first[key]] or ())) for key in order]
        return prompts, [order[key] for key in keys]

    # --- weighing ---

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if not self.use_vllm:
            return super()._generate_and_score_completions(inputs)
        mode = "train" if self.model.training else "eval"
        metrics = self._metrics[mode]
        logged = {name: len(values) for name, values in metrics.items()}
        batch = super()._generate_and_score_completions(inputs)
        if self._weighs_in_training():
            # Made from log-probabilities that were not computed; the training pass makes them from those it computes.
            batch.pop(_RATIO, None)
            for name in [name for name in metrics if name.startswith((_GAP, f"sampling/{_RATIO}"))]:
                del metrics[name][logged.get(name, 0) :]
                if not metrics[name]:
                    del metrics[name]
        elif self.vllm_importance_sampling_correction:
            self._judge(metrics[f"{_GAP}mean"][-1])
        return batch

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        measured = self._weighs_in_training() or not self.vllm_importance_sampling_correction
        self._uncorrected = inputs if self.use_vllm and measured and "sampling_per_token_logps" in inputs else None
        try:
            return super()._compute_loss(model, inputs)
        finally:
            self._uncorrected = None

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None, Tensor | None]:
        result = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        inputs, self._uncorrected = self._uncorrected, None
        if inputs is not None and _RATIO not in inputs:
            self._correct(inputs, result[0].detach())
        return result

    def _correct(self, inputs: dict[str, Any], logps: Tensor) -> None:
        """Measure the distance and, where TRL has not, form its importance weights; once for each micro-batch."""
        mask = inputs["completion_mask"]
        if "tool_mask" in inputs:
            mask = mask * inputs["tool_mask"]
        if "dead" in inputs:  # rows without gradient are not forwarded, so nothing is known of them
            mask = mask * ~inputs["dead"][:, None]
        difference = logps - inputs["sampling_per_token_logps"]
        weights = None
        if self.vllm_importance_sampling_correction:
            weights = inputs[_RATIO] = importance_weights(
                difference,
                mask,
                self.vllm_importance_sampling_mode,
                self.vllm_importance_sampling_clip_min,
                self.vllm_importance_sampling_clip_max,
            )
        self._log_distance(difference.abs(), mask, weights)

    def _log_distance(self, distance: Tensor, mask: Tensor, weights: Tensor | None) -> None:
        metrics = self._metrics["train" if self.model.training else "eval"]
        known = mask.bool() & ~distance.isnan()
        values = distance[known].double()
        most = values.max() if values.numel() else values.new_zeros(())
        total, count, most = self.accelerator.gather(torch.stack([values.sum(), known.sum().double(), most])[None]).unbind(1)
        if not count.sum():
            return
        mean = float(total.sum() / count.sum())
        metrics[f"{_GAP}mean"].append(mean)
        metrics[f"{_GAP}max"].append(float(most.max()))
        if weights is not None:
            used = weights[mask.bool()] if weights.shape == mask.shape else weights[mask.bool().any(1)]
            used = self.accelerator.gather(self.accelerator.pad_across_processes(used.flatten(), pad_index=torch.nan))
            used = used[~used.isnan()]
            for name, value in (("min", used.min()), ("mean", used.mean()), ("max", used.max())):
                metrics[f"sampling/{_RATIO}/{name}"].append(float(value))
        self._judge(mean)

    def _judge(self, distance: float) -> None:
        """Stop a run whose first steps are far off; `distance` is the same number on all ranks."""
        if not self.model.training:
            return
        if self._first_step is None:
            self._first_step = self.state.global_step
        if self._truncates() or distance <= self._vllm.logprob_gap:
            return
        found = (
            f"vLLM samples tokens whose log-probabilities are {distance:.3g} away, on average, from those of the model that trains "
            f"(limit stage.vllm.logprob_gap={self._vllm.logprob_gap:g})"
        )
        if self.state.global_step < self._first_step + CHECKED_STEPS:
            raise InputError(
                f"{found}. It does not see the same prompt, images or weights, or computes in another precision, and the run "
                "would learn from the difference. Prompts were compared and are equal. Check that model.dtype is what vLLM "
                "supports on this device and that vLLM's own version of this architecture is the one that trains; "
                "stage.vllm.enabled=false trains without it, a higher stage.vllm.logprob_gap accepts the difference"
            )
        if not self._warned:
            self._warned = True
            logger.warning(found)

    def _truncates(self) -> bool:
        """Whether vLLM's log-probabilities are those of a truncated distribution, which the trainer's are not."""
        return self.top_p < 1 or bool(self.top_k) or bool(self.min_p) or self.repetition_penalty != 1


def importance_weights(difference: Tensor, mask: Tensor, mode: str, lowest: float | None, highest: float | None) -> Tensor:
    """TRL's importance weights of sampled tokens.

    Args:
        difference: Log-probability in the model that trains minus that in vLLM, NaN where unknown, shape (rows, T).
        mask: 1 for tokens that train, shape (rows, T).
        mode: `token_` or `sequence_`, then `truncate` (weights are clamped) or `mask` (weights out of bounds become zero).
        lowest: Lower bound, or None.
        highest: Upper bound, or None.

    Returns:
        Shape (rows, T), or (rows, 1) for sequences.
    """
    logs = difference.masked_fill(mask == 0, 0.0).nan_to_num(nan=0.0)
    level, _, action = mode.partition("_")
    if level == "sequence":
        logs = logs.sum(-1, keepdim=True)
    weights = logs.exp()
    low = -torch.inf if lowest is None else lowest
    high = torch.inf if highest is None else highest
    if action == "truncate":
        return weights.clamp(low, high)
    return weights.masked_fill((weights < low) | (weights > high), 0.0)


def _digest(images: list[Image.Image] | None) -> tuple[str, ...]:
    return tuple(hashlib.sha1(image.tobytes() + repr(image.size).encode()).hexdigest() for image in images or ())
