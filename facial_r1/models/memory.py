"""How much GPU memory a training job needs, estimated before anything is allocated.

The parameter count is exact: the architecture is built on the meta device. The rest is bookkeeping of what mixed-precision
AdamW, DeepSpeed's ZeRO (Rajbhandari et al. 2020, section 3), FSDP2 and gradient checkpointing keep, and leaves out fragmentation and
the libraries' own buffers, for which `RESERVE` stands. It is an estimate and says so wherever it is printed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facial_r1.config.schema import GRPO, SFT, Job
from facial_r1.errors import InputError

GIB = 1024**3
#: CUDA context, communication buffers and fragmentation, in bytes.
RESERVE = 4 * GIB
#: What is assumed where there is no GPU to ask, in bytes.
USUAL_GPU = 80 * GIB
_ARCHITECTURES = Path(__file__).parent / "architectures"


@dataclass(frozen=True)
class Shape:
    """What an architecture needs memory for.

    Attributes:
        parameters: Of the whole model.
        trained: Of what learns under the job's freezing and adapters.
        vision: Of the vision tower with its projector, and of the audio tower.
        layers, width, feed_forward: Of the language model.
        kv_width: Width of keys (or values) of one layer: heads x head size.
        vocabulary: Output tokens.
    """

    parameters: int
    trained: int
    vision: int
    layers: int
    width: int
    feed_forward: int
    kv_width: int
    vocabulary: int


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU by purpose."""

    parts: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """All parts and the reserve."""
        return sum(self.parts.values()) + RESERVE


def shape_of(job: Job, source: str) -> Shape | None:
    """The shape of the model at `source`; None for a hub id whose architecture is neither here nor downloaded."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    from facial_r1.models import adapters, embedded
    from facial_r1.models.parts import freeze, parts
    from facial_r1.models.thinker import WHOLE

    folder = Path(embedded.resolved(source))
    shipped = _ARCHITECTURES / f"{source.rsplit('/', 1)[-1]}.json"
    if (folder / "config.json").is_file():
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    elif shipped.is_file():
        values = json.loads(shipped.read_text(encoding="utf-8"))
        config = AutoConfig.for_model(values.pop("model_type"), **values)
    else:
        return None
    if config.model_type == WHOLE:
        config = config.thinker_config
    with torch.device("meta"):
        model: Any = AutoModelForImageTextToText.from_config(config)
    towers = {**parts(model).tower, **parts(model).hearing}
    tower = sum(p.numel() for module in towers.values() for p in module.parameters())
    projector = sum(p.numel() for p in parts(model).projector_parameters())
    inside = any(name.startswith(tuple(towers)) for name in parts(model).projector)
    total = sum(p.numel() for p in model.parameters())
    settings = job.model
    if settings.lora.enabled:
        with torch.device("meta"):
            model = adapters.attach(model, settings.lora)
    else:
        freeze(model, vision=settings.freeze_vision, projector=settings.freeze_projector, audio=settings.freeze_audio)
    text = config.get_text_config()
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return Shape(
        parameters=total,
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        vision=tower + (0 if inside else projector),
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        feed_forward=text.intermediate_size,
        kv_width=text.num_key_value_heads * head,
        vocabulary=text.vocab_size,
    )


def training_memory(job: Job, shape: Shape, world: int, prompt_tokens: int) -> Memory:
    """Bytes on each GPU while training.

    Args:
        job: With a stage of SFT or GRPO.
        shape: Of its model.
        world: Ranks.
        prompt_tokens: Of a typical prompt with its image.
    """
    stage = job.stage
    assert isinstance(stage, (SFT, GRPO))
    kind, offload = job.launch.distributed, job.launch.offload
    deepspeed, fsdp = kind in ("zero2", "zero3"), kind == "fsdp2"
    sharded, partitioned = kind in ("zero3", "fsdp2"), deepspeed or fsdp
    # Bytes of a weight: DeepSpeed works on 16 bits and keeps float32 copies with its optimizer, others train float32 itself.
    wide = 2 if deepspeed or job.model.lora.enabled else 4
    ranks = world if partitioned else 1
    parts = {
        "weights": wide * shape.parameters / (world if sharded else 1),
        "gradients": (2 if deepspeed else 4) * shape.trained / ranks,
        "optimizer": (12 if deepspeed else 8) * shape.trained / ranks,
    }
    if offload and partitioned:
        parts["optimizer"] = 0.0
        if sharded:
            parts["weights"] = 0.0
        if fsdp:
            parts["gradients"] = 0.0
    largest = max(shape.vocabulary * shape.width, (shape.parameters - shape.vision) // shape.layers)
    if sharded:
        parts["gathered layers"] = 2 * 2.0 * largest
    group = isinstance(stage, GRPO)
    if isinstance(stage, GRPO):
        rows = stage.batch_size(world)
        groups = max(1, rows // stage.num_generations)
        shared = stage.efficiency.share_prompt
        tokens = rows * stage.max_completion_length + (groups if shared else rows) * prompt_tokens
        answers = rows * stage.max_completion_length
        if stage.beta:
            parts["reference model"] = wide * shape.parameters / (world if sharded else 1)
    else:
        tokens = (stage.per_device_batch_size or 1) * (prompt_tokens + stage.max_new_tokens)
        answers = (stage.per_device_batch_size or 1) * stage.max_new_tokens
    layer = 2.0 * tokens * (12 * shape.width + 4 * shape.kv_width + 4 * shape.feed_forward)
    kept = 2.0 * tokens * shape.width * shape.layers
    parts["activations"] = layer + kept if job.model.gradient_checkpointing else layer * shape.layers
    parts["logits"] = 6.0 * answers * shape.vocabulary
    if group:
        cache = 2.0 * 2 * shape.layers * shape.kv_width * tokens
        generating = cache + (2.0 * shape.parameters if sharded else 0.0)
        training = parts["activations"] + parts["logits"]
        parts["generation beyond training"] = max(0.0, generating - training)
    return Memory(parts)


def gpu_bytes() -> tuple[float, str]:
    """Memory of this rank's GPU, or of the usual one, and which of the two it is."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory), torch.cuda.get_device_name(0)
    return float(USUAL_GPU), "assumed; there is no GPU here"


