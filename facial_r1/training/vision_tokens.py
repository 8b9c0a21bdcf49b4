"""Tokens that stand for pictures are never trained on, whatever engine wrote them.

Every engine is told never to sample them. Should one do so all the same (a server of another version), a placeholder in a
completion would ask the training pass for the features of an image that is not there, and crash it, or shift the features
of those that are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from accelerate.logging import get_logger

from facial_r1.training.group_base import SharedWork

logger = get_logger(__name__)


def cut_off(ids: Sequence[int], forbidden: Collection[int]) -> int:
    """Tokens before the first forbidden one.

    >>> cut_off([5, 6, 9, 7], {9})
    2
    """
    return next((place for place, token in enumerate(ids) if token in forbidden), len(ids))


class NoVisionTokens(SharedWork):
    """The part of the trainer that ends a completion where a vision token begins."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._emptied: list[int] = []
        super().__init__(*args, **kwargs)

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> tuple[list[list[int]], Any]:
        completions, logps = super()._generate_single_turn(*args, **kwargs)
        forbidden = frozenset(self._vision_tokens)
        self._emptied = []
        kept: list[list[int]] = []
        found = 0
        for row, ids in enumerate(completions):
            length = cut_off(ids, forbidden)
            found += length < len(ids)
            if length or not ids:
                kept.append(ids[:length])
                continue
            # TRL takes no empty completions; an end token stands for it, and is masked below.
            kept.append([self.eos_token_ids[0]])
            self._emptied.append(row)
        if found:
            logger.warning(
                f"{found} of {len(completions)} completions hold tokens that stand for pictures, although the engine was told not "
                "to sample any; they end before the first of them and count as cut off",
                main_process_only=False,
            )
        if logps is not None and found:
            logps = [values[: len(ids)] for values, ids in zip(logps, kept, strict=True)]
            for row in self._emptied:
                logps[row] = [None]
        return kept, logps

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super()._generate_and_score_completions(inputs)
        emptied = torch.tensor(len(self._emptied), device=self.accelerator.device)
        if everywhere := int(self.accelerator.gather(emptied).sum()):
            batch["completion_mask"][self._emptied] = 0
            batch["num_items_in_batch"] = batch["num_items_in_batch"] - everywhere
        self._emptied = []
        return batch
