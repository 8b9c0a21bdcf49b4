"""Supervised fine-tuning with TRL's SFTTrainer: prompt and completion apart, loss on the completion only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from PIL import Image
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from facial_r1.config.schema import SFT, Job
from facial_r1.errors import InputError
from facial_r1.generation.prefix_decode import base_model
from facial_r1.models.perception import perceives
from facial_r1.models.positions import rule_of
from facial_r1.training.arguments import shard_on_cpu, shared_arguments
from facial_r1.training.checkpoint_weights import ReloadsWeights
from facial_r1.training.fsdp import check_sharded
from facial_r1.training.media_collator import MediaTextCollator, part_columns


@dataclass(frozen=True)
class Example:
    """One SFT row: chat messages up to the question, the answer to learn, the files of pictures, clips and sounds."""

    messages: list[dict[str, Any]]
    completion: str
    images: tuple[str, ...]
    videos: tuple[str, ...] = ()
    audios: tuple[str, ...] = ()


def render(processor: Any, example: Example) -> tuple[str, str]:
    """The texts of prompt and completion as the chat template writes them.

    The completion ends with the end-of-turn token and nothing after it: the model learns once when to stop, and no
    header of a turn that is not there.
    """
    prompt = processor.apply_chat_template(example.messages, add_generation_prompt=True, tokenize=False)
    answer = {"role": "assistant", "content": [{"type": "text", "text": example.completion}]}
    whole = processor.apply_chat_template([*example.messages, answer], tokenize=False)
    if not whole.startswith(prompt):
        raise InputError("the chat template rewrites the prompt once it is answered; such templates cannot be trained on")
    return prompt, whole[len(prompt) :].rstrip()


class ImageTextCollator:
    """Batches of `Example` rows as tensors. Pictures are opened here, all pictures of every row."""

    def __init__(self, processor: Any, open_image: Callable[[str], Image.Image]) -> None:
        self._open = open_image
        self._collate = DataCollatorForVisionLanguageModeling(processor, max_length=None, completion_only_loss=True)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return self._collate(
            [
                {"prompt": row["prompt"], "completion": row["completion"], "images": [self._open(path) for path in row["images"]]}
                for row in rows
            ]
        )


class ResumableSFTTrainer(ReloadsWeights, SFTTrainer):
    """TRL's SFTTrainer that goes on from the weights of a checkpoint (see `ReloadsWeights`)."""


def build_trainer(
    job: Job,
    stage: SFT,
    model: Any,
    processor: Any,
    examples: Sequence[Example],
    open_image: Callable[[str], Image.Image],
    checkpoints: Path,
) -> ResumableSFTTrainer:
    """A TRL SFTTrainer over `examples`, ready to `train()`.

    Rows with pictures alone are prepared by TRL's collator, as any image-text model takes them; with clips or sounds, and for models
    that hear, by the path that generation uses.
    """
    texts = [render(processor, example) for example in examples]
    rows: dict[str, list[Any]] = {
        "prompt": [prompt for prompt, _ in texts],
        "completion": [completion for _, completion in texts],
    }
    collator: ImageTextCollator | MediaTextCollator
    if "audio" in perceives(processor) or any(example.videos or example.audios for example in examples):
        rows["parts"] = [part_columns(example) for example in examples]
        collator = MediaTextCollator(processor, open_image, rule_of(base_model(model).config))
    else:
        rows["images"] = [list(example.images) for example in examples]
        collator = ImageTextCollator(processor, open_image)
    arguments = SFTConfig(
        **shared_arguments(job, stage, checkpoints, stage.per_device_batch_size or 1, stage.gradient_accumulation),
        max_length=None,
        packing=False,
        completion_only_loss=True,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    shard_on_cpu(job)
    trainer = ResumableSFTTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict(rows),
        data_collator=collator,
        processing_class=processor,
    )
    # TRL computes the loss from log-probabilities, and can divide it by the tokens of all ranks and passes of a step. transformers
    # tells it not to for Qwen-VL models, and each rank and pass would weigh the same however many tokens it has: what is learnt
    # would depend on how the rows of a step are cut up.
    trainer.model_accepts_loss_kwargs = True
    check_sharded(job, trainer)
    return trainer
