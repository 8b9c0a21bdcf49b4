"""The engine for any server that speaks OpenAI's chat completions: asynchronous, patient, and honest about failures.

The `openai` package is not used: its retries hide how often a server failed, and `httpx` is here already with the hub client.
Requests run in an event loop of their own thread, so that `generate` can be called from anywhere, also from a notebook.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from PIL import Image

from facial_r1.config.schema import Endpoint, Sampling
from facial_r1.errors import InputError
from facial_r1.generation import openai_wire as wire
from facial_r1.generation.engine import Completion, Request
from facial_r1.generation.openai_media import LARGEST, File, MediaParts

_log = logging.getLogger("facial_r1")

GIVE_UP_AFTER = 10
"""Failures for good one after the other, without an answer in between, that end the work."""
LONGEST_WAIT = 300.0
"""Seconds. A server that wants to be left alone for longer is not waited for."""
_LONGEST_BACKOFF = 60.0
_LOCAL = ("localhost", "127.0.0.1", "::1")

Group = list[tuple[int, Completion]]


class OpenAIEngine:
    """Generates over HTTP.

    A request is tried `1 + retries` times: again after 408, 409, 425, 429, 5xx, timeouts, cut connections and answers that are
    no chat completion, with exponential back-off and jitter, or after as long as `Retry-After` says (which holds everyone
    back, not just the request that was told). What fails for good becomes a `Completion` with finish_reason "error".

    Args:
        endpoint: address, model, name of the key's variable, limits.
        open_image: opens a picture as the model is to see it; with `clip` and `sound`, those too (`prompt_batch.MediaLoader`).
        image_format: how it is sent.
        video: how clips are sent, see `openai_media.MediaParts`; `video_file` and `largest` too.
        samples_per_call: requests for the same prompt that travel as one call with `n`; saves the prompt's cost, but the
            samples of a call are then drawn from one seed.
        logprobs: ask for the log-probability of each token.
        first_wait: seconds before the first retry; doubles from there to a minute.

    Attributes:
        counts: what happened: "calls" (attempts sent), "answered", "retried", "failed" (requests without an answer), and how
            often each problem of `openai_wire.Problem` occurred.
        in_a_row: failures since the last answer.

    Raises:
        InputError: the variable named by `api_key_env` is not set.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        open_image: Callable[[str], Image.Image],
        *,
        image_format: Literal["png", "jpeg"] = "png",
        video: Literal["file", "frames"] = "file",
        video_file: Callable[[str], File] | None = None,
        largest: int = LARGEST,
        advice: str = "",
        samples_per_call: int = 1,
        logprobs: bool = False,
        first_wait: float = 0.5,
    ) -> None:
        if endpoint.base_url is None:
            raise InputError("no address of a server: give base_url, for example http://127.0.0.1:8000/v1")
        self.endpoint, self.base_url = endpoint, endpoint.base_url
        self.image_format = image_format
        self.media = MediaParts(open_image, self.picture, video, video_file, largest, advice)
        self.samples_per_call, self.logprobs, self.first_wait = samples_per_call, logprobs, first_wait
        self.counts: Counter[str] = Counter()
        self._key = _key(endpoint.api_key_env)
        self._model = endpoint.model
        self.limit_field = "max_tokens"
        self.in_a_row = 0
        self.last_failure = ""
        self.jitter = random.Random()
        self.pace = _Pace(endpoint.requests_per_minute)

    @classmethod
    def from_config(cls, generation: Any, open_image: Callable[[str], Image.Image]) -> OpenAIEngine:
        """The engine of the `generation` group of a job."""
        return cls(
            generation,
            open_image,
            image_format=generation.image_format,
            video=generation.video,
            advice="show fewer frames (data.video.frames), or smaller ones (model.image_size)",
            samples_per_call=generation.samples_per_call,
            logprobs=generation.logprobs,
        )

    def identity(self) -> dict[str, Any]:
        """What the answers depend on besides the request: the part of a cache key that stands for the weights.

        A server does not show its weights. A `revision` stands for them when given (then the address does not matter),
        otherwise the address does; a model that is a folder on this machine is known by its files.
        """
        weights: str | None = self.endpoint.revision
        if weights is None and os.path.isdir(self.model):  # noqa: PTH112 - a name with slashes is mostly no path
            from facial_r1.models.fingerprint import folder_fingerprint

            weights = folder_fingerprint(self.model)
        return {
            "engine": "openai",
            "model": self.model,
            "weights": weights or self.base_url,
            "images": self.image_format,
            **({"clips": "frames"} if self.media.video == "frames" else {}),
            "extra": self.endpoint.extra,
            "logprobs": self.logprobs,
            "samples_per_call": self.samples_per_call,
        }

    @property
    def model(self) -> str:
        """The model's name; asked of the server when the configuration has none.

        Raises:
            InputError: the server serves several models, none, or does not answer.
        """
        if self._model is None:
            self._model = self._only_model()
        return self._model

    def generate(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> list[Completion]:
        """See `Engine.generate`; see `stream` for what is raised."""
        done = {place: completion for group in self.stream(requests, sampling, seed) for place, completion in group}
        return [done[place] for place in range(len(requests))]

    def stream(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> Iterator[Group]:
        """Completions with their places in `requests`, as they arrive; those of one call together.

        Raises:
            InputError: the server refuses the key, the address or the model before anything was answered.
            RuntimeError: nothing works any more; the message says what the server answered last.
        """
        if not requests:
            return
        arrived: queue.SimpleQueue[Group | BaseException | None] = queue.SimpleQueue()
        work = _Work(self, self.model, requests, sampling, seed, arrived.put)

        def serve() -> None:
            try:
                with asyncio.Runner() as runner:
                    runner.run(work.run())
                arrived.put(None)
            except BaseException as error:  # whatever it is, the thread that waits raises it
                arrived.put(error)

        thread = threading.Thread(target=serve, name="openai engine", daemon=True)
        thread.start()
        try:
            while (item := arrived.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            work.stop()
            thread.join()

    def _only_model(self) -> str:
        try:
            answer = httpx.get(
                f"{self.base_url}/models",
                headers=self.headers(),
                timeout=min(30.0, self.endpoint.timeout),
                trust_env=self.trust_env(),
            )
            answer.raise_for_status()
            names = [str(item["id"]) for item in answer.json()["data"]]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.base_url}/models does not say what is served ({self.hidden(str(error))}); give model"
            ) from None
        if len(names) != 1:
            raise InputError(f"{self.base_url} serves {len(names)} models ({', '.join(names[:10])}); choose one with model")
        return names[0]

    def headers(self) -> dict[str, str]:
        """The header with the key, if there is one."""
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def trust_env(self) -> bool:
        """Whether proxies of the environment apply: not to a server on this machine."""
        return (urlsplit(self.base_url).hostname or "") not in _LOCAL

    def hidden(self, text: str) -> str:
        """A text without the key, which some servers repeat in their messages."""
        return text.replace(self._key, "(hidden)") if self._key else text

    def picture(self, picture: Image.Image) -> str:
        """A picture as it is sent."""
        return wire.data_url(picture, self.image_format)


class _Work:
    """One call of `stream`: workers that take groups of requests from one iterator until it is empty or all is lost."""

    def __init__(
        self,
        engine: OpenAIEngine,
        model: str,
        requests: Sequence[Request],
        sampling: Sampling,
        seed: int,
        deliver: Callable[[Group], None],
    ) -> None:
        self.engine, self.model, self.requests, self.sampling, self.seed = engine, model, requests, sampling, seed
        self.deliver = deliver
        self.groups = wire.grouped(requests, engine.samples_per_call)
        self.tasks: list[asyncio.Task[None]] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self.stopped = False
        self.unreachable = 0

    async def run(self) -> None:
        engine, timeout = self.engine, self.engine.endpoint.timeout
        self.loop = asyncio.get_running_loop()
        if self.stopped:
            return
        size = min(engine.endpoint.concurrency, len(self.groups))
        limits = httpx.Limits(max_connections=size, max_keepalive_connections=size)
        # The whole attempt is timed by `attempt`; a server that does not even accept a connection is noticed earlier.
        times = httpx.Timeout(timeout, connect=min(timeout, 30.0), pool=None)
        todo = iter(self.groups)
        async with httpx.AsyncClient(
            timeout=times, limits=limits, headers=engine.headers(), trust_env=engine.trust_env()
        ) as client:

            async def worker() -> None:
                for places in todo:
                    self.deliver(list(zip(places, await self.ask(client, places), strict=True)))

            self.tasks = [asyncio.create_task(worker()) for _ in range(size)]
            try:
                await asyncio.gather(*self.tasks)
            finally:
                for task in self.tasks:
                    task.cancel()
                await asyncio.gather(*self.tasks, return_exceptions=True)
        if not engine.counts["answered"] and self.unreachable == len(self.requests):
            raise RuntimeError(self.hopeless())

    def stop(self) -> None:
        """Cancel what is under way, from another thread; nothing happens when all is done."""
        self.stopped = True
        if self.loop is None:
            return
        try:
            self.loop.call_soon_threadsafe(lambda: [task.cancel() for task in self.tasks])
        except RuntimeError:  # the loop has been closed: the work is over
            return

    def hopeless(self) -> str:
        return (
            f"{self.engine.base_url}: {self.engine.in_a_row} requests for {self.model} failed one after the other; the last one: "
            f"{self.engine.last_failure.rstrip('.')}. What was answered before is kept"
        )

    async def ask(self, client: httpx.AsyncClient, places: list[int]) -> list[Completion]:
        """Answers for requests with one prompt; when a server gives fewer than `n`, the rest is asked for one by one."""
        first = self.requests[places[0]]
        found = await self.persist(client, first, len(places))
        for place in places[len(found) :]:
            found += await self.persist(client, replace(first, sample=self.requests[place].sample), 1)
        return found

    async def persist(self, client: httpx.AsyncClient, request: Request, samples: int) -> list[Completion]:
        """Up to `samples` completions, or as many failures when the last try failed."""
        engine, retries = self.engine, self.engine.endpoint.retries
        asked = await asyncio.to_thread(self.body, request, samples)
        attempt = 1
        while True:
            try:
                found = (await self.attempt(client, asked))[:samples]
                engine.counts["failed"] += sum(completion.failed for completion in found)
                engine.counts["answered"] += sum(not completion.failed for completion in found)
                engine.in_a_row = 0
                return found
            except wire.Refusal as refusal:
                engine.counts[refusal.problem] += 1
                refusal.message = engine.hidden(refusal.message)
                if wire.wants_other_limit(refusal) and "max_tokens" in asked:
                    engine.limit_field = "max_completion_tokens"
                    asked[engine.limit_field] = asked.pop("max_tokens")
                    continue
                if refusal.problem == "refused" and not engine.counts["answered"]:
                    raise InputError(self.advice(refusal.message)) from None
                if refusal.problem not in wire.PASSING or attempt > retries or (refusal.wait or 0.0) > LONGEST_WAIT:
                    return self.failed(request, samples, attempt, refusal)
                if refusal.wait is not None:
                    engine.pace.hold(refusal.wait)
                engine.counts["retried"] += 1
                await asyncio.sleep(
                    min(_LONGEST_BACKOFF, engine.first_wait * 2 ** (attempt - 1)) * engine.jitter.uniform(0.5, 1.0)
                )
                attempt += 1

    def failed(self, request: Request, samples: int, attempts: int, refusal: wire.Refusal) -> list[Completion]:
        """Completions that say why there are none.

        Raises:
            RuntimeError: it was one failure too many in a row. Requests that the server found invalid count only as long as it
                has not answered anything, for they may be the fault of some prompts.
        """
        engine = self.engine
        reason = f"{refusal.problem} after {attempts} {'try' if attempts == 1 else 'tries'}: {refusal.message}"
        _log.warning("%s: request %s failed: %s", engine.base_url, request.key, reason)
        engine.counts["failed"] += samples
        engine.last_failure = reason
        self.unreachable += samples if refusal.problem in wire.PASSING else 0
        if refusal.problem != "invalid" or not engine.counts["answered"]:
            engine.in_a_row += samples
        if engine.in_a_row >= GIVE_UP_AFTER:
            raise RuntimeError(self.hopeless())
        return [Completion("", (), "error", reason)] * samples

    def body(self, request: Request, samples: int) -> dict[str, Any]:
        engine = self.engine
        asked = wire.body(
            request,
            self.sampling,
            self.seed,
            model=self.model,
            samples=samples,
            media=engine.media,
            logprobs=engine.logprobs,
            extra=engine.endpoint.extra,
        )
        if engine.limit_field != "max_tokens" and "max_tokens" in asked:
            asked[engine.limit_field] = asked.pop("max_tokens")
        return asked

    async def attempt(self, client: httpx.AsyncClient, asked: dict[str, Any]) -> list[Completion]:
        """One call. Raises `Refusal` when it gave nothing."""
        engine = self.engine
        await engine.pace.turn()
        engine.counts["calls"] += 1
        try:
            async with asyncio.timeout(engine.endpoint.timeout):
                response = await client.post(f"{engine.base_url}/chat/completions", json=asked)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise wire.Refusal("timeout", f"no answer within {engine.endpoint.timeout:g} s ({type(error).__name__})") from error
        except httpx.HTTPError as error:
            raise wire.Refusal("connection", f"{type(error).__name__}: {error}") from error
        return wire.read(response.status_code, response.headers, response.content)

    def advice(self, message: str) -> str:
        endpoint = self.engine.endpoint
        key = f"the key in {endpoint.api_key_env}" if endpoint.api_key_env else "no key was sent: api_key_env names its variable"
        return f"{self.engine.base_url} refuses model {self.model}: {message}. Check base_url, model and api_key_env ({key})"


class _Pace:
    """Turns: at most so many a minute, evenly spread, and none while the server wants to be left alone."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._next = self._held = 0.0

    async def turn(self) -> None:
        """Wait until it is this caller's turn."""
        while (wait := max(self._held, self._next) - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        if self._gap:
            self._next = time.monotonic() + self._gap

    def hold(self, seconds: float) -> None:
        """No turn for so many seconds from now."""
        self._held = max(self._held, time.monotonic() + seconds)


def _key(variable: str | None) -> str:
    if variable is None:
        return ""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise InputError(f"api_key_env={variable}: this environment variable is not set; export it, or leave api_key_env null")
    if not all("!" <= character <= "~" for character in value):
        raise InputError(f"api_key_env={variable}: its value has characters that no key has (spaces, line breaks, non-ASCII)")
    return value
