"""Groups without advantage are replaced by groups of other prompts before the step trains (`stage.dynamic_sampling`).

A group whose completions all have one reward carries no gradient, so that a step of P prompts learns from fewer than P.
Dynamic sampling (DAPO, Yu et al. 2025, arXiv:2503.14476, section 3.2) samples on until every group of the batch has
rewards that differ. It changes what is trained on (prompts that are too easy or too hard now are passed over), which is
why it is a mode of its own and not one of the savings.

Here a generation batch is filled in rounds. After each, every rank fills the places of its dead groups with the live ones
among as many fresh prompts as the rank with the most dead groups needs; so all ranks do the same number of rounds of the
same size, and no completion has to travel. Fresh prompts come from an endless stream of permutations that is a function
of the seed; its position is in the checkpoint. No prompt is asked twice for one batch. Advantages are those of each
group by itself, so a batch that is put together from rounds is what one round over the kept prompts would have given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import IterableDataset
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader
from trl.trainer.utils import nanstd, split_pixel_values_by_grid, unsplit_pixel_values_by_grid

from facial_r1.training.group_base import SharedWork
from facial_r1.training.load_once import ROW, LoadOnceDataset
from facial_r1.training.micro_batches import equal_groups, total_reward
from facial_r1.training.rollout import Rollout
from facial_r1.training.vision_reuse import MediaStore

#: Keys of a batch that are padded on the left.
_LEFT = ("prompt_ids", "prompt_mask")
#: Keys of a batch that cover prompt and completion.
_WHOLE = ("token_type_ids", "mm_token_type_ids")
#: Keys of a batch that are put together in their own way.
_APART = ("rollout", "row_prompt", "num_items_in_batch")
#: Columns of TRL's log of completions, one value per row.
_COLUMNS = ("images", "prompt", "completion", "advantages")


@dataclass
class Round:
    """One round of generation.

    Attributes:
        batch: What the trainer made of this rank's rows.
        rewards: Rewards of all ranks' rows, shape (rows, reward functions).
        live: For each group of all ranks whether its rewards differ.
        lengths: Tokens of each completion of this rank.
        ended: Whether each completion of this rank ended by itself.
        logs: What TRL logged of the rows of all ranks.
        metrics: TRL's metrics of the round.
    """

    batch: dict[str, Any]
    rewards: Tensor
    live: list[bool]
    lengths: list[int]
    ended: list[bool]
    logs: dict[str, Any]
    metrics: dict[str, list[float]]


def draw(rows: int, position: int, count: int, asked: set[int], seed: int, shuffle: bool) -> tuple[list[int], int]:
    """The next row numbers of the stream that have not been asked.

    The stream is one permutation of the rows after the other, each a function of the seed and its number; without
    `shuffle` the rows in order, again and again.

    Args:
        rows: Rows of the dataset.
        position: Where in the stream to go on.
        count: How many to take; fewer come when fewer are left.
        asked: Rows to pass over; those taken are added.
        seed: Of the run.
        shuffle: Whether the rows are permuted.

    Returns:
        The row numbers and the position after them.
    """
    taken: list[int] = []
    order: list[int] = []
    known = -1
    count = min(count, rows - len(asked))
    while len(taken) < count:
        number, offset = divmod(position, rows)
        if number != known:
            generator = torch.Generator().manual_seed(1_000_003 * (seed + 1) + number)
            order = torch.randperm(rows, generator=generator).tolist() if shuffle else list(range(rows))
            known = number
        if order[offset] not in asked:
            asked.add(order[offset])
            taken.append(order[offset])
        position += 1
    return taken, position


def fill(slots: list[tuple[int, int]], rounds: Sequence[Round], ranks: int) -> list[tuple[int, int]]:
    """Put the live groups of the last round into the places of dead ones, each rank those that it sampled itself.

    Args:
        slots: For each group of the batch, ordered by rank, the round and the group within the round that it comes from.
        rounds: All rounds so far.
        ranks: Number of ranks; places and groups of a round are divided evenly among them, in order.

    Returns:
        The new slots.
    """
    slots = list(slots)
    last, own = len(rounds) - 1, len(slots) // ranks
    asked = len(rounds[last].live) // ranks
    for rank in range(ranks):
        places = [place for place in range(rank * own, (rank + 1) * own) if not _lives(slots[place], rounds)]
        fresh = [(last, group) for group in range(rank * asked, (rank + 1) * asked) if rounds[last].live[group]]
        for place, source in zip(places, fresh, strict=False):
            slots[place] = source
    return slots


def _lives(source: tuple[int, int], rounds: Sequence[Round]) -> bool:
    return rounds[source[0]].live[source[1]]


def join(batches: Sequence[dict[str, Any]], rows: Sequence[tuple[int, int]], pad_token: int) -> dict[str, Any]:
    """Rows of several batches as one batch, padded to the longest.

    Args:
        batches: TRL's batches with the same keys.
        rows: For each row of the result the batch and the row in it.
        pad_token: Fills token ids.

    Returns:
        All keys that have one value per row. `rollout`, `row_prompt` and `num_items_in_batch` are left out.
    """
    sizes = [len(batch["advantages"]) for batch in batches]
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    order = [starts[batch] + row for batch, row in rows]
    split: list[dict[str, Any]] = [split_pixel_values_by_grid(batch) for batch in batches]
    out: dict[str, Any] = {}
    for key in split[0]:
        values = [batch[key] for batch in split]
        if key in _APART:
            continue
        if isinstance(values[0], list):
            together = [value for part in values for value in part]
            out[key] = [together[row] for row in order]
            continue
        if key in _WHOLE:
            heads = [batch["prompt_ids"].shape[1] for batch in batches]
            before = _padded([value[:, :head] for value, head in zip(values, heads, strict=True)], 0, left=True)
            after = _padded([value[:, head:] for value, head in zip(values, heads, strict=True)], 0)
            values = [torch.cat(parts, dim=1) for parts in zip(before, after, strict=True)]
        elif values[0].ndim == 2:
            fill_value = pad_token if key.endswith("_ids") else 1 if key in ("importance_sampling_ratio", "tool_mask") else 0
            values = _padded(values, fill_value, left=key in _LEFT)
        out[key] = torch.cat(values)[order]
    return unsplit_pixel_values_by_grid(out)


def _padded(tensors: Sequence[Tensor], value: float, left: bool = False) -> list[Tensor]:
    """Two-dimensional tensors of equal width."""
    width = max(tensor.shape[1] for tensor in tensors)
    missing = [width - tensor.shape[1] for tensor in tensors]
    return [
        functional.pad(tensor, (gap, 0) if left else (0, gap), value=value) for tensor, gap in zip(tensors, missing, strict=True)
    ]


def join_rollouts(prompts: Sequence[tuple[Rollout, int]]) -> Rollout:
    """One rollout of these prompts, with what they show and what is known of them."""
    ids: list[Tensor] = []
    index: list[tuple[int, ...]] = []
    store = MediaStore()
    joined = Rollout(ids, index, store)
    for place, (rollout, prompt) in enumerate(prompts):
        ids.append(rollout.ids[prompt])
        shown = rollout.shown[prompt]
        moved = {old: len(store.items) + offset for offset, old in enumerate(dict.fromkeys(shown))}
        index.append(tuple(moved[item] for item in shown))
        if prompt in rollout.positions:
            joined.positions[place] = rollout.positions[prompt]
        for old in moved:
            store.items.append(rollout.store.items[old])
        for (tower, old), features in rollout.store.encoded.items():
            if old in moved:
                store.encoded[tower, moved[old]] = features
    return joined


def kept_metrics(
    rewards: Tensor, names: Sequence[str], weights: Tensor, size: int, lengths: Tensor, ended: Tensor
) -> dict[str, float]:
    """TRL's metrics of rewards and lengths, for the rows that are kept.

    Args:
        rewards: Shape (rows, reward functions), NaN where a reward does not apply.
        names: Of the reward functions.
        weights: Of the reward functions.
        size: Completions per group.
        lengths: Tokens per completion, shape (rows,).
        ended: Whether each completion ended by itself, shape (rows,).

    Returns:
        Values under TRL's names.
    """
    total = total_reward(rewards, weights)
    spread = nanstd(total.view(-1, size), dim=1)
    terminated = lengths[ended] if ended.any() else torch.zeros(1, device=lengths.device)
    found = {
        "reward": torch.nanmean(total),
        "reward_std": nanstd(total),
        "frac_reward_zero_std": torch.isclose(spread, torch.zeros_like(spread)).float().mean(),
        "completions/mean_length": lengths.float().mean(),
        "completions/min_length": lengths.min(),
        "completions/max_length": lengths.max(),
        "completions/clipped_ratio": (~ended).float().mean(),
        "completions/mean_terminated_length": terminated.float().mean(),
        "completions/min_terminated_length": terminated.min(),
        "completions/max_terminated_length": terminated.max(),
    }
    for column, name in enumerate(names):
        found[f"rewards/{name}/mean"] = torch.nanmean(rewards[:, column])
        found[f"rewards/{name}/std"] = nanstd(rewards[:, column])
    return {name: float(value) for name, value in found.items()}


def sampled_metric(name: str, values: Sequence[float], rows: Sequence[int]) -> float:
    """A metric over all rounds: the least of minima, the greatest of maxima, else the mean weighted by rows.

    Args:
        name: What TRL logs it as.
        values: One per round.
        rows: Completions of each round.
    """
    if name.endswith("/min"):
        return min(values)
    if name.endswith("/max"):
        return max(values)
    return sum(value * count for value, count in zip(values, rows, strict=True)) / sum(rows)


class DynamicSampling(SharedWork):
    """The part of the trainer that fills a generation batch with live groups."""

    def __init__(self, *args: Any, dynamic_sampling: int | None = None, **kwargs: Any) -> None:
        self._most_rounds = dynamic_sampling
        self._round_rewards: Tensor | None = None
        self._round_ids: list[list[int]] = []
        super().__init__(*args, **kwargs)
        if dynamic_sampling is not None:
            self._check_dynamic_sampling()

    def _check_dynamic_sampling(self) -> None:
        rows = self.args.per_device_train_batch_size * self.args.steps_per_generation
        problem = None
        if self._most_rounds is not None and self._most_rounds < 1:
            problem = f"takes at least one round of generation, not {self._most_rounds}"
        elif self.scale_rewards == "batch" or self.multi_objective_aggregation != "sum_then_normalize":
            problem = "needs advantages that are computed group by group: scale_rewards 'group' or 'none', sum_then_normalize"
        elif isinstance(self.train_dataset, IterableDataset) or self.args.remove_unused_columns:
            problem = "needs row numbers: a dataset with a length, and remove_unused_columns=False"
        elif rows % self.num_generations:
            problem = (
                f"needs whole groups on every rank: {rows} completions of a generation batch per rank are no multiple of "
                f"num_generations={self.num_generations}"
            )
        elif self.tools or self.environment_factories is not None or self.rollout_func is not None:
            problem = "does not go with tools, environments and rollout functions"
        if problem:
            raise ValueError(f"dynamic sampling {problem}")

    def _get_dataloader(self, dataset: Any, *args: Any, **kwargs: Any) -> DataLoader:
        if self._most_rounds is not None and kwargs.get("is_training") and not self._on("load_once"):
            dataset = LoadOnceDataset(dataset)  # for the row numbers
        return super()._get_dataloader(dataset, *args, **kwargs)

    def _generate(self, prompts: Any) -> Any:
        generated = super()._generate(prompts)
        self._round_ids = generated[1]
        return generated

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        self._round_rewards = super()._calculate_rewards(*args, **kwargs)
        return self._round_rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if self._most_rounds is None or not self.model.training:
            return super()._generate_and_score_completions(inputs)
        size, ranks = self.num_generations, self.accelerator.num_processes
        logs, metrics = self._logs, self._metrics["train"]
        asked = set(gather_object([row[ROW] for row in inputs]))
        try:
            rounds = [self._sample(inputs)]
            slots = [(0, group) for group in range(len(rounds[0].live))]
            own = len(slots) // ranks
            while len(rounds) < self._most_rounds:
                dead = [sum(not _lives(source, rounds) for source in slots[r * own : (r + 1) * own]) for r in range(ranks)]
                share = min(max(dead), (len(self.train_dataset) - len(asked)) // ranks)
                if not share:
                    break
                fresh, self._reserve_position = draw(
                    len(self.train_dataset), self._reserve_position, share * ranks, asked, self.args.seed, self.shuffle_dataset
                )
                first = self.accelerator.process_index * share
                rows = [index for index in fresh[first : first + share] for _ in range(size)]
                fetched = LoadOnceDataset(self.train_dataset).__getitems__(rows)
                rounds.append(self._sample(self.data_collator(fetched) if self._on("load_once") else fetched))
                slots = fill(slots, rounds, ranks)
        finally:
            self._logs, self._metrics["train"] = logs, metrics
        self._log_kept(rounds, slots)
        return rounds[0].batch if len(rounds) == 1 else self._kept(rounds, slots)

    def _sample(self, rows: list[dict[str, Any]]) -> Round:
        """Generate and score rows, with logs of their own."""
        self._logs = {name: [] for name in _COLUMNS} | {"rewards": defaultdict(list), "extra": defaultdict(list)}
        self._metrics["train"] = defaultdict(list)
        if not self._shares:
            rows = [{key: row[key] for key in row if key != ROW} for row in rows]
        batch = super()._generate_and_score_completions(rows)
        rewards, self._round_rewards = self._round_rewards, None
        assert rewards is not None
        size = self.num_generations
        total = total_reward(rewards, self.reward_weights)
        ends = {*self.eos_token_ids, self._tokenizer.pad_token_id}
        return Round(
            batch=batch,
            rewards=rewards,
            live=(~equal_groups(total, size))[::size].tolist(),
            lengths=[len(ids) for ids in self._round_ids],
            ended=[ids[-1] in ends for ids in self._round_ids],
            logs=self._logs,
            metrics=self._metrics["train"],
        )

    def _kept(self, rounds: Sequence[Round], slots: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """The batch of this rank, put together from the groups that fill its places."""
        sources = self._own(rounds, slots)
        size = self.num_generations
        rows = [(number, group * size + row) for number, group in sources for row in range(size)]
        batch = join([part.batch for part in rounds], rows, self._tokenizer.pad_token_id)
        scored = batch["completion_mask"] * batch.get("tool_mask", 1)
        batch["num_items_in_batch"] = self.accelerator.gather(scored.sum()).sum()
        if "rollout" in rounds[0].batch:
            prompts = [rounds[number].batch["row_prompt"][group * size].item() for number, group in sources]
            batch["rollout"] = join_rollouts(
                [(rounds[number].batch["rollout"], prompt) for (number, _), prompt in zip(sources, prompts, strict=True)]
            )
            batch["row_prompt"] = torch.arange(len(sources), device=scored.device).repeat_interleave(size)
        return batch

    def _own(self, rounds: Sequence[Round], slots: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The slots of this rank, with groups counted among this rank's."""
        rank, ranks = self.accelerator.process_index, self.accelerator.num_processes
        own = len(slots) // ranks
        return [
            (number, group - rank * (len(rounds[number].live) // ranks)) for number, group in slots[rank * own : (rank + 1) * own]
        ]

    def _log_kept(self, rounds: Sequence[Round], slots: Sequence[tuple[int, int]]) -> None:
        """Log the completions that are trained on, and how they came about."""
        size, metrics = self.num_generations, self._metrics["train"]
        rows = [(number, group * size + row) for number, group in slots for row in range(size)]
        self._keep_columns(rounds, rows)
        if len(rounds) == 1:
            found = {name: values[-1] for name, values in rounds[0].metrics.items()}
        else:
            device = rounds[0].rewards.device
            mine = [(number, group * size + row) for number, group in self._own(rounds, slots) for row in range(size)]
            lengths = torch.tensor([rounds[number].lengths[row] for number, row in mine], device=device)
            ended = torch.tensor([rounds[number].ended[row] for number, row in mine], device=device)
            found = kept_metrics(
                torch.stack([rounds[number].rewards[row] for number, row in rows]),
                self.reward_func_names,
                self.reward_weights,
                size,
                self.accelerator.gather(lengths),
                self.accelerator.gather(ended),
            )
            for name in dict.fromkeys(name for part in rounds for name in part.metrics):
                having = [part for part in rounds if part.metrics.get(name)]
                values = [part.metrics[name][-1] for part in having]
                found.setdefault(name, sampled_metric(name, values, [len(part.rewards) for part in having]))
        sampled = sum(len(part.live) for part in rounds)
        found |= {
            "dynamic_sampling/rounds": float(len(rounds)),
            "dynamic_sampling/replaced": float(sum(number > 0 for number, _ in slots)),
            "dynamic_sampling/live_fraction": sum(_lives(source, rounds) for source in slots) / len(slots),
            "dynamic_sampling/accept_rate": sum(sum(part.live) for part in rounds) / sampled,
        }
        for name, value in found.items():
            metrics[name].append(value)
        metrics["num_tokens"] = [self.state.num_input_tokens_seen]

    def _keep_columns(self, rounds: Sequence[Round], rows: Sequence[tuple[int, int]]) -> None:
        """TRL's log of completions, for the rows that are kept."""
        for name in _COLUMNS:
            if all(len(part.logs[name]) == len(part.rewards) for part in rounds):
                self._logs[name].extend(rounds[number].logs[name][row] for number, row in rows)
        for kind in ("rewards", "extra"):
            for name in dict.fromkeys(name for part in rounds for name in part.logs[kind]):
                self._logs[kind][name].extend(_at(rounds[number].logs[kind].get(name), row) for number, row in rows)


def _at(values: Sequence[Any] | None, row: int) -> Any:
    return values[row] if values is not None and row < len(values) else None
