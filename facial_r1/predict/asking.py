"""The engine of an evaluation for records that are no test set: same weights, prompt, picture size, template and sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from facial_r1 import prompts, worker
from facial_r1.config.schema import Eval, Sampling
from facial_r1.data import ImageError, Protocol, Record
from facial_r1.generation.engine import Completion, Request
from facial_r1.init_from import Chosen
from facial_r1.interruption import StopRequest
from facial_r1.runs import RunDirectory
from facial_r1.stages.context import Context
from facial_r1.stages.engines import engine_of, load_for_generation, penalty_of


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
        self._open = loaded.open_image
        self._held: dict[str, Image.Image] = {}
        loaded = replace(loaded, open_image=self._picture)
        self._engine = engine_of(context, loaded)
        self._sampling = Sampling(
            temperature=stage.temperature, max_new_tokens=stage.max_new_tokens, repetition_penalty=penalty_of(context, loaded)
        )
        generation = self.job.generation
        sizes = {"transformers": generation.batch_size, "openai": 2 * generation.concurrency}
        self.chunk = sizes.get(generation.name, stage.chunk)

    def open_pictures(self, records: Sequence[Record]) -> tuple[list[Record], list[ImageError]]:
        """Decode the pictures of a chunk, so that one that is broken costs only its own record.

        Returns:
            The records whose pictures could be opened, and what is wrong with the others.
        """
        self._held = {}
        readable, broken = [], []
        for record in records:
            try:
                for path in record.images:
                    if path not in self._held:
                        self._held[path] = self._open(path)
                readable.append(record)
            except ImageError as error:
                broken.append(error)
        return readable, broken

    def ask(self, records: Sequence[Record], protocol: Protocol) -> list[Completion]:
        """One answer for each record, in their order."""
        if not records:
            return []
        requests = [
            Request(
                record.id,
                prompts.messages(record, self.job.prompt, protocol.labels, vocabulary=protocol.action_units),
                record.images,
            )
            for record in records
        ]
        return self._engine.generate(requests, self._sampling, self.job.seed)

    def _picture(self, path: str) -> Image.Image:
        held = self._held.get(path)
        return self._open(path) if held is None else held
