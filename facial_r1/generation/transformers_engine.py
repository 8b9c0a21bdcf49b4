"""The transformers engine: batches of similar length, pictures opened once, finished answers leave the batch.

Qwen-VL models run through the lean loop of `prefix_decode`; any other model through `generate`, with equal results up to
rounding. Which one it is stands in `TransformersEngine.path`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
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
        reason = prefix_decode.unsupported_reason(model)
        if reason is None and not prompt_batch.supported(processor):
            reason = f"processor {type(processor).__name__}"
        self.path = f"generate: {reason}" if reason else "lean loop"
        if reason:
            _log.warning("generation uses transformers' generate: %s", reason)

    @torch.no_grad()
    def generate(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> list[Completion]:
        """See `Engine.generate`. Sampling is seeded for each batch from `seed` and the keys of its requests."""
        lengths = [
            sum(len(part.get("text", "")) for turn in request.messages for part in turn["content"]) for request in requests
        ]
        order = sorted(range(len(requests)), key=lambda index: (lengths[index], index))
        done: dict[int, Completion] = {}
        write = self._lean if self.path == "lean loop" else self._generate
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            chosen = [requests[index] for index in batch]
            for index, ids in zip(batch, write(chosen, sampling, _batch_seed(seed, chosen)), strict=True):
                done[index] = self._completion(ids)
        return [done[index] for index in range(len(requests))]

    def _lean(self, requests: list[Request], sampling: Sampling, seed: int) -> list[list[int]]:
        prompts = prompt_batch.encode_prompts(
            self.processor, [request.messages for request in requests], [request.images for request in requests], self.open_image
        )
        settings = prefix_decode.Sampling(
            max_new_tokens=sampling.max_new_tokens,
            eos_token_ids=self._ends,
            pad_token_id=self.processor.tokenizer.pad_token_id,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p or None,
            repetition_penalty=sampling.repetition_penalty,
            suppress_tokens=self._never,
        )
        generator = torch.Generator(device=self.model.device).manual_seed(seed)
        return [answers[0] for answers in prefix_decode.decode(self.model, prompts, 1, settings, generator=generator)]

    def _generate(self, requests: list[Request], sampling: Sampling, seed: int) -> list[list[int]]:
        texts = [self.processor.apply_chat_template(r.messages, add_generation_prompt=True, tokenize=False) for r in requests]
        images = [[self.open_image(path) for path in request.images] for request in requests]
        inputs = self.processor(
            text=texts, images=images if any(images) else None, padding=True, return_tensors="pt", add_special_tokens=False
        ).to(self.model.device)
        greedy = sampling.temperature == 0
        warped = {} if greedy else {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        with torch.random.fork_rng(devices=[self.model.device] if self.model.device.type == "cuda" else []):
            torch.manual_seed(seed)
            written = self.model.generate(
                **inputs,
                **warped,
                max_new_tokens=sampling.max_new_tokens,
                do_sample=not greedy,
                repetition_penalty=sampling.repetition_penalty,
                suppress_tokens=list(self._never) or None,
                eos_token_id=list(self._ends),
                pad_token_id=self.processor.tokenizer.pad_token_id,
            )
        return written[:, inputs["input_ids"].shape[1] :].tolist()

    def _completion(self, ids: list[int]) -> Completion:
        end = next((place for place, token in enumerate(ids) if token in self._ends), None)
        kept = ids if end is None else ids[:end]
        text = self.processor.tokenizer.decode(kept, skip_special_tokens=True)
        return Completion(text, tuple(kept), "length" if end is None else "stop")


def _batch_seed(seed: int, requests: Sequence[Request]) -> int:
    digest = hashlib.sha256("\n".join([str(seed), *(request.key for request in requests)]).encode()).digest()
    return int.from_bytes(digest[:7], "big")
