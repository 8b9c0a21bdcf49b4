"""What an exported task does inside lmms-eval: pictures and prompt in, our parser and metrics out.

lmms-eval calls the functions of the task folder's `utils.py`, which come from `open_task`. A sample leaves `process_results` as the
counts that `facial_r1.metrics.samples` makes of it, one item a metric; `aggregation` sums them and applies the metric's own statistic, so that
the figure is the one that `stage=eval` gives for the same answers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from facial_r1.affect.wheels import load as load_wheels
from facial_r1.data.protocol import Protocol, load_protocol
from facial_r1.errors import InputError
from facial_r1.metrics.emotion import LabelSpace
from facial_r1.metrics.samples import Family, cluster_of, families, make_sample
from facial_r1.metrics.wheel import NAMES as WHEEL_NAMES
from facial_r1.metrics.wheel import wheel_counts, wheel_statistic
from facial_r1.prompts.open_vocabulary import is_formatted, read_answer
from facial_r1.prompts.template import Output
from facial_r1.rewards.open_vocabulary import true_words

SETTINGS = "facial_r1.json"
METRICS = (
    "emotion/accuracy",
    "emotion/uar",
    "emotion/macro_f1",
    "au/macro_f1",
    "au/micro_f1",
    "au/subset_accuracy",
    "au/hallucinated",
    "wheel/level1/f",
    "wheel/level2/f",
    "text/rouge_l",
    "format/valid",
)
"""What a task reports, as far as its rows are annotated for it."""
LOWER_IS_BETTER = ("au/hallucinated",)
_MEANS = ("emotion/accuracy", "au/subset_accuracy", "text/rouge_l", "format/valid")
"""Metrics that are means over samples: only these have a score of one sample, and with it lmms-eval's standard errors and paired tests."""

Item = dict[str, Any]


