"""The tiny model, drawn faces, and trainers that sample with vLLM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from PIL import Image
from trl import GRPOConfig

from facial_r1 import models
from facial_r1.config.schema import Lora, Model
from facial_r1.data.schematic.drawing import draw
from facial_r1.data.schematic.faces import face
from facial_r1.training.efficiency import Efficiency
from facial_r1.training.group_grpo import GroupGRPOTrainer
from facial_r1.training.vllm_backend import VLLMOptions

QUESTIONS = ("Describe this face.", "Which action units are active in this face?", "What is the emotion of this face?")
#: Completions per prompt.
GROUP = 4


def open_face(name: str) -> Image.Image:
    """The drawn face of a number, 112 pixels square."""
    return draw(face(0, int(name), range(40)))


def ask(number: int) -> list[dict[str, Any]]:
    """A question about one picture; they differ in length."""
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTIONS[number % len(QUESTIONS)]}]}]


def load(*, freeze_vision: bool = False, lora: bool = False, train: bool = True) -> tuple[Any, Any]:
    """The embedded model in float32, and its processor."""
    settings = Model(
        name="tiny",
        source="embedded:tiny",
        architecture="qwen2_5_vl",
        freeze_vision=freeze_vision,
        lora=Lora(enabled=lora, rank=4),
    )
    return models.load(settings, dtype=torch.float32, train=train)


def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """Arbitrary, and different within a group."""
    return [sum(ids) % 11 / 11 for ids in completion_ids]


def trainer(
    folder: Path,
    *,
    freeze_vision: bool = False,
    lora: bool = False,
    efficiency: Efficiency | None = None,
    options: VLLMOptions | None = None,
    dynamic_sampling: int | None = None,
    **settings: Any,
) -> GroupGRPOTrainer:
    """A trainer of two prompts a step with vLLM in its process."""
    model, processor = load(freeze_vision=freeze_vision, lora=lora)
    defaults: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": GROUP,
        "gradient_accumulation_steps": 2,
        "num_generations": GROUP,
        "max_completion_length": 20,
        "max_steps": 2,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": 0.1,
        "vllm_max_model_length": 256,
        "remove_unused_columns": False,
    }
    rows = {"prompt": [ask(number) for number in range(8)], "images": [[str(number)] for number in range(8)]}
    return GroupGRPOTrainer(
        model=model,
        reward_funcs=[reward],
        args=GRPOConfig(**(defaults | settings)),
        train_dataset=Dataset.from_dict(rows),
        processing_class=processor,
        image_loader=open_face,
        efficiency=efficiency,
        dynamic_sampling=dynamic_sampling,
        vllm=options or VLLMOptions(enforce_eager=True),
    )


def logged(trained: GroupGRPOTrainer, name: str) -> list[float]:
    """A metric, one value per step."""
    return [row[name] for row in trained.state.log_history if name in row]
