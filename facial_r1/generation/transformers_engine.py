"""The transformers engine: batches of similar length, pictures opened while the model writes, finished answers leave the batch.

Qwen-VL models run through the lean loop of `prefix_decode`; any other model through `generate`, with equal results up to
rounding. Which one it is stands in `TransformersEngine.path`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from PIL import Image

from facial_r1.config.schema import Sampling
from facial_r1.generation import prefix_decode, prompt_batch
from facial_r1.generation.engine import Completion, Request
from facial_r1.generation.special_tokens import end_tokens, placeholder_tokens

_log = logging.getLogger("facial_r1")


class TransformersEngine:
    """Generates with a loaded model.

    Args:
        model: any image-text-to-text model with `generate`.
        processor: its processor, left-padded.
        open_image: opens a picture at the model's own size.
        batch_size: prompts in flight.

    Attributes:
        path: "lean loop", or "generate: <why the lean loop cannot run this model>".
    """

    def __init__(self, model: Any, processor: Any, open_image: Callable[[str], Image.Image], batch_size: int) -> None:
        self.model, self.processor = model.eval(), processor
        self.open_image, self.batch_size = open_image, batch_size
        self._ends = end_tokens(model, processor.tokenizer)
        self._never = placeholder_tokens(processor.tokenizer)
        self._pad = processor.tokenizer.pad_token_id
        reason = prefix_decode.unsupported_reason(model)
        if reason is None and not prompt_batch.supported(processor):
            reason = f"processor {type(processor).__name__}"
        self.path = f"generate: {reason}" if reason else "lean loop"
        if reason:
            _log.warning("generation uses transformers' generate: %s", reason)

    @torch.no_grad()
    def generate(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> list[Completion]:
        """See `Engine.generate`.

        Sampled tokens follow from `seed` and the request (its key and sample) alone in the lean loop, up to rounding; through
        transformers' `generate`, also from what else is in the batch. A batch that does not fit into the GPU's memory is
        halved, and so are those after it.
        """
        lengths = [
            sum(len(part.get("text", "")) for turn in request.messages for part in turn["content"]) for request in requests
        ]
        left = sorted(range(len(requests)), key=lambda index: (lengths[index], index))
        lean = self.path == "lean loop"
        prepare, write = (self._encode, self._lean) if lean else (self._process, self._generate)
        read: list[tuple[list[int], Future[list[Completion]]]] = []
        # A thread of its own opens the pictures of the next batch while the model writes this one. It alone touches the
        # tokenizer, which is not safe to share between threads.
        with ThreadPoolExecutor(1, thread_name_prefix="prompts") as thread:

            def ahead() -> tuple[list[int], Future[Any]]:
                places = left[: self.batch_size]
                return places, thread.submit(prepare, [requests[place] for place in places])

            places, ready = ahead() if left else ([], None)
            while ready is not None:
                inputs = ready.result()
                left = left[len(places) :]
                following = ahead() if left else ([], None)
                try:
                    written = write(inputs, [requests[place] for place in places], sampling, seed)
                except torch.OutOfMemoryError:
                    if len(places) == 1:
                        raise
                    left = places + left
                    self._halve(len(places))
                    following = ahead()
                else:
                    read.append((places, thread.submit(self._completions, written)))
                places, ready = following
        done = {place: one for places, part in read for place, one in zip(places, part.result(), strict=True)}
        return [done[place] for place in range(len(requests))]

    def _halve(self, size: int) -> None:
        self.batch_size = size // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _log.warning(
            "%d prompts do not fit into the GPU's memory: going on with %d (generation.batch_size=%d starts there)",
            size, self.batch_size, self.batch_size,
        )  # fmt: skip

    def _encode(self, requests: list[Request]) -> prompt_batch.PromptBatch:
        return prompt_batch.encode_prompts(
            self.processor, [request.messages for request in requests], [request.images for request in requests], self.open_image
        )

    def _lean(self, prompts: prompt_batch.PromptBatch, requests: list[Request], sampling: Sampling, seed: int) -> list[list[int]]:
        settings = prefix_decode.Sampling(
            max_new_tokens=sampling.max_new_tokens,
            eos_token_ids=self._ends,
            pad_token_id=self._pad,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p or None,
            repetition_penalty=sampling.repetition_penalty,
            suppress_tokens=self._never,
        )
        uniform = None if sampling.temperature == 0 else _uniform(seed, requests, sampling.max_new_tokens)
        return [answers[0] for answers in prefix_decode.decode(self.model, prompts, 1, settings, uniform=uniform)]

    def _process(self, requests: list[Request]) -> Any:
        texts = [self.processor.apply_chat_template(r.messages, add_generation_prompt=True, tokenize=False) for r in requests]
        images = [[self.open_image(path) for path in request.images] for request in requests]
        return self.processor(
            text=texts, images=images if any(images) else None, padding=True, return_tensors="pt", add_special_tokens=False
        )

    def _generate(self, prepared: Any, requests: list[Request], sampling: Sampling, seed: int) -> list[list[int]]:
        inputs = prepared.to(self.model.device)
        greedy = sampling.temperature == 0
        warped = {} if greedy else {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        with torch.random.fork_rng(devices=[self.model.device] if self.model.device.type == "cuda" else []):
            torch.manual_seed(_seed(seed, requests))
            written = self.model.generate(
                **inputs,
                **warped,
                max_new_tokens=sampling.max_new_tokens,
                do_sample=not greedy,
                repetition_penalty=sampling.repetition_penalty,
                suppress_tokens=list(self._never) or None,
                eos_token_id=list(self._ends),
                pad_token_id=self._pad,
            )
        return written[:, inputs["input_ids"].shape[1] :].tolist()

    def _completions(self, written: list[list[int]]) -> list[Completion]:
        return [self._completion(ids) for ids in written]

    def _completion(self, ids: list[int]) -> Completion:
        end = next((place for place, token in enumerate(ids) if token in self._ends), None)
        kept = ids if end is None else ids[:end]
        text = self.processor.tokenizer.decode(kept, skip_special_tokens=True)
        return Completion(text, tuple(kept), "length" if end is None else "stop")


def _seed(seed: int, requests: Sequence[Request]) -> int:
    content = [str(seed), *(part for request in requests for part in (request.key, str(request.sample)))]
    return int.from_bytes(hashlib.sha256("\n".join(content).encode()).digest()[:7], "big")


def _uniform(seed: int, requests: Sequence[Request], longest: int) -> torch.Tensor:
    """Numbers that choose the tokens of each request, shape (requests, longest), in [0, 1)."""
    rows = [
        torch.rand(longest, dtype=torch.float64, generator=torch.Generator().manual_seed(_seed(seed, [request])))
        for request in requests
    ]
    return torch.stack(rows)