def host_memory(job: Job, shape: Shape) -> float:
    """Bytes of host memory that the ranks of one node need for the model: what is offloaded, and the copies it is sharded from."""
    launch = job.launch
    states = (
        {"zero2": 12, "zero3": 12, "fsdp2": 12}.get(launch.distributed, 0) * shape.trained / launch.nodes
        if launch.offload
        else 0.0
    )
    if launch.offload and launch.distributed == "zero3":
        states += 2.0 * shape.parameters / launch.nodes
    loaded = 4.0 if launch.distributed == "fsdp2" else 2.0
    # Each rank reads the whole checkpoint before it keeps its part.
    return max(states, loaded * shape.parameters * launch.processes if launch.distributed in ("zero3", "fsdp2") else 0.0)


def describe(job: Job, source: str, world: int, prompt_tokens: int) -> list[str]:
    """The estimate in words: one line of numbers, one with advice where it does not fit."""
    try:
        shape = shape_of(job, source)
    except (OSError, ValueError, InputError) as error:
        return [f"memory: not estimated, the architecture of {source} cannot be read ({error})"]
    if shape is None:
        return [f"memory: not estimated, {source} is neither downloaded nor one of the architectures shipped"]
    memory = training_memory(job, shape, world, prompt_tokens)
    shown = ", ".join(f"{name} {size / GIB:.1f}" for name, size in memory.parts.items() if size / GIB >= 0.05)
    lines = [
        f"memory (estimate): {memory.total / GIB:.1f} GiB a GPU ({shown or 'all parts below 0.1'}, reserve {RESERVE / GIB:.0f}); "
        f"{_count(shape.parameters)} parameters, {_count(shape.trained)} of them learn"
    ]
    host = host_memory(job, shape)
    if host > GIB:
        lines.append(f"memory (estimate): {host / GIB:.0f} GiB in the host of each node, at the start or offloaded")
    available, name = gpu_bytes()
    if memory.total > available:
        lines.append(f"this will not fit into {available / GIB:.0f} GiB ({name}). {_advice(job, shape, world)}")
    return lines


def _count(parameters: float) -> str:
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.1f} M"


def _advice(job: Job, shape: Shape, world: int) -> str:
    stage, choices = job.stage, []
    if job.launch.distributed not in ("zero3", "fsdp2"):
        choices.append("launch=torchrun launch.distributed=zero3 shards weights, gradients and optimizer over the ranks")
    elif not job.launch.offload:
        choices.append("launch.offload=true keeps weights and optimizer in the memory of the host (slower)")
    states = 16 * shape.trained / GIB
    if world < 8 and states > 60:
        choices.append(
            f"more ranks (launch.processes, launch.nodes): the training state alone is about {states:.0f} GiB over all of them"
        )
    if not job.model.gradient_checkpointing:
        choices.append("model.gradient_checkpointing=true")
    if not job.model.lora.enabled:
        choices.append("model.lora.enabled=true trains adapters only")
    if isinstance(stage, GRPO) and stage.batch_size(world) > stage.num_generations:
        choices.append(f"stage.per_device_batch_size={stage.num_generations} makes a pass one group")
    elif isinstance(stage, SFT) and (stage.per_device_batch_size or 1) > 1:
        choices.append("stage.per_device_batch_size=1 with more stage.gradient_accumulation")
    return "Try: " + "; ".join(choices) if choices else "Use GPUs with more memory, or more of them"
