"""Turns evaluated samples and rollouts into the compact data that the page's script shows.

Nothing here is HTML: texts stay texts, and the page inserts them as text nodes only.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from facial_r1.affect import normalise_label
from facial_r1.prompts import parse
from facial_r1.report.load import Run, read_rollouts
from facial_r1.report.wording import au_number, is_number, model_label
from facial_r1.tracking.thumbnails import thumbnail

_TAG = re.compile(r"</?(?:think|answer)>", re.IGNORECASE)

T = TypeVar("T")

Segment = str | list[str]
"""Plain text, or [text, kind, code] with kind one of tag, hit, false, mention."""


@dataclass
class Pictures:
    """Thumbnails as data URIs, each image once; `missing` counts those that could not be read."""

    side: int = 128
    uris: list[str] = field(default_factory=list)
    missing: int = 0
    _known: dict[str, int] = field(default_factory=dict)

    def add(self, path: Path | None) -> int:
        """Index of the image's thumbnail, -1 when there is none."""
        if path is None:
            return -1
        key = str(path)
        if key not in self._known:
            try:
                encoded = base64.b64encode(thumbnail(path, self.side)).decode()
            except OSError:
                self.missing += 1
                self._known[key] = -1
            else:
                self._known[key] = len(self.uris)
                self.uris.append("data:image/jpeg;base64," + encoded)
        return self._known[key]


@dataclass
class Prompts:
    """Distinct prompt texts, each once."""

    texts: list[str] = field(default_factory=list)
    _known: dict[str, int] = field(default_factory=dict)

    def add(self, text: Any) -> int:
        """Index of the prompt, -1 when there is none."""
        shown = as_text(text)
        if not shown:
            return -1
        if shown not in self._known:
            self._known[shown] = len(self.texts)
            self.texts.append(shown)
        return self._known[shown]


def as_text(prompt: Any) -> str:
    """A prompt as text, also when it is a list of chat messages with image parts."""
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, Mapping):
        content = as_text(prompt.get("content", prompt.get("text", "[image]" if "image" in str(prompt.get("type")) else "")))
        return f"{prompt['role']}:\n{content}" if "role" in prompt else content
    if isinstance(prompt, Sequence):
        joint = "\n\n" if any(isinstance(part, Mapping) and "role" in part for part in prompt) else ""
        return joint.join(as_text(part) for part in prompt)
    return "" if prompt is None else str(prompt)


def gallery(runs: Mapping[str, Run], pictures: Pictures, prompts: Prompts, limit: int = 500) -> dict[str, Any]:
    """The samples of one or several models, joined by record id.

    Args:
        runs: model name -> run with samples; the order is the order of the columns.
        pictures: collects the thumbnails.
        prompts: collects the prompts.
        limit: at most so many samples, spread evenly over the files; samples with an unparsed answer come first.
    """
    answers: dict[str, dict[str, dict[str, Any]]] = {}
    records: dict[str, tuple[Run, dict[str, Any]]] = {}
    for model, run in runs.items():
        for number, sample in enumerate(run.samples):
            key = str(sample.get("id", number))
            records.setdefault(key, (run, sample))
            answers.setdefault(key, {})[model] = answer(sample)
    chosen = _choose(answers, limit)
    samples = []
    for key in chosen:
        run, sample = records[key]
        truth = _codes(sample.get("AUs"))
        samples.append(
            {
                "id": key,
                "face": pictures.add(run.image_path(sample.get("image", sample.get("images")))),
                "subject": str(sample.get("subject") or ""),
                "labels": [str(label) for label in sample.get("labels") or () if label],
                "aus": truth,
                "prompt": prompts.add(sample.get("prompt")),
                "answers": answers[key],
            }
        )
    return {"models": [{"key": key, "label": model_label(key)} for key in runs], "samples": samples, "total": len(records)}


def answer(sample: Mapping[str, Any]) -> dict[str, Any]:
    """What one model said about one sample, compared with the truth.

    `outcome` is unparsed (no valid answer, or cut off), right, wrong, or unscored when the record has no truth. With
    emotion labels the emotion decides, else the exact set of action units.
    """
    parsed: Mapping[str, Any] = sample.get("parsed") or {}
    truth, said = _codes(sample.get("AUs")), _codes(parsed.get("action_units")) or []
    labels = [_label(label) for label in sample.get("labels") or () if label]
    given = [str(label) for label in parsed.get("labels") or ()]
    cut = sample.get("finish_reason") == "length"
    if cut or not parsed.get("valid", bool(said or given)):
        outcome = "unparsed"
    elif labels:
        outcome = "right" if given and _label(given[0]) in labels else "wrong"
    elif truth is not None:
        outcome = "right" if set(said) == set(truth) else "wrong"
    else:
        outcome = "unscored"
    completion = str(sample.get("completion") or "")
    return {
        "text": segments(completion, sample.get("spans"), truth),
        "labels": given,
        "hit": [code for code in said if truth is not None and code in truth],
        "false": [code for code in said if truth is not None and code not in truth],
        "missed": [code for code in truth or () if code not in said],
        "named": said if truth is None else [],
        "outcome": outcome,
        "cut": cut,
        "scores": {str(name): round(value, 4) for name, value in (sample.get("scores") or {}).items() if is_number(value)},
    }


