"""TRL's vLLM backend, sending each prompt once, with the trainer's pixels, and only the weights that changed.

`GroupVLLM` is TRL's `VLLMGeneration` with four differences in colocate mode: a prompt is one request for all of its
completions, its images have one placeholder each, weights travel in buckets and frozen ones once, and the features that
vLLM remembers of images are forgotten when the tower that made them has changed. Server mode is TRL's.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from trl.generation import vllm_generation
from trl.trainer import grpo_trainer

from facial_r1.generation.vllm_inputs import Prompt, engine_arguments, same_prompt, vllm_prompt
from facial_r1.training.vllm_weights import BUCKET, Sent, send, unchanging

#: Tokens that vLLM prefills at once; TRL's 4,096 are ten prompts with an image of 448 pixels.
PREFILL = 8192


@dataclass(frozen=True)
class VLLMOptions:
    """What TRL's arguments do not say about vLLM.

    Attributes:
        logprob_gap: Largest mean distance between the log-probabilities of a sampled token in vLLM and in the model that
            trains, before the run stops.
        enforce_eager: Run vLLM without CUDA graphs and compilation: starts sooner, generates slower.
        bucket: Bytes of weights that are sent at once.
    """

    logprob_gap: float = 0.1
    enforce_eager: bool = False
    bucket: int = BUCKET


@dataclass(frozen=True)
class Sampled:
    """One completion: token ids, and for each the log-probability it was sampled with (None where vLLM had no number)."""

    ids: list[int]
    logps: list[float | None]


class GroupVLLM(vllm_generation.VLLMGeneration):
    """See the module.

    Args:
        options: What TRL does not know.
        dtype: Precision in which the trainer runs its forward.
        seed: Added to TRL's seed, which is that of the rank.
        **kwargs: As `trl.generation.vllm_generation.VLLMGeneration`.

    Attributes:
        last_sent: The last update of the weights, or None.
    """

    # Attributes of TRL's class that its code leaves untyped.
    model: Any
    llm: Any
    processing_class: Any
    tp_group: Any

    def __init__(self, *, options: VLLMOptions, dtype: str, seed: int, **kwargs: Any) -> None:
        self._options, self._dtype, self._seed = options, dtype, seed
        self.last_sent: Sent | None = None
        self._whole_model_sent = False
        super().__init__(**kwargs)

    def _init_vllm(self) -> None:
        if self.mode != "colocate":
            super()._init_vllm()
            return
        # The engine has to live in this process, where its weights can be reached.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        original = vllm_generation.LLM

        def build(**arguments: Any) -> Any:
            ours = {
                "dtype": self._dtype,
                "seed": arguments["seed"] + self._seed,
                "enforce_eager": self._options.enforce_eager,
                "max_num_batched_tokens": PREFILL,
                **engine_arguments(self.processing_class),
            }
            return original(**(arguments | ours))

        with _replaced(vllm_generation, "LLM", build), _environment_restored():
            super()._init_vllm()

    @property
    def _vllm_model(self) -> Any:
        return self.llm.llm_engine.model_executor.driver_worker.model_runner.model

    def sync_weights(self) -> None:
        """Send what changed since the last time; everything the first time, and after a sleep that dropped the weights."""
        if self.mode != "colocate":
            super().sync_weights()
            return
        if self.enable_sleep_mode:
            vllm_generation.empty_cache()
            self.llm.wake_up(tags=["weights"])
            self._whole_model_sent = self._whole_model_sent and not self._llm_weights_sleeping
            self._llm_weights_sleeping = False
        constant = unchanging(self.model, self._fix_param_name_to_vllm)
        known = constant if self._whole_model_sent else frozenset()
        weights = ((name, tensor) for name, tensor in self._iter_named_params() if name not in known)
        # Merged adapters are taken out again, and gathered shards given back, before the last bucket is full.
        passing = hasattr(self.model, "peft_config") or self._dist.is_zero3 or self._dist.is_fsdp
        self.last_sent = send(self._vllm_model.load_weights, weights, self._options.bucket, copy=passing)
        if any(_of_vision_tower(name) for name in self.last_sent.names):
            self.llm.llm_engine.reset_encoder_cache()
        self._whole_model_sent = True
        self.llm.reset_prefix_cache()

    def complete(
        self,
        prompts: Sequence[Prompt],
        counts: Sequence[int],
        sampling: dict[str, Any],
        profiler: AbstractContextManager[Any] | None = None,
    ) -> list[list[Sampled]]:
        """Complete prompts with the engine in this process.

        Args:
            prompts: Distinct prompts of this rank.
            counts: Completions of each.
            sampling: Further sampling parameters.
            profiler: Measures the call.

        Returns:
            For each prompt its completions.

        Raises:
            InputError: vLLM saw another prompt than the trainer.
        """
        if self.enable_sleep_mode and self._llm_weights_sleeping:
            self.sync_weights()
        work, mine = self._of_all_shards(list(zip(prompts, counts, strict=True)))
        if self.enable_sleep_mode:
            self.llm.wake_up(tags=["kv_cache"])
        image_token = getattr(self.processing_class, "image_token_id", None)
        parameters = self.parameters() | sampling
        with profiler or nullcontext():
            outputs = self.llm.generate(
                [vllm_prompt(prompt, image_token) for prompt, _ in work],
                sampling_params=[vllm_generation.SamplingParams(**parameters, n=count) for _, count in work],
                use_tqdm=False,
            )
        for (prompt, _), output in zip(work, outputs, strict=True):
            same_prompt(prompt, output.prompt_token_ids)
        if self.enable_sleep_mode:
            self.llm.sleep(level=2)
            self._llm_weights_sleeping = True
        return [_sampled(output) for output in outputs[mine]]

    def close(self) -> None:
        """Stop the engine in this process and give its memory back; nothing can be generated after that."""
        if self.mode != "colocate" or self.llm is None:
            return
        self.llm.llm_engine.engine_core.shutdown()
        self.llm = None
        gc.collect()
        vllm_generation.empty_cache()

    def parameters(self) -> dict[str, Any]:
        """vLLM's sampling parameters for the settings that TRL was given."""
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p or 0.0,
            "repetition_penalty": self.repetition_penalty,
            "max_tokens": self.max_completion_length,
            "logprobs": 0,
            "detokenize": False,
            **self.generation_kwargs,
        }

    def _of_all_shards(self, work: list[tuple[Prompt, int]]) -> tuple[list[tuple[Prompt, int]], slice]:
        """The requests of all ranks that one sharded engine serves, and which are this rank's."""
        if self.tensor_parallel_size == 1:
            return work, slice(None)
        shares: list[Any] = [None] * self.tensor_parallel_size
        torch.distributed.all_gather_object(shares, work, group=self.tp_group)
        if hasattr(self.model, "peft_config"):  # as in TRL: the engine's collectives must not overlap the trainer's
            torch.distributed.barrier(device_ids=[self.accelerator.local_process_index])
        rank = torch.distributed.get_rank(group=self.tp_group)
        start = sum(len(share) for share in shares[:rank])
        return [item for share in shares for item in share], slice(start, start + len(work))


