"""Which engine a configuration names, opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from transformers import GenerationConfig

from facial_r1.config.schema import Generation, Sampling
from facial_r1.config.suggest import did_you_mean
from facial_r1.errors import InputError
from facial_r1.generation.engine import Completion, Engine, Request
from facial_r1.generation.special_tokens import end_tokens


@dataclass(frozen=True)
class Opening:
    """What an engine may be made from.

    Attributes:
        generation: The `generation` group of a job.
        model: The loaded model; None where the engine loads the checkpoint itself.
        processor: Its processor.
        open_image: Opens a picture at the size the model sees.
        source: Folder or hub id of the checkpoint.
        max_length: Longest sequence of the job (`model.max_position`), or None.
        dtype: Precision for an engine that loads the checkpoint itself; "auto" is what the engine makes of it.
    """

    generation: Generation
    model: Any
    processor: Any
    open_image: Callable[[str], Image.Image]
    source: str
    max_length: int | None = None
    dtype: str = "auto"


def open_engine(
    generation: Generation,
    model: Any,
    processor: Any,
    open_image: Callable[[str], Image.Image],
    source: str,
    max_length: int | None = None,
    dtype: str = "auto",
) -> Engine:
    """The engine that `generation.name` names. See `Opening` for the arguments.

    Raises:
        InputError: There is no engine of that name here, or it cannot start.
    """
    opening = Opening(generation, model, processor, open_image, source, max_length, dtype)
    make = ENGINES.get(generation.name)
    if make is None:
        raise InputError(f"generation.name={generation.name}: {did_you_mean(generation.name, list(ENGINES))}")
    engine = make(opening)
    return CheckpointSampling(engine, _settings_of(opening)) if generation.checkpoint_sampling else engine


def _transformers(opening: Opening) -> Engine:
    from facial_r1.generation.transformers_engine import TransformersEngine

    generation = opening.generation
    return TransformersEngine(
        opening.model, opening.processor, opening.open_image, generation.batch_size, logprobs=generation.logprobs
    )


def _vllm(opening: Opening) -> Engine:
    from facial_r1.generation.vllm_engine import VLLMEngine
    from facial_r1.generation.vllm_inputs import require_vllm

    require_vllm("generation=vllm")
    settings = opening.generation.vllm
    if settings.max_model_length is None:
        settings = dataclasses.replace(settings, max_model_length=opening.max_length)
    return VLLMEngine(
        _folder(opening.source),
        opening.processor,
        opening.open_image,
        settings,
        end_tokens(_Settings(_settings_of(opening)), opening.processor.tokenizer),
        opening.dtype if opening.model is None else str(opening.model.dtype).removeprefix("torch."),
        logprobs=opening.generation.logprobs,
    )


#: Name of an engine, and what makes it.
ENGINES: Mapping[str, Callable[[Opening], Engine]] = {"transformers": _transformers, "vllm": _vllm}


@dataclass(frozen=True)
class _Settings:
    """What `end_tokens` reads of a model."""

    generation_config: GenerationConfig


def _folder(source: str) -> str:
    from facial_r1.models import embedded

    return embedded.resolved(source)


def _settings_of(opening: Opening) -> GenerationConfig:
    return checkpoint_settings(opening.model, opening.source)


def checkpoint_settings(model: Any, source: str) -> GenerationConfig:
    """The checkpoint's generation settings, from the model where it is loaded; empty ones where it has none."""
    if model is not None:
        return model.generation_config
    try:
        return GenerationConfig.from_pretrained(_folder(source))
    except OSError:
        return GenerationConfig()


class CheckpointSampling:
    """An engine whose neutral sampling values are those of the checkpoint's generation_config.json.

    Args:
        engine: Does the work.
        settings: The checkpoint's.
    """

    def __init__(self, engine: Engine, settings: GenerationConfig) -> None:
        self.engine, self._settings = engine, settings

    def generate(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> list[Completion]:
        """See `Engine.generate`."""
        return self.engine.generate(requests, with_checkpoint_values(sampling, self._settings), seed)


#: Values of `Sampling` that change nothing.
NEUTRAL = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


def with_checkpoint_values(sampling: Sampling, settings: GenerationConfig) -> Sampling:
    """Sampling with the checkpoint's values where it has neutral ones. The temperature stays: greedy is a choice.

    Args:
        sampling: What the stage asks for.
        settings: The checkpoint's generation settings; what is None there says nothing.
    """
    own = {name: getattr(settings, name, None) for name, neutral in NEUTRAL.items() if getattr(sampling, name) == neutral}
    return dataclasses.replace(sampling, **{name: value for name, value in own.items() if value is not None})
