"""The transformers engine: batches of similar length, pictures opened while the model writes, finished answers leave the batch.

Qwen-VL models run through the lean loop of `prefix_decode`; any other model through `generate`, with equal results up to
rounding. Which one it is stands in `TransformersEngine.path`.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image

from facial_r1.config.schema import Sampling
from facial_r1.errors import InputError
from facial_r1.generation import prefix_decode, prompt_batch
from facial_r1.generation.decoder_step import small
from facial_r1.generation.draws import seed_of, uniform
from facial_r1.generation.engine import Completion, Request
from facial_r1.generation.special_tokens import end_tokens, placeholder_tokens
from facial_r1.models.thinker import backbone_of

_log = logging.getLogger("facial_r1")

#: Batches that are written at a time on a CPU, at most: each writer also needs Python's one lock.
MOST_WRITERS = 8

#: Of each prompt, the tokens written, and their log-probabilities where they were asked for.
Written = list[tuple[list[int], list[float] | None]]


class TransformersEngine:
    """Generates with a loaded model.

    Args:
        model: any image-text-to-text model with `generate`.
        processor: its processor, left-padded.
        open_image: opens a picture at the model's own size; with `clip` and `sound`, those too (`prompt_batch.MediaLoader`).
        batch_size: prompts in flight.
        logprobs: tell the log-probability of each token: the model's own, before temperature, penalties and banned tokens.

    Attributes:
        path: "lean loop", or "generate: <why the lean loop cannot run this model>".
    """

    def __init__(
        self, model: Any, processor: Any, open_image: Callable[[str], Image.Image], batch_size: int, *, logprobs: bool = False
    ) -> None:
        self.model, self.processor = model.eval(), processor
        self.open_image, self.batch_size, self.logprobs = open_image, batch_size, logprobs
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

        On a CPU a small model writes as many batches at a time as PyTorch has threads; `batch_size` is that of each.
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
        writers = max(1, min(self._writers(), len(left))) if lean else 1
        size = _even(len(left), self.batch_size, writers)
        read: list[tuple[list[int], Future[list[Completion]]]] = []
        ready: deque[tuple[list[int], Future[Any]]] = deque()
        running: dict[Future[Written], list[int]] = {}
        # A thread of its own opens the pictures of the next batches while the model writes these. It alone touches the
        # tokenizer, which is not safe to share between threads.
        with ThreadPoolExecutor(1, thread_name_prefix="prompts") as thread, _writing(writers) as pool:

            def look_ahead() -> None:
                while left and len(ready) < writers:
                    places, left[:] = left[:size], left[size:]
                    ready.append((places, thread.submit(prepare, [requests[place] for place in places])))

            look_ahead()
            while ready or running:
                while ready and len(running) < writers:
                    places, prepared = ready.popleft()
                    inputs = prepared.result()
                    look_ahead()
                    running[pool.submit(write, inputs, [requests[place] for place in places], sampling, seed)] = places
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    places = running.pop(future)
                    try:
                        written = future.result()
                    except torch.OutOfMemoryError:
                        if len(places) == 1:
                            raise
                        left[:0] = [*places, *(place for batch, _ in ready for place in batch)]
                        ready.clear()
                        size = self._halve(len(places))
                        look_ahead()
                    else:
                        read.append((places, thread.submit(self._completions, written)))
        done = {place: one for places, part in read for place, one in zip(places, part.result(), strict=True)}
        return [done[place] for place in range(len(requests))]

    def _writers(self) -> int:
        """How many batches are written at a time.

        The products of a small model are too small to share among cores: on a CPU each core writes a batch of its own.
        """
        if self.model.device.type != "cpu" or not small(backbone_of(prefix_decode.base_model(self.model)).language_model):
            return 1
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(torch.get_num_threads(), cores, MOST_WRITERS))

    def _halve(self, size: int) -> int:
        self.batch_size = size // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _log.warning(
            "%d prompts do not fit into the GPU's memory: going on with %d (generation.batch_size=%d starts there)",
            size, self.batch_size, self.batch_size,
        )  # fmt: skip
        return self.batch_size

    def _encode(self, requests: list[Request]) -> prompt_batch.PromptBatch:
        return prompt_batch.encode_prompts(
            self.processor,
            [request.messages for request in requests],
            [request.images for request in requests],
            self.open_image,
            videos=[request.videos for request in requests],
            audios=[request.audios for request in requests],
        )

    def _lean(self, prompts: prompt_batch.PromptBatch, requests: list[Request], sampling: Sampling, seed: int) -> Written:
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
        seeds = (_seed(seed, [request]) for request in requests)
        draws = None if sampling.temperature == 0 else uniform(seeds, sampling.max_new_tokens)
        tokens, scores = prefix_decode.decode_scored(
            self.model, prompts, 1, settings, uniform=draws, lean_prefill=True, logprobs=self.logprobs
        )
        told = [None] * len(tokens) if scores is None else [rows[0] for rows in scores]
        return [(rows[0], score) for rows, score in zip(tokens, told, strict=True)]

    def _process(self, requests: list[Request]) -> Any:
        if any(request.videos or request.audios for request in requests):
            raise InputError(
                f"this model writes through transformers' generate ({self.path.removeprefix('generate: ')}), which is given pictures alone: "
                "leave clips and sounds out, data.modalities=[text], or take model=qwen2_5_vl_7b or qwen2_5_omni_7b"
            )
        texts = [self.processor.apply_chat_template(r.messages, add_generation_prompt=True, tokenize=False) for r in requests]
        images = [[self.open_image(path) for path in request.images] for request in requests]
        return self.processor(
            text=texts, images=images if any(images) else None, padding=True, return_tensors="pt", add_special_tokens=False
        )

    def _generate(self, prepared: Any, requests: list[Request], sampling: Sampling, seed: int) -> Written:
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
                output_logits=self.logprobs,
                return_dict_in_generate=True,
            )
        tokens = written.sequences[:, inputs["input_ids"].shape[1] :]
        if not self.logprobs:
            return [(ids, None) for ids in tokens.tolist()]
        scores = [
            logits.float().log_softmax(-1).gather(1, chosen[:, None])
            for logits, chosen in zip(written.logits, tokens.unbind(1), strict=True)
        ]
        return list(zip(tokens.tolist(), torch.cat(scores, dim=1).tolist(), strict=True))

    def _completions(self, written: Written) -> list[Completion]:
        return [self._completion(ids, scores) for ids, scores in written]

    def _completion(self, ids: list[int], scores: list[float] | None) -> Completion:
        end = next((place for place, token in enumerate(ids) if token in self._ends), None)
        kept = ids if end is None else ids[:end]
        text = self.processor.tokenizer.decode(kept, skip_special_tokens=True)
        logprobs = None if scores is None else tuple(scores[: len(kept)])
        return Completion(text, tuple(kept), "length" if end is None else "stop", logprobs=logprobs)


class _Here(Executor):
    """Runs what is submitted at once, in the thread that submits it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def _writing(writers: int) -> Iterator[Executor]:
    """Where batches are written: here, or in as many threads, among which PyTorch's own are divided."""
    if writers == 1:
        yield _Here()
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // writers))  # threads that are started from now on take this over
    try:
        with ThreadPoolExecutor(writers, thread_name_prefix="writer") as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def _even(count: int, most: int, writers: int) -> int:
    """The size of batches of at most `most`, so that no writer is left without work at the end."""
    if writers < 2:
        return most
    batches = -(-count // most)
    return -(-count // (-(-batches // writers) * writers))


def _seed(seed: int, requests: Sequence[Request]) -> int:
    return seed_of(seed, *(part for request in requests for part in (request.key, request.sample)))