class LmmsTask:
    """One exported task.

    Args:
        settings: The contents of `facial_r1.json`: `protocol` (its YAML form), `annotated` (units by dataset of a mix), `system` (a system
            turn or None), `output` (how open answers are read), `image_size` (the `model.image_size` of a job).
        folder: Of the task; relative pictures lie below it.
    """

    def __init__(self, settings: Mapping[str, Any], folder: Path) -> None:
        self.protocol: Protocol = load_protocol(settings["protocol"])
        self.folder = folder
        self._settings = settings
        self._annotated: Mapping[str, Sequence[str]] = settings.get("annotated") or {}
        self._output: Output = settings.get("output") or "auto"
        self._wheels = load_wheels(self.protocol.wheels, self.protocol.wheel_root) if self.protocol.is_open else None
        labels = () if self.protocol.is_open else tuple(self.protocol.labels or ())
        self._space = LabelSpace(labels) if labels else None
        found = families(self.protocol.vocabulary, labels)
        if self._wheels is not None:
            found.append(Family("wheel", WHEEL_NAMES, _wheel_rows, wheel_statistic(self._wheels)))
        self._families = {name: (family, place) for family in found for place, name in enumerate(family.names)}

    def doc_to_visual(self, doc: Mapping[str, Any]) -> list[Any]:
        """The pictures of a row, upright, in RGB, at the size of the job that was exported where it fixes one."""
        from facial_r1.config.schema import ImageSize
        from facial_r1.data.images import open_image
        from facial_r1.models.images import ImageSizer

        sizer = ImageSizer.without_processor(ImageSize(**self._settings["image_size"]))
        return [sizer.apply(open_image(str(self.folder / path))) for path in doc["images"]]

    def doc_to_text(self, doc: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> str:
        """The prompt, as our template rendered it for this row."""
        before, after = ((options or {}).get(key, "") for key in ("pre_prompt", "post_prompt"))
        return f"{before}{doc['prompt']}{after}"

    def doc_to_messages(self, doc: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The same as a conversation, with the system turn of the prompt, for models that lmms-eval talks to in turns."""
        content = [{"type": "image", "url": picture} for picture in self.doc_to_visual(doc)]
        turn = {"role": "user", "content": [*content, {"type": "text", "text": self.doc_to_text(doc, options)}]}
        system = self._settings.get("system")
        return [turn] if system is None else [{"role": "system", "content": [{"type": "text", "text": system}]}, turn]

    def doc_to_target(self, doc: Mapping[str, Any]) -> str:
        """The truth in words: units, then labels."""
        return "; ".join(", ".join(values) for values in (doc.get("AUs"), doc.get("labels")) if values)

    def process_results(self, doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
        """The item of each metric that the row is annotated for, and `score`, what the sample is compared by."""
        counts, subject, score = self._count(doc, results[0])
        found: dict[str, Any] = {}
        for name in METRICS:
            family, place = self._families.get(name, (None, 0))
            if family is None or counts.get(family.key) is None:
                continue
            item: Item = {"counts": counts[family.key], "subject": subject}
            if name in _MEANS:
                item["score"] = _figure(family, place, [item])
            found[name] = item
        return {"score": score, **found}

    def metrics_of(self, docs: Sequence[Mapping[str, Any]]) -> list[str]:
        """The metrics that at least one row is annotated for."""
        has = {"format": True}
        for doc in docs:
            counts, _, _ = self._count(doc, "")
            has |= {key: True for key, value in counts.items() if value is not None}
        return [name for name in METRICS if name in self._families and has.get(self._families[name][0].key)]

    def aggregation(self, name: str) -> Callable[[Sequence[Item]], float]:
        """The function that turns the items of all samples into the figure of a metric."""
        if name not in self._families:
            raise InputError(
                f"{self.folder}: {name} is no metric of the protocol {self.protocol.name}; the task was exported by another version"
            )
        family, place = self._families[name]
        return lambda items: _figure(family, place, items)

    def _count(self, doc: Mapping[str, Any], text: str) -> tuple[dict[str, Any], str, float]:
        """The counts of a sample by family, its cluster, and its score."""
        row = {**doc, "labels": []} if self._wheels is not None else doc
        units = self.protocol.vocabulary
        own = self._annotated.get(str(doc.get("dataset") or ""))
        annotated = None if own is None or set(units) <= set(own) else own
        sample = make_sample(text, row, units, self._space, None, self.protocol.empty_action_units, annotated=annotated)
        counts = sample["counts"]
        if self._wheels is not None:
            truth = true_words(dict(doc))
            words = read_answer(text, self._output).words
            valid = float(is_formatted(text, self._output, "ordered"))
            counts["wheel"] = wheel_counts(self._wheels, truth, list(words)) if truth else None
            counts["format"] = [valid, counts["format"][1], float(bool(words))]
        scores = (sample["scores"]["emotion/accuracy"], sample["scores"]["au/set_f1"], counts["format"][0])
        cluster = cluster_of(sample)
        return (
            counts,
            "/".join(cluster) if isinstance(cluster, tuple) else str(cluster),
            next(one for one in scores if one is not None),
        )


@lru_cache(maxsize=8)
def open_task(folder: Path) -> LmmsTask:
    """The task that a folder holds; read once, although lmms-eval loads `utils.py` for each of its functions.

    Raises:
        InputError: `facial_r1.json` is not there or cannot be read.
    """
    file = folder / SETTINGS
    try:
        return LmmsTask(json.loads(file.read_text(encoding="utf-8")), folder)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{file}: cannot be read ({type(error).__name__}: {error}); export the task again with `facial-r1 export`"
        ) from error


def _figure(family: Family, place: int, items: Sequence[Item]) -> float:
    if not items:
        return math.nan
    rows = family.counts([{"counts": {family.key: item["counts"]}} for item in items])
    return float(family.statistic(rows.sum(axis=0))[place])


def _wheel_rows(samples: Sequence[Mapping[str, Any]]) -> Any:
    return np.array([sample["counts"]["wheel"] for sample in samples], dtype=np.float64)
