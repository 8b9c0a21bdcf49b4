"""A row of a generation batch is fetched, decoded and preprocessed once, in the data loader.

TRL's sampler repeats every generation batch for each micro-batch made of it, and every row G times, and the loader
fetches (decodes) all of those copies; the image processor then sees all of them twice. Here the repeats after the first
are fetched as stubs, copies of a row within a batch share one fetch, and the collator prepares the distinct prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset
from trl.trainer.utils import RepeatSampler

from facial_r1.generation.prompt_batch import ImageLoader, encode_prompts

#: Keys that travel with the rows from the collator to the trainer and are removed there.
ROW, PROMPT, PROMPTS = "_row", "_prompt", "_prompts"


class GroupSampler(RepeatSampler):
    """TRL's `RepeatSampler` with two additions.

    Repeats of a generation batch after the first come as `-1 - index`, for which `LoadOnceDataset` gives a stub. And
    the order of an epoch is a function of seed and epoch, so that a run resumed in a later epoch goes on in it.
    """

    epoch = 0
    #: Whether repeats come as stubs.
    stubs = True

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation that the next pass uses: that of pass `epoch` of an uninterrupted run."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.shuffle:
            generator = torch.Generator()
            if self.seed is not None:
                generator.manual_seed(self.seed)
            for _ in range(self.epoch + 1):
                order = torch.randperm(self.num_samples, generator=generator).tolist()
        else:
            order = list(range(self.num_samples))
        for start in range(0, self.num_samples - self.batch_size + 1, self.batch_size):
            chunk = [index for index in order[start : start + self.batch_size] for _ in range(self.mini_repeat_count)]
            yield from chunk
            for _ in range(self.repeat_count - 1):
                yield from (-1 - index if self.stubs else index for index in chunk)


class LoadOnceDataset(Dataset):
    """Rows of a dataset; copies within one fetch are read once, and negative indices give stubs."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Rows for a batch of indices; each is marked with its own index."""
        fetched = {index: self.rows[index] for index in dict.fromkeys(indices) if index >= 0}
        return [{**fetched[index], ROW: index} if index >= 0 else {ROW: -1 - index, PROMPT: None} for index in indices]


def is_stub(row: dict[str, Any]) -> bool:
    """Whether a row only names its index because its batch was fetched before."""
    return PROMPT in row and row[PROMPT] is None


class PromptCollator:
    """Prepares the distinct prompts of a fetched batch; runs in the data loader's workers.

    Args:
        processor: A processor that `prompt_batch.supported` accepts.
        image_loader: Turns a path in a row's `images` into an image, and one in its `videos` or `audios` into a clip or sound.
        template_kwargs: Passed on to the chat template.
        keep_pictures: Keep the decoded images, for an engine that prepares them itself.
    """

    def __init__(
        self, processor: Any, image_loader: ImageLoader | None, template_kwargs: dict[str, Any], keep_pictures: bool = False
    ) -> None:
        self.processor, self.image_loader, self.template_kwargs = processor, image_loader, template_kwargs
        self.keep_pictures = keep_pictures

    def __call__(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Attach the encoded prompts to the first row, and to every row the index of its prompt."""
        if is_stub(rows[0]):
            return rows
        places: dict[int, int] = {}
        distinct: list[dict[str, Any]] = []
        for row in rows:
            if row[ROW] not in places:
                places[row[ROW]] = len(distinct)
                distinct.append(row)
        prompts = encode_prompts(
            self.processor,
            [row["prompt"] for row in distinct],
            [row_images(row) for row in distinct],
            self.image_loader,
            self.template_kwargs,
            self.keep_pictures,
            videos=[row.get("videos") for row in distinct],
            audios=[row.get("audios") for row in distinct],
        )
        out = [{**row, PROMPT: places[row[ROW]]} for row in rows]
        out[0][PROMPTS] = prompts
        return out


def row_images(row: dict[str, Any]) -> list[Any]:
    """The images of a row, from its column `images` or `image`."""
    if "images" in row:
        return list(row["images"] or [])
    return [row["image"]] if row.get("image") is not None else []
