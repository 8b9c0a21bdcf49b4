"""The vLLM engine: the offline engine of vLLM with the prompts, pixels and end tokens of `TransformersEngine`.

Prompts are tokenised and images sized by our own code, one placeholder is sent for each image, and vLLM's processor gets
the size bounds of ours, so that both engines see the same tokens and pixels; that is checked at every call. What ends an
answer stands in the checkpoint's generation settings and its tokenizer. All else is what the `Sampling` says: its fields
always have values, and vLLM's habit of taking temperature, top_p and the like from generation_config.json does not apply
(`generation.checkpoint_sampling` brings them back, for every engine alike, see `opening`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from facial_r1.config.schema import OfflineVLLM, Sampling
from facial_r1.errors import InputError
from facial_r1.generation import prompt_batch
from facial_r1.generation.engine import Completion, Request
from facial_r1.generation.special_tokens import placeholder_tokens
from facial_r1.generation.vllm_inputs import Prompt, engine_arguments, never_sampled, require_vllm, same_prompt, vllm_prompt

#: vLLM takes seeds up to 63 bits.
_SEED_BYTES = 7


class VLLMEngine:
    """Generates with an engine of vLLM in (or under) this process.

    Args:
        source: Folder or hub id of the checkpoint.
        processor: Its processor, with the size bounds that `ImageSizer` set.
        open_image: Opens a picture at the size the model sees.
        settings: Memory, GPUs, length.
        ends: Tokens that end an answer.
        dtype: Precision, as vLLM names it ("auto" is the checkpoint's own).
        logprobs: Tell the log-probability of each token: the model's own, before temperature, penalties and banned tokens.

    Raises:
        InputError: vLLM is not installed, or cannot load the checkpoint with these settings.
    """

    def __init__(
        self,
        source: str,
        processor: Any,
        open_image: Callable[[str], Image.Image],
        settings: OfflineVLLM,
        ends: Sequence[int],
        dtype: str = "auto",
        *,
        logprobs: bool = False,
    ) -> None:
        require_vllm("generation=vllm")
        self.processor, self.open_image, self.logprobs = processor, open_image, logprobs
        self._ends = tuple(ends)
        self._banned = never_sampled(processor.tokenizer, placeholder_tokens(processor.tokenizer))
        self._exact = prompt_batch.supported(processor)
        self._encoded: list[Prompt] = []
        arguments: dict[str, Any] = {
            "model": source,
            "dtype": dtype,
            "max_model_len": settings.max_model_length,
            "gpu_memory_utilization": settings.gpu_memory_utilization,
            "tensor_parallel_size": settings.tensor_parallel,
            "enforce_eager": settings.enforce_eager,
            "seed": 0,
            **engine_arguments(processor),
        }
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # each of our ranks has an engine on its own GPU
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
            arguments["distributed_executor_backend"] = "external_launcher"
        from vllm import LLM

        try:
            self._llm: Any = LLM(**arguments)
        except ValueError as error:
            raise InputError(f"generation=vllm cannot load {source}: {' '.join(str(error).split())[:600]}") from error

    def generate(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> list[Completion]:
        """See `Engine.generate`. Each request is seeded from `seed` and its own key."""
        if not requests:
            return []
        outputs = self._llm.generate(
            self._prompts(requests),
            sampling_params=[self._parameters(request, sampling, seed) for request in requests],
            use_tqdm=False,
        )
        if self._exact:
            for prompt, output in zip(self._encoded, outputs, strict=True):
                same_prompt(prompt, output.prompt_token_ids)
            self._encoded = []
        return [self._completion(output.outputs[0]) for output in outputs]

    def close(self) -> None:
        """Stop the engine and give its memory back."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm

    def _prompts(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        """Requests as vLLM takes them; the tokens that it should make of them are kept for comparison."""
        if not self._exact:
            return [self._by_text(request) for request in requests]
        batch = prompt_batch.encode_prompts(
            self.processor,
            [request.messages for request in requests],
            [request.images for request in requests],
            self.open_image,
            keep_pictures=True,
        )
        self._encoded = [
            Prompt(tuple(ids), tuple(batch.pictures[image] for image in images))
            for ids, images in zip(batch.ids, batch.image_index, strict=True)
        ]
        return [vllm_prompt(prompt, self.processor.image_token_id) for prompt in self._encoded]

    def _by_text(self, request: Request) -> dict[str, Any]:
        """A prompt for a processor whose placeholders we do not count: vLLM tokenises the rendered text."""
        text = self.processor.apply_chat_template(request.messages, add_generation_prompt=True, tokenize=False)
        if not request.images:
            return {"prompt": text}
        return {"prompt": text, "multi_modal_data": {"image": [self.open_image(path) for path in request.images]}}

    def _parameters(self, request: Request, sampling: Sampling, seed: int) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            max_tokens=sampling.max_new_tokens,
            seed=None if sampling.temperature == 0 else request_seed(seed, request),
            stop_token_ids=list(self._ends),
            detokenize=False,
            logprobs=0 if self.logprobs else None,  # 0: of the token that was drawn, and no others
            **self._banned,
        )

    def _completion(self, written: Any) -> Completion:
        ids: Sequence[int] = written.token_ids
        end = next((place for place, token in enumerate(ids) if token in self._ends), None)
        kept = tuple(ids if end is None else ids[:end])
        text = self.processor.tokenizer.decode(list(kept), skip_special_tokens=True)
        scores = zip(kept, written.logprobs, strict=False) if self.logprobs else ()
        logprobs = tuple(float(candidates[token].logprob) for token, candidates in scores) if self.logprobs else None
        return Completion(text, kept, "length" if end is None else "stop", logprobs=logprobs)


def request_seed(seed: int, request: Request) -> int:
    """Seed of one request: a function of the run's seed and the request's key and sample, whatever else is in flight."""
    digest = hashlib.sha256(f"{seed}\n{request.key}\n{request.sample}".encode()).digest()
    return int.from_bytes(digest[:_SEED_BYTES], "big")
