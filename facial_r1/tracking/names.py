"""Every metric name a run logs: what it means, and the dashboard section it is shown in.

`metrics.jsonl` carries the plain names (`kl`, `reward/mean`). Dashboards group by the part before the first slash,
so there the name is preceded by its section unless it already starts with it: `policy/kl`, `reward/mean`,
`throughput/tokens_per_second`, `eval/au/macro_f1`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Name:
    """One documented metric; `<...>` in the name stands for anything."""

    name: str
    section: str
    meaning: str


SECTIONS: dict[str, str] = {
    "reward": "What the policy is paid for: total, components, spread inside groups",
    "policy": "Health of the optimisation: loss, KL, entropy, gradient, rate",
    "completions": "What is written: length, cut-offs, answers that do not parse",
    "throughput": "Time and speed",
    "samples": "Tables of rollouts, one per logged step, with the step in the name",
    "eval": "Evaluation, each figure with its 95 % interval",
}

_TABLE = """
reward/mean                     | reward      | Mean weighted reward of the step's completions
reward/std                      | reward      | Standard deviation of the reward inside groups, mean over groups
reward/<name>                   | reward      | Mean of one reward function over the completions it applies to
reward/<name>/std               | reward      | Standard deviation of one reward function
groups/zero_variance            | reward      | Share of groups whose completions all have the same reward, 0 to 1
groups/zero_variance_right      | reward      | Share of groups without spread and with the full reward
groups/zero_variance_wrong      | reward      | Share of groups without spread and with no reward
groups/<name>                   | reward      | Other counts of groups
dynamic_sampling/rounds         | reward      | Rounds of generation behind a batch
dynamic_sampling/replaced       | reward      | Groups of the batch that came in a later round
dynamic_sampling/live_fraction  | reward      | Share of the batch's groups whose rewards differ, 0 to 1
dynamic_sampling/accept_rate    | reward      | Share of all sampled groups whose rewards differ, 0 to 1
advantage/<name>                | reward      | Distribution of the advantages
loss                            | policy      | Training loss
kl                              | policy      | Mean KL divergence to the reference policy, nats per token
entropy                         | policy      | Mean entropy of the policy, nats per token
grad_norm                       | policy      | Norm of the gradient before clipping
learning_rate                   | policy      | Learning rate
epoch                           | policy      | Passes over the data
clip_ratio                      | policy      | Share of tokens whose probability ratio is clipped, 0 to 1
clip_ratio/<name>               | policy      | The same by side, and extremes over ranks
sampling/<name>                 | policy      | Difference between the sampler's and the trainer's log-probabilities
token_accuracy                  | policy      | SFT: share of completion tokens predicted right
num_tokens                      | policy      | Tokens seen so far
completions/mean_length         | completions | Mean length, tokens
completions/p95_length          | completions | 95th percentile of the length, tokens
completions/truncated           | completions | Share cut off at the length limit, 0 to 1
completions/parse_failures      | completions | Share without a valid answer, 0 to 1
completions/<name>              | completions | Other statistics of the completions
seconds/step                    | throughput  | Wall time of one optimizer step, s
seconds/<name>                  | throughput  | Part of the step: generate, score, train, s
tokens_per_second               | throughput  | Completion tokens generated per second
samples_per_second              | throughput  | Completions (GRPO) or rows (SFT) per second
memory/<name>                   | throughput  | Memory in use, bytes
samples/<name>                  | samples     | Table of completions with their rewards
au/<name>                       | eval        | Action units: macro, micro and subset scores, hallucination rate
au/f1/<AU>                      | eval        | F1 of one action unit
emotion/<name>                  | eval        | Emotion: accuracy, UAR, macro-F1
text/<name>                     | eval        | Reasoning text against the reference
format/<name>                   | eval        | Share of valid and of truncated answers
wheel/<name>                    | eval        | Emotion-wheel scores
synthesis/<name>                | eval        | Data synthesis: share of rows accepted
sentiment/<name>                | eval        | Sentiment scores
confusion                       | eval        | Picture of the confusion matrix
ferbench/<name>                 | eval        | FERBench scores
failures/<name>                 | eval        | Share or count of samples that failed for a reason
compat/<name>                   | eval        | A figure as published code computed it, beside the strict one
eval/<name>                     | eval        | Any figure of an evaluation at its end; with _low and _high the ends of its interval
"""

NAMES: tuple[Name, ...] = tuple(Name(*(cell.strip() for cell in line.split("|"))) for line in _TABLE.strip().splitlines())
_PATTERNS = [(re.compile(".+".join(re.escape(part) for part in re.split(r"<[^>]+>", entry.name))), entry) for entry in NAMES]


@lru_cache(maxsize=4096)
def documented(name: str) -> Name | None:
    """The entry that describes a metric; an exact one before a pattern, None when there is none."""
    exact = next((entry for entry in NAMES if entry.name == name), None)
    matches = [entry for pattern, entry in _PATTERNS if pattern.fullmatch(name)]
    return exact or max(matches, key=lambda entry: len(entry.name), default=None)


def dashboard_name(name: str) -> str:
    """The name under which a dashboard shows a metric: preceded by its section (unknown ones by "other")."""
    entry = documented(name)
    section = entry.section if entry else "other"
    return name if name.startswith(section + "/") else f"{section}/{name}"


def summary_scalars(summary: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a `summary.json` as flat dashboard names.

    `{"metrics": {"au/macro_f1": {"value": 0.8, "low": 0.7, "high": 0.9}}}` gives `eval/au/macro_f1`,
    `eval/au/macro_f1_low` and `eval/au/macro_f1_high`. A pipeline's models come as `eval/<model>/<metric>`.
    """
    flat = dict(_block("eval", summary))
    for model, block in summary.get("models", {}).items():
        flat.update(_block(f"eval/{model}", block))
    return flat


def _block(prefix: str, block: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, figure in block.get("metrics", {}).items():
        bounds = figure if isinstance(figure, Mapping) else {"value": figure}
        for key, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
            if _finite(bounds.get(key)):
                yield f"{prefix}/{name}{suffix}", float(bounds[key])
    for name, value in block.get("failures", {}).items():
        value = value.get("value", value.get("rate")) if isinstance(value, Mapping) else value
        if _finite(value):
            yield f"{prefix}/failures/{name}", float(value)


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
