"""Loading, saving and naming of checkpoints: any image-text-to-text model of the library, one way in and one way out."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import HFValidationError
from peft import PeftModel
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    PretrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)

from facial_r1 import atomic
from facial_r1.config.schema import Model as ModelConfig
from facial_r1.errors import InputError
from facial_r1.models import adapters, embedded
from facial_r1.models.fingerprint import Memory, folder_fingerprint
from facial_r1.models.images import ImageSizer
from facial_r1.models.parts import freeze
from facial_r1.models.thinker import ARCHITECTURE as THINKER
from facial_r1.models.thinker import WHOLE, as_thinker
from facial_r1.models.towers import quicken

FLASH_ATTENTION = "flash_attention_2"


def load(
    model_config: ModelConfig,
    source: str | Path | None = None,
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
    train: bool,
) -> tuple[PreTrainedModel | PeftModel, ProcessorMixin]:
    """Load a checkpoint and its processor.

    Args:
        model_config: The ``model`` group of a job.
        source: Hub id, directory or embedded checkpoint (``embedded:tiny``); by default ``model_config.source``.
        dtype: Overrides ``model_config.dtype``.
        device: Where to put the model; by default a GPU when there is one and ``train`` is unset. In training the trainer
            places it.
        train: Apply freezing, adapters and gradient checkpointing, and leave the model in training mode.

    Returns:
        The model (a `PeftModel` with adapters when these are enabled and ``train`` is set) and the processor, which pads
        on the left and carries the image size bounds of ``model_config.image_size``.

    Raises:
        InputError: The source does not exist, is not reachable, has no safetensors weights, is of another architecture than
            ``model_config.architecture``, or the attention implementation is not available.
    """
    place = _folder_or_id(model_config.source if source is None else source)
    config = _read_config(place, model_config.architecture)
    processor = load_processor(model_config, place)
    kind = dtype or choose_dtype(model_config.dtype, train=train, lora=model_config.lora.enabled)
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            place,
            config=config,
            dtype=kind,
            attn_implementation=choose_attention(model_config.attention),
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, ImportError) as error:
        raise InputError(_explain(place, error)) from error
    _check_position(config, model_config.max_position)
    quicken(as_thinker(model))
    if device is None and not train and torch.cuda.is_available():
        device = "cuda"
    if device is not None:
        model.to(torch.device(device))  # type: ignore[arg-type]
    if not train:
        return model.eval(), processor
    return _for_training(model, model_config).train(), processor


def _for_training(model: PreTrainedModel, model_config: ModelConfig) -> PreTrainedModel | PeftModel:
    if model_config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if not model_config.lora.enabled:
        freeze(
            model,
            vision=model_config.freeze_vision,
            projector=model_config.freeze_projector,
            audio=model_config.freeze_audio,
        )
        return model
    kept = [name for name in ("freeze_vision", "freeze_projector", "freeze_audio") if getattr(model_config, name)]
    if model_config.lora.targets == "all" and kept:
        raise InputError(
            "model.lora.targets=all puts adapters on the towers and the projector, but "
            f"{' and '.join(f'model.{name}' for name in kept)} keeps them frozen; set model.lora.targets=language"
        )
    return adapters.attach(model, model_config.lora)


def load_processor(model_config: ModelConfig, source: str | Path | None = None) -> ProcessorMixin:
    """Load the processor alone: left padding, a padding token, and the bounds of ``model_config.image_size``."""
    place = _folder_or_id(model_config.source if source is None else source)
    try:
        processor = AutoProcessor.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(_explain(place, error)) from error
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None or getattr(processor, "image_processor", None) is None:
        raise InputError(
            f"model.source={place}: its processor is a {type(processor).__name__}, without a tokenizer and an image "
            "processor; the directory needs the files that processor.save_pretrained writes"
        )
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if model_config.max_position is not None:
        tokenizer.model_max_length = model_config.max_position
    assert_left_padding(processor)
    ImageSizer.from_processor(processor, model_config.image_size)
    return processor


def assert_left_padding(processor: ProcessorMixin) -> None:
    """Check by padding two texts that the padding comes first, whatever the processor's own settings say.

    Raises:
        RuntimeError: It comes last; generation from such a batch would go on after the padding.
    """
    masks = processor(text=["a", "a b c d e f g h"], padding=True)["attention_mask"]
    short, long = (list(map(int, mask)) for mask in masks)
    padding = len(long) - sum(short)
    if padding < 1 or any(short[:padding]) or not all(long):
        raise RuntimeError(f"{type(processor).__name__} pads on the right; batches must be padded on the left")


def choose_dtype(name: str, *, train: bool, lora: bool = False) -> torch.dtype:
    """Give the type of the weights.

    ``auto`` is float32 on the CPU and wherever all weights are trained (at a rate of 1e-6 an update of a bfloat16 weight is
    below its resolution; mixed precision is the trainer's), and bfloat16 on a GPU for frozen weights and for inference.
    With DeepSpeed, which keeps its own float32 copies, pass a type.
    """
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
    return torch.bfloat16 if torch.cuda.is_available() and (lora or not train) else torch.float32


def choose_attention(name: str) -> str:
    """Give the attention implementation: ``auto`` takes FlashAttention where it is installed with a GPU, else ``sdpa``.

    Raises:
        InputError: FlashAttention is asked for and cannot run here.
    """
    installed = importlib.util.find_spec("flash_attn") is not None
    usable = installed and torch.cuda.is_available()
    if name == "auto":
        return FLASH_ATTENTION if usable else "sdpa"
    if name == FLASH_ATTENTION and not usable:
        reason = "there is no CUDA GPU" if installed else "flash-attn is not installed: pip install 'facial-r1[flash-attn]'"
        raise InputError(f"model.attention={name}: {reason}; or set model.attention=auto, which takes what there is")
    return name


def _folder_or_id(source: str | Path) -> str:
    """Resolve a source; a directory is checked for a configuration file."""
    source = embedded.resolved(source) if isinstance(source, str) else source
    folder = Path(source)
    if not folder.is_dir():
        if isinstance(source, Path) or str(source).startswith((".", "/", "~")) or str(source).count("/") > 1:
            raise InputError(f"model.source={source}: there is no such directory; check the path or give a hub id")
        return str(source)
    if not (folder / "config.json").is_file():
        kind = "a LoRA adapter; merge it into a full model first" if (folder / "adapter_config.json").is_file() else "no model"
        raise InputError(f"model.source={folder}: no config.json there, so it is {kind}. Give the folder that has one")
    return str(folder)


def _read_config(place: str, architecture: str) -> PretrainedConfig:
    try:
        config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError, KeyError, HFValidationError) as error:
        raise InputError(_explain(place, error)) from error
    if config.model_type == WHOLE and architecture == THINKER:
        config = config.thinker_config  # text out: talker and vocoder stay where they are
    if config.model_type != architecture:
        raise InputError(
            f"{place}: the checkpoint is of architecture {config.model_type}, but model.architecture is {architecture}; "
            f"choose the model= whose architecture is {config.model_type}, or another checkpoint"
        )
    return config


def _check_position(config: PretrainedConfig, max_position: int | None) -> None:
    longest = config.get_text_config().max_position_embeddings
    if max_position is not None and max_position > longest:
        raise InputError(
            f"model.max_position={max_position}: the checkpoint has positions for {longest} tokens; set it to {longest} or less"
        )


def _explain(place: str, error: Exception) -> str:
    """Say in one line what is wrong with a source, and the fix."""
    said = " ".join(str(error).split())
    if "safetensors" in said:
        return f"model.source={place}: no safetensors weights there ({said[:200]}); only safetensors files are loaded, convert it"
    if "trust_remote_code" in said or "custom code" in said:
        return f"model.source={place}: it needs code of its own, which is never run; take a checkpoint in the library's format"
    if "model type" in said or "model_type" in said:
        return f"model.source={place}: {said[:200]}; take a checkpoint of a known image-text-to-text architecture"
    if Path(place).is_dir():
        return f"model.source={place}: it cannot be loaded ({type(error).__name__}: {said[:300]}); the folder may be incomplete"
    return (
        f"model.source={place}: no directory of that name, and the hub has no such model or cannot be reached "
        f"({type(error).__name__}). Download it where there is a network (hf download {place}) and give the directory as "
        "model.source, or check the spelling"
    )


def save(
    model: PreTrainedModel | PeftModel,
    processor: ProcessorMixin,
    folder: str | Path,
    *,
    state: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write a full model that ``from_pretrained`` loads: weights, configuration, generation settings, processor, chat template.

    Adapters are added into the weights on the way out; the model itself is not changed. The folder appears at once or not
    at all, and replaces one of the same name.

    Args:
        model: The model, with adapters or without.
        processor: Its processor.
        folder: Target directory.
        state: The state dict where it has to be gathered first (ZeRO-3); by default the model's own.
    """
    gathered = None if state is None else dict(state)
    if isinstance(model, PeftModel):
        # Without its adapted layers: a twin of the base model is what can be saved and loaded.
        model, gathered = _bare_twin(model.get_base_model(), adapters.merged_state(model, state)), None
    with atomic.folder(Path(folder)) as fresh:
        model.save_pretrained(fresh, state_dict=gathered)
        _forget_last_batch(processor)
        processor.save_pretrained(fresh)
    return Path(folder)


def _forget_last_batch(processor: ProcessorMixin) -> None:
    """Reset what a fast tokenizer remembers of its last batch and would write down: padding and truncation."""
    core = getattr(processor.tokenizer, "backend_tokenizer", None)
    if core is not None:
        core.no_padding()
        core.no_truncation()


def _bare_twin(base: Any, state: Mapping[str, Tensor]) -> PreTrainedModel:
    with torch.device("meta"):
        twin = type(base)(base.config)
    _, unexpected = twin.load_state_dict(dict(state), strict=False, assign=True)
    twin.tie_weights()
    left = [name for name, parameter in twin.named_parameters() if parameter.is_meta]
    if unexpected or left:
        raise RuntimeError(f"merging the adapters lost or invented weights: {[*left, *unexpected][:5]}")
    twin.generation_config = base.generation_config
    return twin


def fingerprint(source: str | Path, memory: Memory | None = None) -> str:
    """Give a short name of a checkpoint's contents, for caches: it changes when a weight, setting or template does.

    Args:
        source: A directory or embedded checkpoint; for a hub id, the downloaded revision is the name.
        memory: Remembers files that have not changed, so that large ones are read once.

    Raises:
        InputError: There is nothing to name.
    """
    place = _folder_or_id(source)
    folder = Path(place)
    if not folder.is_dir():
        revision = getattr(_read_any_config(place), "_commit_hash", None)
        return f"{place}@{revision}"
    return folder_fingerprint(folder, memory)


def _read_any_config(place: str) -> PretrainedConfig:
    try:
        return AutoConfig.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError, KeyError, HFValidationError) as error:
        raise InputError(_explain(place, error)) from error
