"""Do two engines write the same? A sample of the rows goes through each of `generation.parity`, greedily, and is compared.

Engines differ in kernels, precision and batching, so that a greedy answer can part ways at a near tie; and they differ by
mistake: another template, other pixels, another end token. The first shows as rare late differences, the second as frequent
early ones, which is why the place of the first difference is reported beside the share of equal answers.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from facial_r1 import atomic
from facial_r1.config.schema import Sampling
from facial_r1.data import Data, Record
from facial_r1.data.selection import rank
from facial_r1.generation.engine import Completion, Request
from facial_r1.prompts import parse
from facial_r1.stages.context import Context
from facial_r1.stages.engines import engine_of, load_for_generation
from facial_r1.stages.material import chat, say
from facial_r1.stages.openers import shown

FILE = "parity.json"
_SHOWN = 3


@dataclass(frozen=True)
class Agreement:
    """How far the answers of an engine agree with those of the first one.

    Attributes:
        first, second: The engines.
        rows: Answers compared; those that an engine failed to give are left out.
        failed: How many those were.
        equal: Share of equal texts.
        same_labels, same_action_units: Share of answers from which the same is read.
        first_difference: Median place of the first difference in the texts that differ, as a share of the first engine's
            text; None when none differs.
        examples: Some of those that differ: id and both texts.
    """

    first: str
    second: str
    rows: int
    failed: int
    equal: float
    same_labels: float
    same_action_units: float
    first_difference: float | None
    examples: tuple[tuple[str, str, str], ...]

    def describe(self) -> str:
        """One line."""
        line = f"parity: {self.first} and {self.second}: {self.equal:.1%} of {self.rows} greedy answers are equal"
        if self.failed:
            line += f" ({self.failed} more were not given)"
        line += f", {self.same_labels:.1%} say the same emotion, {self.same_action_units:.1%} the same action units"
        if self.first_difference is not None:
            line += f"; those that differ do so after {self.first_difference:.0%} of their text (median)"
        return line


def agreement(
    names: tuple[str, str], keys: Sequence[str], first: Sequence[Completion], second: Sequence[Completion]
) -> Agreement:
    """Compare the answers of two engines to the same requests.

    Args:
        names: Of the engines.
        keys: Of the requests.
        first, second: Their answers, in the order of the requests.
    """
    pairs = [(key, a.text, b.text) for key, a, b in zip(keys, first, second, strict=True) if not (a.failed or b.failed)]
    differing = [pair for pair in pairs if pair[1] != pair[2]]
    count = max(1, len(pairs))

    def same(read: Callable[[str], Any]) -> float:
        return sum(read(a) == read(b) for _, a, b in pairs) / count

    return Agreement(
        *names,
        rows=len(pairs),
        failed=len(keys) - len(pairs),
        equal=1 - len(differing) / count if pairs else 0.0,
        same_labels=same(lambda text: parse(text).labels),
        same_action_units=same(lambda text: frozenset(parse(text).action_units)),
        first_difference=median(_parting(a, b) for _, a, b in differing) if differing else None,
        examples=tuple(differing[:_SHOWN]),
    )


def _parting(one: str, other: str) -> float:
    """Where two texts begin to differ, as a share of the first."""
    place = next((index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return place / max(1, len(one))


def check_parity(context: Context, records: Sequence[Record], data: Data, sampling: Sampling) -> list[Agreement]:
    """Ask each engine of `generation.parity` about the same rows, say how far they agree, and write parity.json.

    One model is in memory at a time. Nothing is taken from or put into the cache.

    Args:
        context: Of an evaluation.
        records: Of which `generation.parity_rows` are taken, by a hash of their ids.
        data: Where they are from.
        sampling: Of the evaluation; the temperature becomes 0.
    """
    generation = context.job.generation
    chosen = sorted(records, key=lambda record: rank(context.job.seed, "parity", record.id))[: generation.parity_rows]
    requests = [Request(record.id, chat(context, record, data), **shown(record)) for record in chosen]
    answers: dict[str, list[Completion]] = {}
    for name in generation.parity:
        own = replace(context, job=replace(context.job, generation=replace(generation, name=name, cache=False, parity=[])))
        loaded = load_for_generation(own)
        answers[name] = engine_of(own, loaded).generate(requests, replace(sampling, temperature=0.0), context.job.seed)
        del loaded
        _free()
    first = generation.parity[0]
    keys = [record.id for record in chosen]
    found = [agreement((first, name), keys, answers[first], answers[name]) for name in generation.parity[1:]]
    for one in found:
        say(context, one.describe())
    lines = [
        {**vars(one), "examples": [dict(zip(("id", "first", "second"), e, strict=True)) for e in one.examples]} for one in found
    ]
    atomic.write_text(context.run.path / FILE, json.dumps(lines, indent=1, ensure_ascii=False) + "\n")
    return found


def _free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
