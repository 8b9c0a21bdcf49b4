"""An engine that asks the cache first, and what its answers depend on besides the request.

Off by default for models that run here: an evaluation after training asks a model that was never asked before, and timings
of generation should be those of generation. On by default for servers and judges, where an answer costs money or a queue.

A model in memory is known by what it is, not by where it was loaded from (`facial_r1.models.fingerprint`): one that was
trained since must not find the answers of the weights it started from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from facial_r1.config.schema import ImageSize, Sampling
from facial_r1.errors import InputError
from facial_r1.generation.cache import ResponseCache, key
from facial_r1.generation.engine import Completion, Engine, Request, StreamingEngine, files
from facial_r1.models.fingerprint import file_digest, processor_fingerprint

_log = logging.getLogger("facial_r1")

_PICTURE_RULES = 1
"""Raise it when `data.images.open_image` or `models.images.ImageSizer` shows the same file differently."""


def picture_view(image_size: ImageSize, *, blank: bool = False) -> dict[str, Any]:
    """How pictures are shown, for an identity: the settings of `model.image_size`, and whether they are blanked."""
    return {"rules": _PICTURE_RULES, "size": dataclasses.asdict(image_size), "blank": blank}


def local_identity(
    engine: str, model: str, weights: str, processor: Any, dtype: str, view: Mapping[str, Any], **further: Any
) -> dict[str, Any]:
    """The identity of a model that runs here.

    Args:
        engine: "transformers", "vllm", ...
        model: a name to show, such as the folder or hub id.
        weights: `models.fingerprint(source, memory=cache)` of what was loaded, or
            `models.fingerprint.weights_fingerprint(model)` of a model that was trained since.
        processor: as it is set now.
        dtype: of the weights, "bfloat16".
        view: `picture_view(...)`.
        further: anything else that answers depend on (attention implementation, quantisation).

    Raises:
        InputError: `weights` names a hub model without a revision.
    """
    if weights.endswith("@None"):
        raise InputError(f"{model}: its revision is not known, so its answers cannot be cached: set generation.cache=false")
    return {
        "engine": engine,
        "model": model,
        "weights": weights,
        "processor": processor_fingerprint(processor),
        "dtype": dtype,
        "view": dict(view),
        **further,
    }


class CachedEngine:
    """Looks requests up, generates only what is missing, and stores answers as soon as they exist.

    Requests with the same content, sample index and seed get the same answer, also within one call: give samples of one
    prompt different `Request.sample`.

    Args:
        engine: writes what is missing. When it streams, every answer is stored as it arrives; else those of a call together.
        cache: where answers are kept.
        identity: what answers depend on besides the request; needs a "view" (`picture_view`) where there are pictures, since
            they enter by the bytes of their files.

    Attributes:
        counts: "hits", "misses", "unstored" (answers that could not be written down).
    """

    def __init__(self, engine: Engine, cache: ResponseCache, identity: Mapping[str, Any]) -> None:
        self.engine, self.cache, self.identity = engine, cache, dict(identity)
        self.counts: Counter[str] = Counter()
        self._files = _Files()

    def generate(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> list[Completion]:
        """See `Engine.generate`."""
        done = {place: completion for group in self.stream(requests, sampling, seed) for place, completion in group}
        return [done[place] for place in range(len(requests))]

    def stream(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> Iterator[list[tuple[int, Completion]]]:
        """See `StreamingEngine.stream`: first what the cache has, then what is generated."""
        places: dict[bytes, list[int]] = {}
        for place, request in enumerate(requests):
            places.setdefault(self.key(request, sampling, seed), []).append(place)
        found = self.cache.get_many(list(places))
        self.counts["hits"] += len(found)
        if found:
            yield [(place, completion) for name, completion in found.items() for place in places[name]]
        missing = [name for name in places if name not in found]
        self.counts["misses"] += len(missing)
        if not missing:
            return
        asked = [requests[places[name][0]] for name in missing]
        for group in self._generated(asked, sampling, seed):
            self._store([(missing[place], completion) for place, completion in group])
            yield [(place, completion) for index, completion in group for place in places[missing[index]]]

    def key(self, request: Request, sampling: Sampling, seed: int) -> bytes:
        """What the answer to a request is kept under.

        Raises:
            InputError: a picture is missing.
            ValueError: there are pictures, but the identity does not say how they are shown.
        """
        shown = files(request)
        if shown and "view" not in self.identity:
            raise ValueError("the identity of an engine that is shown pictures needs a view, see picture_view")
        return key(self.identity, request, sampling, seed, [self._files.digest(path) for path in shown])

    def _generated(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> Iterator[list[tuple[int, Completion]]]:
        if isinstance(self.engine, StreamingEngine):
            yield from self.engine.stream(requests, sampling, seed)
        else:
            yield list(enumerate(self.engine.generate(requests, sampling, seed)))

    def _store(self, items: list[tuple[bytes, Completion]]) -> None:
        try:
            self.cache.put_many(items, self.identity)
        except sqlite3.OperationalError as error:  # a full disk costs the cache, not the answers
            if not self.counts["unstored"]:
                _log.warning("%s: answers cannot be stored (%s); generation goes on without", self.cache.path, error)
            self.counts["unstored"] += len(items)


class _Files:
    """Digests of files, each read once as long as it does not change."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def digest(self, path: str) -> str:
        try:
            if Path(path).is_dir():  # a clip as a folder of pictures
                inside = [file_digest(file, self) for file in sorted(Path(path).iterdir()) if file.is_file()]
                return hashlib.sha256("\n".join(inside).encode()).hexdigest()
            return file_digest(path, self)
        except OSError as error:
            raise InputError(f"{path}: the picture cannot be read ({error.strerror or error})") from error

    def recall_file(self, stamp: str) -> str | None:
        return self._known.get(stamp)

    def remember_file(self, stamp: str, digest: str) -> None:
        self._known[stamp] = digest
