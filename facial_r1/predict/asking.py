"""The engine of an evaluation for records that are no test set: same weights, prompt, picture size, template and sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from facial_r1 import prompts, worker
from facial_r1.config.schema import Eval, Sampling
from facial_r1.data import ImageError, Protocol, Record
from facial_r1.data.media.checking import looks_of, uses_of
from facial_r1.data.media.errors import MediaError
from facial_r1.generation.engine import Completion, Request
from facial_r1.init_from import Chosen
from facial_r1.interruption import StopRequest
from facial_r1.runs import RunDirectory
from facial_r1.stages.context import Context
from facial_r1.stages.engines import engine_of, load_for_generation, penalty_of
from facial_r1.stages.openers import shown

if TYPE_CHECKING:
    from facial_r1.data.media.looking import Look
    from facial_r1.generation.prompt_batch import MediaLoader
    from facial_r1.models.media import Clip


class _Held:
    """Opens what a job's opener opens; pictures that were opened before are not opened again."""

    def __init__(self, opener: MediaLoader) -> None:
        self._opener = opener
        self.pictures: dict[str, Image.Image] = {}

    def __call__(self, path: str) -> Image.Image:
        found = self.pictures.get(path)
        return self._opener(path) if found is None else found

    def clip(self, path: str) -> Clip:
        return self._opener.clip(path)

    def sound(self, path: str) -> np.ndarray:
        return self._opener.sound(path)


class Asking:
    """A model that is ready to answer.

    Args:
        chosen: The job and its weights.

    Attributes:
        job: The job.
        chunk: Records between two answers that are shown; no more pictures than these are held in memory.

    Raises:
        InputError: The weights cannot be loaded, or the engine cannot start.
    """

    def __init__(self, chosen: Chosen) -> None:
        self.job = chosen.job
        stage = self.job.stage
        assert isinstance(stage, Eval)
        worker.quiet_libraries(self.job)
        context = Context(RunDirectory(Path(self.job.output_root)), self.job, StopRequest())
        loaded = load_for_generation(context)
        from facial_r1.models.perception import perceives

        self._open = loaded.open_image
        self._held = _Held(self._open)
        self._hears = loaded.processor is None or "audio" in perceives(loaded.processor)
        loaded = replace(loaded, open_image=self._held)
        self._engine = engine_of(context, loaded)
        self._sampling = Sampling(
            temperature=stage.temperature, max_new_tokens=stage.max_new_tokens, repetition_penalty=penalty_of(context, loaded)
        )
        generation = self.job.generation
        sizes = {"transformers": generation.batch_size, "openai": 2 * generation.concurrency}
        self.chunk = sizes.get(generation.name, stage.chunk)

    def open_files(self, records: Sequence[Record]) -> tuple[list[Record], list[ImageError | MediaError]]:
        """Decode the pictures of a chunk and look at its clips and sounds, so that one that is broken costs only its own record.

        Returns:
            The records whose files could be opened, videos with their sound track where the model hears, and what is wrong with
            the others.
        """
        self._held.pictures = {}
        looks = looks_of([use for record in records for use in uses_of(record)], self._hears)
        readable: list[Record] = []
        broken: list[ImageError | MediaError] = []
        for record in records:
            found = [looks[use] for use in uses_of(record)]
            wrong = next((look for look in found if isinstance(look, MediaError)), None)
            if wrong is not None:
                broken.append(wrong)
                continue
            try:
                for path in record.images:
                    self._held.pictures[path] = self._held(path)
            except ImageError as error:
                broken.append(error)
            else:
                readable.append(self._with_sound(record, looks.get((record.video, "video"))))
        return readable, broken

    def _with_sound(self, record: Record, seen: Look | MediaError | None) -> Record:
        """A record with what the model can hear of it."""
        if not self._hears:
            return replace(record, audio="") if record.video else record
        track = seen is not None and not isinstance(seen, MediaError) and seen.facts.audio is not None
        return replace(record, audio=record.video) if track and not record.audio else record

    def ask(self, records: Sequence[Record], protocol: Protocol) -> list[Completion]:
        """One answer for each record, in their order."""
        if not records:
            return []
        requests = [
            Request(
                record.id,
                prompts.messages(record, self.job.prompt, protocol.labels, vocabulary=protocol.action_units),
                **shown(record),
            )
            for record in records
        ]
        return self._engine.generate(requests, self._sampling, self.job.seed)
