"""The vLLM engine: the offline engine of vLLM with the prompts, pixels and end tokens of `TransformersEngine`.

Prompts are tokenised and images sized by our own code, one placeholder is sent for each image, and vLLM's processor gets
the size bounds of ours, so that both engines see the same tokens and pixels; that is checked at every call. What ends an
answer stands in the checkpoint's generation settings and its tokenizer. All else is what the `Sampling` says: its fields
always have values, and vLLM's habit of taking temperature, top_p and the like from generation_config.json does not apply
(`generation.checkpoint_sampling` brings them back, for every engine alike, see `opening`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from PIL import Image

from facial_r1.config.schema import OfflineVLLM, Sampling
from facial_r1.errors import InputError
from facial_r1.generation import prompt_batch
from facial_r1.generation.draws import seed_of
from facial_r1.generation.engine import Completion, Request, pictures
from facial_r1.generation.special_tokens import placeholder_tokens
from facial_r1.generation.vllm_inputs import (
    Prompt,
    engine_arguments,
    media_prompt,
    never_sampled,
    placeholder_ids,
    require_vllm,
    same_prompt,
    vllm_prompt,
)
from facial_r1.models.media import KINDS, Kind
from facial_r1.models.perception import perceives


@contextmanager
def _stdout_with_a_descriptor() -> Iterator[None]:
    """vLLM asks standard output for its descriptor while it starts; where it is not a file, as in a notebook, it gets the process's."""
    try:
        sys.stdout.fileno()
    except (AttributeError, OSError):  # io.UnsupportedOperation is one
        with redirect_stdout(sys.__stdout__):
            yield
    else:
        yield


class VLLMEngine:
    """Generates with an engine of vLLM in (or under) this process.

    Args:
        source: Folder or hub id of the checkpoint.
        processor: Its processor, with the size bounds that `ImageSizer` set.
        open_image: Opens a picture at the size the model sees; with `clip` and `sound`, those too (`prompt_batch.MediaLoader`).
        settings: Memory, GPUs, length.
        ends: Tokens that end an answer.
        dtype: Precision, as vLLM names it ("auto" is the checkpoint's own).
        logprobs: Tell the log-probability of each token: the model's own, before temperature, penalties and banned tokens.

    vLLM starts with the first requests, which say whether it needs room for clips and sounds.

    Raises:
        InputError: vLLM is not installed.
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
        self._source, self._settings, self._dtype = source, settings, dtype
        self._ends = tuple(ends)
        self._banned = never_sampled(processor.tokenizer, placeholder_tokens(processor.tokenizer))
        self._exact = prompt_batch.supported(processor)
        self._encoded: list[Prompt] = []
        self._llm: Any = None
        self._media: frozenset[Kind] = frozenset()

    def generate(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> list[Completion]:
        """See `Engine.generate`. Each request is seeded from `seed` and its own key."""
        if not requests:
            return []
        self.open(requests)
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

    def open(self, requests: Sequence[Request] = ()) -> None:
        """Start vLLM with room for what these requests show; again, when it runs without room for a clip or sound of theirs.

        Raises:
            InputError: vLLM cannot load the checkpoint with these settings.
        """
        shown: dict[Kind, bool] = {
            "video": any(request.videos for request in requests),
            "audio": any(request.audios for request in requests),
        }
        media = frozenset(kind for kind, found in shown.items() if found and kind in perceives(self.processor))
        if self._llm is not None and media <= self._media:
            return
        self.close()
        self._media |= media
        settings = self._settings
        arguments: dict[str, Any] = {
            "model": self._source,
            "dtype": self._dtype,
            "max_model_len": settings.max_model_length,
            "gpu_memory_utilization": settings.gpu_memory_utilization,
            "tensor_parallel_size": settings.tensor_parallel,
            "enforce_eager": settings.enforce_eager,
            "seed": 0,
            **engine_arguments(self.processor, media=self._media),
        }
        if self._media or "audio" in perceives(self.processor):
            from facial_r1.generation.vllm_models import with_our_models

            arguments["hf_overrides"] = with_our_models
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # each of our ranks has an engine on its own GPU
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
            arguments["distributed_executor_backend"] = "external_launcher"
        from vllm import LLM

        try:
            with _stdout_with_a_descriptor():
                self._llm = LLM(**arguments)
        except ValueError as error:
            raise InputError(f"generation=vllm cannot load {self._source}: {' '.join(str(error).split())[:600]}") from error

    def close(self) -> None:
        """Stop the engine and give its memory back."""
        if self._llm is not None:
            self._llm.llm_engine.engine_core.shutdown()
            self._llm = None

    def _prompts(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        """Requests as vLLM takes them; the tokens that it should make of them are kept for comparison."""
        if not self._exact:
            for request in requests:
                pictures(request)  # refuses clips and sounds
            return [self._by_text(request) for request in requests]
        batch = prompt_batch.encode_prompts(
            self.processor,
            [request.messages for request in requests],
            [request.images for request in requests],
            self.open_image,
            keep_pictures=True,
            videos=[request.videos for request in requests],
            audios=[request.audios for request in requests],
        )
        self._encoded = [shown(batch, place) for place in range(len(batch))]
        image_token = placeholder_ids(self.processor).get("image")
        return [
            media_prompt(prompt, self.processor) if prompt.clips or prompt.sounds else vllm_prompt(prompt, image_token)
            for prompt in self._encoded
        ]

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


def shown(batch: prompt_batch.PromptBatch, place: int) -> Prompt:
    """One prompt of a batch whose decoded pictures, clips and sounds were kept."""
    things = [(batch.items[index].kind, batch.pictures[index]) for index in batch.shown[place]]
    of = {kind: tuple(thing for its, thing in things if its == kind) for kind in KINDS}
    return Prompt(tuple(batch.ids[place]), of["image"], of["video"], of["audio"])


def request_seed(seed: int, request: Request) -> int:
    """Seed of one request: a function of the run's seed and the request's key and sample, whatever else is in flight."""
    return seed_of(seed, request.key, request.sample)
