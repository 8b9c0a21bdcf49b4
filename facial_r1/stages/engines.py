"""The engine a job asks for: a model in this process, vLLM, or a server, behind the cache where that is wanted."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from facial_r1.errors import InputError
from facial_r1.generation.engine import Engine
from facial_r1.stages.context import Context
from facial_r1.stages.material import Loaded, load_model, say
from facial_r1.stages.openers import picture_opener


def load_for_generation(context: Context, source: str | None = None) -> Loaded:
    """What the engine needs of the starting model (or of the one at `source`).

    The transformers engine gets model and processor, vLLM (which loads the weights itself) the processor, a server neither.

    Raises:
        InputError: `generation=openai` for weights that the server does not have.
    """
    name = context.job.generation.name
    if name == "transformers":
        return load_model(context, train=False, source=source)
    found = source or context.source()[0]
    if name == "openai":
        if source is not None:
            raise InputError(
                f"generation=openai asks {context.job.generation.base_url}, which does not have the weights of {source}: "
                "use generation=transformers here, or stage.evaluate=false"
            )
        served = f"{context.job.generation.base_url}#{context.job.generation.model}"
        return Loaded(None, None, picture_opener(context, None), served)
    from facial_r1.models.loading import load_processor

    processor = load_processor(context.job.model, found)
    return Loaded(None, processor, picture_opener(context, processor), found)


def engine_of(context: Context, loaded: Loaded) -> Engine:
    """The engine of the job over what `load_for_generation` gave, behind the cache when `generation.cache` says so."""
    generation = context.job.generation
    if generation.name == "openai":
        from facial_r1.generation.openai_engine import OpenAIEngine

        engine: Engine = OpenAIEngine.from_config(generation, loaded.open_image)
    else:
        from facial_r1.generation.opening import open_engine
        from facial_r1.training.arguments import training_dtype

        engine = open_engine(
            generation,
            loaded.model,
            loaded.processor,
            loaded.open_image,
            loaded.source,
            context.job.model.max_position,
            str(training_dtype(context.job)).removeprefix("torch."),
        )
    if not generation.cache:
        return engine
    from facial_r1.generation.cache import open_cache
    from facial_r1.generation.cached_engine import CachedEngine

    cache = open_cache(generation.cache)
    assert cache is not None
    return CachedEngine(engine, cache, _identity(context, loaded, engine, cache))


def penalty_of(context: Context, loaded: Loaded) -> float:
    """The repetition penalty of an evaluation: `stage.repetition_penalty`, else the checkpoint's own, which is said."""
    wanted = getattr(context.job.stage, "repetition_penalty", None)
    if wanted is not None:
        return float(wanted)
    if context.job.generation.name == "openai":
        return 1.0
    from facial_r1.generation.opening import checkpoint_settings

    own = float(checkpoint_settings(loaded.model, loaded.source).repetition_penalty or 1.0)
    if own != 1.0:
        say(context, f"repetition penalty {own:g}, the checkpoint's own (stage.repetition_penalty overrides it)")
    return own


def _identity(context: Context, loaded: Loaded, engine: Any, cache: Any) -> dict[str, Any]:
    """Everything an answer depends on besides the request."""
    from facial_r1.generation.cached_engine import local_identity, picture_view

    generation = context.job.generation
    view = picture_view(context.job.model.image_size, blank=bool(getattr(context.job.stage, "blank_images", False)))
    view |= _media_view(context)
    if generation.name == "openai":
        return {**engine.identity(), "view": view}
    from facial_r1 import models
    from facial_r1.training.arguments import training_dtype

    return local_identity(
        generation.name,
        loaded.source,
        models.fingerprint(loaded.source, memory=cache),
        loaded.processor,
        str(training_dtype(context.job)).removeprefix("torch."),
        view,
        checkpoint_sampling=generation.checkpoint_sampling,
        attention=context.job.model.attention,
        **({"logprobs": True} if generation.logprobs else {}),  # what was stored before there was a choice stays valid
    )


def _media_view(context: Context) -> dict[str, Any]:
    """How clips and sounds are shown, where that is another way than by default."""
    settings: dict[str, Any] = {"video": context.job.data.video, "audio": context.job.data.audio}
    return {name: asdict(one) for name, one in settings.items() if one != type(one)()}
