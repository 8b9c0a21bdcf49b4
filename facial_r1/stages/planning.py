"""What is told about steps and memory, before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence

from facial_r1.config.schema import ImageSize
from facial_r1.data import Data, Record
from facial_r1.prompts import render
from facial_r1.stages.context import Context
from facial_r1.stages.material import say

#: Characters of English prose behind one token of a large vocabulary.
_CHARACTERS_PER_TOKEN = 4.0
#: Side in pixels of the square that becomes one placeholder in Qwen2.5-VL.
_CELL = 28
#: Placeholders of a second of sound in Qwen2.5-Omni.
_SOUND_TOKENS = 25
#: Side assumed where the size of an image is the processor's own choice.
_USUAL_SIDE = 448


def worth_saying(context: Context) -> bool:
    """Whether the plan of a run is shown before it starts: in a dry run, and wherever a model of some size is trained."""
    return context.job.debug.dry_run or context.job.model.name != "tiny"


def say_memory(context: Context, rows: Sequence[Record], data: Data) -> None:
    """Print the estimate of GPU memory of a training job, and what to change where it does not fit."""
    from facial_r1.models import memory

    if not context.main:
        return
    for line in memory.describe(context.job, context.source()[0], context.world, prompt_tokens(context, rows[0], data)):
        say(context, line)


def prompt_tokens(context: Context, record: Record, data: Data) -> int:
    """Tokens of a prompt with its images, as far as they can be told without the tokenizer."""
    rules = data.protocol_of(record)
    text = render(context.job.prompt, record, rules.labels, vocabulary=rules.action_units)
    pictures = len(record.images)
    if record.video:  # two frames share their placeholders
        pictures += math.ceil(context.job.data.video.frames / 2)
    sound = round(context.job.data.audio.max_seconds * _SOUND_TOKENS) if record.audio else 0
    return round(len(text) / _CHARACTERS_PER_TOKEN) + pictures * image_tokens(context.job.model.image_size) + sound


def image_tokens(size: ImageSize) -> int:
    """Placeholders of the largest image that the settings let through.

    >>> image_tokens(ImageSize(mode="square", side=224))
    64
    """
    if size.mode == "square" and size.side:
        area = size.side**2
    else:
        area = size.max_pixels if size.mode == "budget" and size.max_pixels else _USUAL_SIDE**2
    return max(1, area // _CELL**2)
