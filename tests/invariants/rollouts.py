"""Plain TRL and ours on the same recorded completions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from facial_r1.models.thinker import as_thinker
from facial_r1.training.efficiency import Efficiency
from facial_r1.training.group_grpo import GroupGRPOTrainer
from tests.invariants import tiny_vl
from tests.models import drawn_media

#: Questions of different length, so that prompts differ in length and some do not.
QUESTIONS = ("Which emotion?", "Which action units are active in this face?", "Name it.", "Which emotion?", "Say why?")


def dataset(rows: int = 6, kinds: str = "1", wide: bool = False) -> Dataset:
    """Prompts with the number of images that `kinds` gives in turn, e.g. "102" for one, none, two."""
    prompts, images = [], []
    for row in range(rows):
        count = int(kinds[row % len(kinds)])
        parts = [{"type": "image"}] * count + [{"type": "text", "text": QUESTIONS[row % len(QUESTIONS)]}]
        prompts.append([{"role": "user", "content": parts}])
        images.append([f"{10 * row + i}:{84 if (row + i) % 2 else 56}" for i in range(count)])
    return Dataset.from_dict({"prompt": prompts, "images": images, "row": list(range(rows))})


def decoded(rows: Dataset) -> Dataset:
    """The same rows as plain TRL takes them: with images, or without the column if there are none at all."""
    if not any(rows["images"]):
        return rows.remove_columns("images")
    return Dataset.from_list([{**row, "images": [load_image(name) for name in row["images"]]} for row in rows])


def load_image(name: str) -> Any:
    """Draw the picture that a name stands for: seed and width."""
    seed, width = name.split(":")
    return tiny_vl.image(int(seed), int(width))


class Loader:
    """Draws the pictures, clips and sounds that names stand for: seed and width, seed and frames, seed and seconds."""

    def __call__(self, name: str) -> Any:
        return load_image(name)

    def clip(self, name: str) -> Any:
        seed, frames = name.split(":")
        return drawn_media.clip(int(seed), int(frames), 56, int(frames) / 4)

    def sound(self, name: str) -> Any:
        seed, seconds = name.split(":")
        return drawn_media.sound(int(seed), float(seconds))


def media_dataset(kinds: Sequence[str], rows: int = 6) -> Dataset:
    """Prompts that show what `kinds` names in turn: "image", "video", "audio", "clip" (a video with its sound) or "text"."""
    table: dict[str, list[Any]] = {name: [] for name in ("prompt", "images", "videos", "audios", "row")}
    for row in range(rows):
        kind = kinds[row % len(kinds)]
        parts = () if kind == "text" else (kind,)
        table["prompt"].append(drawn_media.asked(QUESTIONS[row % len(QUESTIONS)], *parts))
        table["images"].append([f"{row}:56"] if kind == "image" else [])
        table["videos"].append([f"{row}:{4 + 2 * (row % 2)}"] if kind in ("video", "clip") else [])
        table["audios"].append([f"{row}:{0.3 + 0.2 * (row % 3)}"] if kind in ("audio", "clip") else [])
        table["row"].append(row)
    return Dataset.from_dict(table)


@dataclass
class Recorded:
    """Completions as a function of row, visit and place in the group, whatever trainer asks."""

    size: int
    longest: int = 12
    seed: int = 0

    def __call__(self, row: int, visit: int, place: int) -> list[int]:
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + 10_007 * row + 101 * visit + place)
        length = int(torch.randint(1, self.longest + 1, (), generator=generator))
        tokens = torch.randint(0, 256, (length,), generator=generator).tolist()
        return tokens if length == self.longest else [*tokens[:-1], 258]


def reward(completions: list[Any], completion_ids: list[list[int]], row: list[int], **_: Any) -> list[float]:
    """An arbitrary reward in eighths that all rows with `row % 4 == 3` share, so that their groups are dead."""
    return [0.5 if index % 4 == 3 else (sum(ids) % 8) / 8 for ids, index in zip(completion_ids, row, strict=True)]


def recorded(base: type[GRPOTrainer], source: Recorded) -> type[GRPOTrainer]:
    """A trainer class that takes its completions from `source` instead of sampling."""

    class Replay(base):  # type: ignore[misc, valid-type]
        visits: dict[int, int]

        def _generate_and_score_completions(self, inputs: Any) -> Any:
            if not hasattr(self, "visits"):
                self.visits = {}
            self.asked = [row.get("row", row.get("_row")) for row in inputs]
            return super()._generate_and_score_completions(inputs)

        def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
            places: dict[int, int] = {}
            out = []
            # Dynamic sampling asks several times for one batch; what TRL works on then is in `_trl_rows`.
            asked = [row["row"] for row in getattr(self, "_trl_rows", [])] or self.asked
            for row in asked:
                place = places[row] = places.get(row, -1) + 1
                offset = self.accelerator.process_index * 50 if self.accelerator.num_processes > 1 else 0
                out.append(source(row, self.visits.get(row, 0), place + offset))
            for row in places:
                self.visits[row] = self.visits.get(row, 0) + 1
            return out, None

    Replay.__name__ = f"Replay{base.__name__}"
    return Replay


def config(folder: Path, **overrides: Any) -> GRPOConfig:
    """Small steps with a large rate, so that wrong gradients show in the weights."""
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "num_generations": 4,
        "max_completion_length": 12,
        "max_steps": 3,
        "learning_rate": 1e-3,
        "loss_type": "dapo",
        "beta": 0.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "optim": "sgd",
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "ddp_find_unused_parameters": True,
    }
    return GRPOConfig(**(settings | overrides))


@dataclass
class Run:
    """What a training run leaves behind."""

    trainer: GRPOTrainer
    losses: list[float]
    gradients: list[dict[str, torch.Tensor]]
    weights: dict[str, torch.Tensor]

    def step_losses(self) -> list[float]:
        """Loss of each optimizer step, its micro-batches added up."""
        size = len(self.losses) // len(self.gradients)
        return [sum(self.losses[start : start + size]) for start in range(0, len(self.losses), size)]


def train(
    folder: Path,
    model_folder: Path,
    architecture: str,
    efficiency: Efficiency | None,
    *,
    rows: Dataset | None = None,
    dtype: torch.dtype = torch.float32,
    freeze_vision: bool = True,
    longest: int = 12,
    mutate: Any = None,
    trainer_options: dict[str, Any] | None = None,
    **overrides: Any,
) -> Run:
    """Train on recorded rollouts: plain TRL when `efficiency` is None, ours otherwise."""
    model = tiny_vl.loaded(architecture, model_folder, dtype, frozen=freeze_vision)
    args = config(folder, **overrides)
    data = rows if rows is not None else dataset()
    ours = efficiency is not None
    if not ours:
        data = decoded(data)
    options = dict(trainer_options or {})
    if ours:
        options |= {"efficiency": efficiency, "image_loader": Loader()}
    base = GroupGRPOTrainer if ours else GRPOTrainer
    trainer = recorded(base, Recorded(args.num_generations, longest))(
        model=model,
        reward_funcs=options.pop("reward_funcs", [reward]),
        args=args,
        train_dataset=data,
        processing_class=tiny_vl.processor(architecture),
        **options,
    )
    if trainer.ref_model is not None:  # TRL loads the library's class, whose backbone it does not find in a thinker
        as_thinker(trainer.ref_model)
    if mutate is not None:
        mutate(trainer)
    gradients: list[dict[str, torch.Tensor]] = []
    losses: list[float] = []

    def remember(trainer: GRPOTrainer) -> None:
        gradients.append({name: p.grad.detach().clone() for name, p in trainer.model.named_parameters() if p.grad is not None})

    original_step = trainer.training_step

    def step(model: Any, inputs: Any, count: Any) -> torch.Tensor:
        loss = original_step(model, inputs, count)
        losses.append(float(loss))
        if trainer.accelerator.sync_gradients:
            remember(trainer)
        return loss

    trainer.training_step = step
    trainer.train()
    weights = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    return Run(trainer, losses, gradients, weights)


def difference(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    """Largest norm of a parameter's difference, relative to its own norm or, for tiny ones, to that of all."""
    assert left.keys() == right.keys()
    floor = 1e-3 * max(float(tensor.norm()) for tensor in right.values())
    return max(float((left[name] - right[name]).norm()) / max(float(right[name].norm()), floor, 1e-30) for name in left)