def _sampled(output: Any) -> list[Sampled]:
    logps, _ = vllm_generation.extract_logprobs([output])
    assert logps is not None, "log-probabilities are always asked for"
    return [Sampled(list(one.token_ids), [place[0] for place in row]) for one, row in zip(output.outputs, logps, strict=True)]


def _of_vision_tower(name: str) -> bool:
    return any(part in ("visual", "vision_tower", "vision_model", "multi_modal_projector") for part in name.split("."))


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)


@contextmanager
def _environment_restored() -> Iterator[None]:
    """Take back what TRL tells vLLM about ranks, which later code in this process would take for torchrun's."""
    before = {name: os.environ.get(name) for name in _RANK_VARIABLES}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_RANK_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def installed(options: VLLMOptions, args: Any) -> Iterator[None]:
    """While a trainer is constructed, `GroupVLLM` stands in for the backend that TRL would make.

    Args:
        options: What TRL does not know.
        args: The trainer's `GRPOConfig`.
    """
    dtype = "bfloat16" if args.bf16 else "float16" if args.fp16 else "float32"

    def make(**kwargs: Any) -> GroupVLLM:
        return GroupVLLM(options=options, dtype=dtype, seed=args.seed, **kwargs)

    make_backend: Callable[..., GroupVLLM] = make
    with _replaced(grpo_trainer, "VLLMGeneration", make_backend):
        yield
