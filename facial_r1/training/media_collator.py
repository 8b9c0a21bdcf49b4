"""Batches for supervised fine-tuning with clips and sounds, by the path that generation and GRPO use.

TRL's collator knows pictures alone, and the library's forward takes positions of a whole batch from one flag. Here every row is
encoded by itself (`prompt_batch.encode_texts`), and positions come with the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from facial_r1.generation.prompt_batch import ImageLoader, Part, encode_texts, parts_of, without_empty_fields
from facial_r1.models.positions import PositionRule, rotary_positions

if TYPE_CHECKING:
    from facial_r1.training.sft import Example

IGNORED = -100


def part_columns(example: Example) -> list[dict[str, str]]:
    """What a row shows, in order, as plain strings: kind, file, and the file of a clip's sound or ""."""
    messages, images = without_empty_fields(example.messages), iter(example.images)
    for message in messages:
        if isinstance(message["content"], list):
            message["content"] = [
                {**part, "image": next(images)} if part["type"] == "image" and "image" not in part else part
                for part in message["content"]
            ]
    return [
        {"kind": part.kind, "file": part.payload, "sound": part.sound or ""}
        for part in parts_of(messages, example.videos, example.audios)
    ]


class MediaTextCollator:
    """Batches of rows with `prompt` and `completion` (rendered texts) and `parts` (`part_columns`), padded on the right.

    Args:
        processor: One that `prompt_batch.supported` accepts.
        loader: Opens the files of the parts.
        rule: The model's rule of positions.
    """

    def __init__(self, processor: Any, loader: ImageLoader, rule: PositionRule) -> None:
        self._processor, self._loader, self._rule = processor, loader, rule

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """`input_ids`, `attention_mask`, `labels` (rows, length), `position_ids` (3, rows, length), and the tensors shown."""
        parts = [[Part(part["kind"], part["file"], part["sound"] or None) for part in row["parts"]] for row in rows]
        prompts = encode_texts(self._processor, [row["prompt"] for row in rows], parts, self._loader)
        answers = self._processor.tokenizer([row["completion"] for row in rows], add_special_tokens=False)["input_ids"]
        longest = max(len(ids) + len(answer) for ids, answer in zip(prompts.ids, answers, strict=True))
        shape = (len(rows), longest)
        batch = {
            "input_ids": torch.full(shape, self._processor.tokenizer.pad_token_id),
            "attention_mask": torch.zeros(shape, dtype=torch.long),
            "labels": torch.full(shape, IGNORED),
            "position_ids": torch.zeros((3, *shape), dtype=torch.long),
        }
        for row, (ids, answer) in enumerate(zip(prompts.ids, answers, strict=True)):
            whole = torch.tensor([*ids, *answer])
            batch["input_ids"][row, : len(whole)] = whole
            batch["attention_mask"][row, : len(whole)] = 1
            batch["labels"][row, len(ids) : len(whole)] = whole[len(ids) :]
            batch["position_ids"][:, row, : len(whole)] = rotary_positions(self._rule, whole, prompts.items_of(row))
        return batch | prompts.arguments()