def segments(text: str, spans: Iterable[Sequence[Any]] | None, truth: Sequence[str] | None) -> list[Segment]:
    """Cut a completion into plain text, tags and mentions of action units.

    Args:
        text: the completion.
        spans: [start, end, code, right] in characters; None takes the affirmed mentions that the parser finds.
        truth: the record's action units; None (not annotated) leaves mentions unjudged.
    """
    marks: list[tuple[int, int, str, str]] = []
    for span in spans or ():
        if len(span) >= 4 and is_number(span[0]) and is_number(span[1]):
            marks.append((int(span[0]), int(span[1]), "hit" if span[3] else "false", str(span[2])))
    marks += [(*match.span(), "tag", "") for match in _TAG.finditer(text)]
    if spans is None:
        for mention in parse(text).spans:
            if not mention.negated:
                kind = "mention" if truth is None else "hit" if mention.code in truth else "false"
                marks.append((mention.start, mention.end, kind, mention.code))
    result: list[Segment] = []
    at = 0
    for start, end, kind, code in sorted(marks):
        if start < at or end <= start or end > len(text):
            continue
        if start > at:
            result.append(text[at:start])
        result.append([text[start:end], kind, code])
        at = end
    if at < len(text):
        result.append(text[at:])
    return result


def rollouts(
    run: Run, name: str, pictures: Pictures, prompts: Prompts, max_steps: int = 10, max_groups: int = 6
) -> dict[str, Any] | None:
    """Groups of completions of a GRPO run: steps spread evenly over the run, the first groups of each.

    Returns:
        {"stage", "steps": [{"step", "groups": [{"id", "face", "prompt", "completions": [...]}]}]}, None without files.
    """
    chosen = _spread(sorted(run.rollouts), max_steps)
    steps = []
    for step in chosen:
        try:
            rows = read_rollouts(run.rollouts[step])
        except (OSError, ValueError) as error:
            run.notes.append(f"{run.rollouts[step].name} could not be read: {error}")
            continue
        groups: dict[Any, list[dict[str, Any]]] = {}
        for row in rows:
            groups.setdefault(row.get("group", row.get("record_id")), []).append(row)
        shown = [_group(run, members, pictures, prompts) for members in list(groups.values())[:max_groups]]
        steps.append({"step": step, "groups": shown, "total": len(groups)})
    return {"stage": name, "steps": steps} if steps else None


def _group(run: Run, rows: Sequence[Mapping[str, Any]], pictures: Pictures, prompts: Prompts) -> dict[str, Any]:
    first = rows[0]
    truth = _codes(first.get("AUs"))
    return {
        "id": str(first.get("record_id", "")),
        "face": pictures.add(run.image_path(first.get("image"))),
        "prompt": prompts.add(first.get("prompt")),
        "labels": [str(label) for label in first.get("labels") or ()],
        "aus": truth,
        "completions": [
            {
                "text": segments(str(row.get("completion") or ""), row.get("spans"), truth),
                "reward": _number(row.get("reward")),
                "advantage": _number(row.get("advantage")),
                "length": _number(row.get("length")),
                "cut": bool(row.get("truncated")),
                "rewards": {
                    name.removeprefix("reward/"): _number(value) for name, value in row.items() if name.startswith("reward/")
                },
            }
            for row in rows
        ],
    }


def length_against_reward(run: Run, bins: int = 8) -> list[tuple[float, float, float, int]]:
    """Mean reward of completions of similar length: (mean length, mean reward, 95 % half-width, n) per bin.

    Bins hold about equally many completions of all rollout files, at least 8; completions of one length share a bin.
    """
    pairs = []
    for file in run.rollouts.values():
        try:
            rows = read_rollouts(file)
        except (OSError, ValueError):
            continue  # noted by `rollouts`
        pairs += [(row["length"], row["reward"]) for row in rows if is_number(row.get("length")) and is_number(row.get("reward"))]
    pairs.sort()
    size = max(8, -(-len(pairs) // bins))
    parts: list[list[tuple[float, float]]] = [[]]
    for pair in pairs:
        if len(parts[-1]) >= size and pair[0] != parts[-1][-1][0]:
            parts.append([])
        parts[-1].append(pair)
    result = []
    for part in parts:
        n = len(part)
        if n < 8:
            continue
        mean = sum(reward for _, reward in part) / n
        variance = sum((reward - mean) ** 2 for _, reward in part) / (n - 1)
        result.append((sum(length for length, _ in part) / n, mean, 1.96 * (variance / n) ** 0.5, n))
    return result


def _choose(answers: Mapping[str, Mapping[str, Mapping[str, Any]]], limit: int) -> list[str]:
    keys = list(answers)
    if len(keys) <= limit:
        return keys
    failed = [key for key in keys if any(given["outcome"] == "unparsed" for given in answers[key].values())]
    kept = set(_spread(failed, limit // 4))
    kept |= set(_spread([key for key in keys if key not in kept], limit - len(kept)))
    return [key for key in keys if key in kept]


def _spread(items: Sequence[T], count: int) -> list[T]:
    if len(items) <= count:
        return list(items)
    return [items[round(index * (len(items) - 1) / max(count - 1, 1))] for index in range(count)]


def _codes(codes: Any) -> list[str] | None:
    if codes is None:
        return None
    return sorted(dict.fromkeys(str(code) for code in codes), key=lambda code: (au_number(code), code))


def _label(label: Any) -> str:
    return normalise_label(str(label)) or str(label).strip().lower()


def _number(value: Any) -> float | None:
    return round(float(value), 4) if is_number(value) else None
