"""How metrics, models and numbers are written for people; one vocabulary for page, tables and figures."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from facial_r1.affect.action_units import ACTION_UNITS

METRICS: dict[str, tuple[str, str]] = {
    "emotion/accuracy": ("Emotion accuracy", "share of faces with the right emotion; unparsed answers count as wrong"),
    "emotion/uar": ("Emotion UAR", "mean recall over the emotions, so that rare ones weigh the same"),
    "emotion/macro_f1": ("Emotion macro-F1", "mean F1 over the emotions"),
    "au/macro_f1": ("AU macro-F1", "mean F1 over the action units of the protocol"),
    "au/micro_f1": ("AU micro-F1", "F1 over all action-unit decisions together"),
    "au/subset_accuracy": ("AU subset accuracy", "share of faces whose set of action units is exactly right"),
    "au/hallucinated": ("Hallucinated AUs", "share of the named action units that the face does not show"),
    "au/macro_f1_present": ("AU macro-F1, present", "mean F1 over the action units that occur in the truth"),
    "au/set_f1": ("AU set F1", "F1 of each answer's set of action units, mean over faces"),
    "au/outside_vocabulary": (
        "AUs outside the vocabulary",
        "share of the named action units that the protocol does not annotate",
    ),
    "text/rouge_1": ("ROUGE-1", "words of the reasoning that the reference has too"),
    "text/rouge_2": ("ROUGE-2", "the same of pairs of words"),
    "text/rouge_l": ("ROUGE-L", "overlap of the reasoning with the reference, tags removed"),
    "text/rege": ("REGE", "reasoning and recognition together, in points (EmoLA)"),
    "text/rege_re": ("REGE, recognition part", "accuracy or mean F1 as EmoLA's scorer reads it, in points"),
    "text/rege_ge": ("REGE, generation part", "ROUGE-L as EmoLA's scorer counts it, in points"),
    "text/judge": ("Judge", "score of a language model; failed verdicts are left out and counted"),
    "text/judge_failed": ("Failed judgements", "share of answers that the judge gave no usable verdict on"),
    "text/judge_agreement": ("Judges agree", "share of answers that both judges gave the same score"),
    "wheel/level1/f": ("Wheel F, level 1", "emotion-wheel F over five wheels, from average precision and recall"),
    "wheel/level1/precision": ("Wheel precision, level 1", "share of the named sectors that are in the truth"),
    "wheel/level1/recall": ("Wheel recall, level 1", "share of the true sectors that are named"),
    "wheel/level2/f": ("Wheel F, level 2", "the same on the finer sectors"),
    "wheel/hit": ("Hit rate", "share of clips whose only emotion is among the named ones"),
    "sentiment/waf": ("Sentiment WAF", "F1 of positive and negative, weighted by their frequency"),
    "reward/mean": ("Mean reward", "weighted sum of the rewards the policy is trained on"),
    "reward/au": ("AU reward", "F1 of each answer's set of action units, mean over faces"),
    "reward/accuracy": ("Accuracy reward", "1 when the emotion is right"),
    "reward/format": ("Format reward", "1 when the answer has the asked form"),
    "format/valid": ("Valid answers", "share of answers that parse"),
    "format/parsed": ("Readable answers", "share of answers in which an answer could be read"),
    "format/truncated": ("Truncated answers", "share cut off at the length limit"),
    "synthesis/yield": ("Accepted rows", "share of rows whose reasoning passed every check"),
}
"""Name -> (label, what it is). The order is the order of tables."""

LOWER_IS_BETTER = ("au/hallucinated", "au/outside_vocabulary", "format/truncated", "failures/")

_MODELS = {"base": "Base", "sft": "SFT", "grpo": "GRPO", "synthesis": "After synthesis", "resft": "After synthesis"}
_STAGES = {
    "base": "Base",
    "sft": "SFT",
    "grpo": "GRPO",
    "synthesis": "Synthesis",
    "resft": "SFT on written data",
    "eval": "Evaluation",
    "pipeline": "Pipeline",
    "prepare": "Preparation",
    "comparison": "Comparison",
}
_COLOURS = {"base": 4, "sft": 0, "grpo": 1, "synthesis": 2, "resft": 2}
_FAILURES = {
    "parse": "Unparsed answers",
    "parse_failures": "Unparsed answers",
    "truncated": "Truncated answers",
    "judge": "Failed judgements",
    "empty": "Empty answers",
    "unparsed": "Unparsed answers",
    "invalid_format": "Invalid format",
    "unknown_action_units": "Unknown action units",
    "without_labels": "Rows without a label",
    "without_action_units": "Rows without action units",
    "without_reference": "Rows without a reference",
}


def metric_label(name: str) -> str:
    """A readable name: "Emotion UAR" for `emotion/uar`, "F1 of AU12" for `au/f1/AU12`, else the name itself."""
    if name in METRICS:
        return METRICS[name][0]
    if name.startswith("failures/"):
        return failure_label(name)
    if name.startswith("emotion/recall/"):
        return f"Recall of {name.removeprefix('emotion/recall/')}"
    if name.startswith("au/f1/"):
        return f"F1 of {name.removeprefix('au/f1/')}"
    if name.startswith("compat/"):
        return f"{metric_label(name.removeprefix('compat/'))}, as published"
    if match := _FERBENCH.fullmatch(name):
        mode = {"compat": ", as published", "strict": ", strict", None: ""}[match["mode"]]
        return f"{_SETS.get(match['set'], match['set'])}: {match['figure'].replace('_', ' ')}{mode}"
    return name


_FERBENCH = re.compile(r"ferbench/(?P<set>[^/]+)/(?:(?P<mode>compat|strict)/)?(?P<figure>[^/]+)")
_SETS = {
    "affectnet": "AffectNet",
    "rafdb": "RAF-DB",
    "ferplus": "FER+",
    "sfew": "SFEW 2.0",
    "pooled": "FERBench, pooled",
    "mean": "FERBench, mean of the sets",
}


def model_label(name: str) -> str:
    """A readable name of a model in a pipeline."""
    return _numbered(_MODELS, name)


def stage_label(name: str) -> str:
    """A readable name of a stage or a sub-run."""
    return _numbered(_STAGES, name)


def _numbered(labels: Mapping[str, str], name: str) -> str:
    """The label of "grpo", and of "grpo2" as that of round 2."""
    stem, round_ = re.fullmatch(r"(.*?)(\d*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
    if stem not in labels:
        return name.replace("_", " ")
    return f"{labels[stem]} {round_}".strip()


def failure_label(name: str) -> str:
    """A readable name of a failure that is counted."""
    plain = name.removeprefix("format/").removeprefix("failures/")
    return _FAILURES.get(plain, plain.replace("_", " ").capitalize())


def model_colours(names: Sequence[str]) -> list[int]:
    """The palette index of each model: a stage has one colour on the whole page, others take what is left."""
    if len(names) == 1:
        return [0]
    taken = [_COLOURS[name] for name in names if name in _COLOURS]
    free = [colour for colour in (0, 1, 2, 3, 4, 5) if colour not in taken] or [5]
    result = []
    for name in names:
        result.append(_COLOURS[name] if name in _COLOURS else free[0])
        if name not in _COLOURS and len(free) > 1:
            free.pop(0)
    return result


_DETAILS = (
    "au/macro_f1_present",
    "au/set_f1",
    "au/outside_vocabulary",
    "text/rouge_1",
    "text/rouge_2",
    "reward/au",
    "reward/accuracy",
    "reward/format",
    "format/parsed",
)


def is_detail(name: str) -> bool:
    """Whether a metric stays out of the first table: those of one emotion or action unit, and variants of others."""
    plain = name.removeprefix("compat/")
    if match := _FERBENCH.fullmatch(name):
        return match["figure"] not in ("accuracy", "macro_f1")
    return plain in _DETAILS or plain.startswith(("au/f1/", "emotion/recall/", "folds/"))


def is_better(name: str, difference: float) -> bool:
    """Whether a change of this sign is an improvement."""
    return difference < 0 if name.startswith(LOWER_IS_BETTER) else difference > 0


def in_order(names: Iterable[str]) -> list[str]:
    """Metric names in the order of `METRICS`, then the others by name."""
    rank = {name: index for index, name in enumerate(METRICS)}

    def key(name: str) -> tuple[int, bool, int, str]:
        plain = name.removeprefix("compat/")  # stands right behind its strict twin
        return rank.get(plain, len(rank)), name != plain, au_number(name), name

    return sorted(set(names), key=key)


def au_number(name: str) -> int:
    """12 for "AU12" or "au/f1/AU12"; 0 when there is no number at the end."""
    match = re.search(r"(\d+)$", name)
    return int(match[1]) if match else 0


def au_meaning(code: str) -> str:
    """FACS name of an action unit ("lip corner puller" for AU12), "" when unknown."""
    unit = ACTION_UNITS.get(code)
    return unit.name.lower() if unit else ""


def figure(value: Any) -> dict[str, float]:
    """A metric of `summary.json` (an object or a bare number) as value, low, high, n, clusters; absent ones left out."""
    if isinstance(value, Mapping):
        return {key: float(value[key]) for key in ("value", "low", "high", "n", "clusters") if is_number(value.get(key))}
    return {"value": float(value)} if is_number(value) else {}


def is_number(value: Any) -> TypeGuard[float]:
    """A finite number, not a boolean."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def short(value: Any) -> str:
    """A number as a person writes it: 0.853, 12.4, 1,250, 3.2e-06; "–" when there is none."""
    if not is_number(value):
        return "–"
    size = abs(value)
    if isinstance(value, int) and size < 1e6:
        return f"{value:,}"
    if size >= 1e6 or 0 < size < 1e-3:
        return f"{value:.1e}"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.3f}"


def signed(value: Any) -> str:
    """A difference with its sign, minus as the typographic one."""
    return "–" if not is_number(value) else f"{'+' if value >= 0 else '−'}{abs(value):.3f}"


def duration(seconds: Any) -> str:
    """3,700 s as "1 h 1 min"."""
    if not is_number(seconds):
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
