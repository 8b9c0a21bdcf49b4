"""Synthetic run directories: a pipeline of four models on drawn faces, written as the stages write them."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from facial_r1.data.schematic import draw, face, reasoned_description

LABELS = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
VOCABULARY = tuple(f"AU{number}" for number in (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 17, 20, 23, 25, 26))
PROMPT = (
    "Look at the face. Describe the visible action units, then decide on one emotion of: "
    + ", ".join(LABELS)
    + ".\nWrite your reasoning between <think> and </think> and the answer between <answer> and </answer>."
)


def make_faces(folder: Path, count: int) -> list[dict[str, Any]]:
    """Draw faces into `folder` and return their records, with relative image paths."""
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for index in range(count):
        drawn = face(0, index, list(range(40)))
        draw(drawn, 112).save(folder / f"{index:04d}.png")
        records.append(
            {
                "id": f"face-{index:04d}",
                "image": f"{folder.name}/{index:04d}.png",
                "AUs": list(drawn.action_units),
                "labels": [drawn.emotion],
                "subject": f"subject-{index % 17:02d}",
                "description": reasoned_description(drawn),
                "meta_info": {},
            }
        )
    return records


def make_sample(record: dict[str, Any], skill: float, chance: random.Random, image: str) -> dict[str, Any]:
    """What a model of this skill (0 to 1) might answer to a record."""
    codes = [code for code in record["AUs"] if chance.random() < 0.35 + 0.62 * skill]
    codes += [code for code in VOCABULARY if code not in record["AUs"] and chance.random() < 0.12 * (1 - skill)]
    codes.sort(key=lambda code: int(code[2:]))
    label = record["labels"][0] if chance.random() < 0.1 + 0.85 * skill else chance.choice(LABELS)
    broken = chance.random() < 0.3 * (1 - skill)
    mentions = " ".join(f"I see {code}, which is {'strong' if chance.random() < 0.5 else 'weak'} here." for code in codes)
    completion = f"<think>The face is turned to the viewer. {mentions} Taken together this speaks for {label}.</think>"
    completion += "" if broken else f"<answer>{', '.join(codes)}; {label}</answer>"
    spans, at = [], 0
    for code in codes:
        start = completion.index(f"{code},", at)
        spans.append([start, start + len(code), code, code in record["AUs"]])
        at = start + len(code)
    hits = len(set(codes) & set(record["AUs"]))
    f1 = 2 * hits / max(len(codes) + len(record["AUs"]), 1) if codes or record["AUs"] else 1.0
    right = float(label == record["labels"][0] and not broken)
    return {
        **{key: record[key] for key in ("id", "AUs", "labels", "subject", "meta_info")},
        "image": image,
        "prompt": PROMPT,
        "completion": completion,
        "finish_reason": "length" if broken else "stop",
        "parsed": {"action_units": codes, "labels": [] if broken else [label], "thinking": mentions, "valid": not broken},
        "scores": {"reward/au": round(f1, 4), "reward/accuracy": right, "reward/format": float(not broken)},
        "spans": spans,
    }


def summarise(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures with intervals of a plausible width; the report shows them, it does not compute them."""

    def figure(values: list[float]) -> dict[str, float]:
        mean = sum(values) / len(values)
        half = 1.96 * math.sqrt(max(mean * (1 - mean), 1e-4) / len(values))
        return {"value": mean, "low": max(mean - half, 0.0), "high": min(mean + half, 1.0), "n": len(values), "clusters": 17}

    right = [sample["scores"]["reward/accuracy"] for sample in samples]
    au = [sample["scores"]["reward/au"] for sample in samples]
    valid = [sample["scores"]["reward/format"] for sample in samples]
    metrics = {
        "emotion/accuracy": figure(right),
        "emotion/uar": figure([0.97 * value for value in right]),
        "emotion/macro_f1": figure([0.96 * value for value in right]),
        "au/macro_f1": figure([0.95 * value for value in au]),
        "au/micro_f1": figure(au),
        "au/hallucinated": figure([0.02 * (1 - value) for value in au]),
        "text/rouge_l": figure([0.7 * value for value in au]),
        "reward/mean": figure([(a + r + v) / 3 for a, r, v in zip(au, right, valid, strict=True)]),
        "format/valid": figure(valid),
    }
    for label in LABELS:
        recalled = [sample["scores"]["reward/accuracy"] for sample in samples if label in sample["labels"]]
        if recalled:
            metrics[f"emotion/recall/{label}"] = figure(recalled)
    for code in VOCABULARY:
        scored = [float(code in sample["parsed"]["action_units"]) for sample in samples if code in sample["AUs"]]
        if scored:
            metrics[f"au/f1/{code}"] = figure(scored)
    return {
        "stage": "eval",
        "metrics": metrics,
        "failures": {"unparsed": valid.count(0.0), "truncated": valid.count(0.0), "without_labels": 0},
        "baselines": {
            "majority": {"emotion/accuracy": {"value": 0.18}, "au/macro_f1": {"value": 0.22}},
            "constant": {"emotion/accuracy": {"value": 0.125}, "reward/mean": {"value": 0.31}},
        },
        "rows": len(samples),
        "seconds": 21.4,
    }


def write_status(
    folder: Path, stage: str, state: str = "finished", chain: list[dict[str, str]] | None = None, reason: str = ""
) -> None:
    """Write status.json and resolved.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    status = {
        "state": state,
        "stage": stage,
        "name": folder.name,
        "started": "2026-01-05T10:00:00+00:00",
        "ended": "2026-01-05T10:04:10+00:00",
        "reason": reason,
        "parent": None,
        "chain": chain or [],
        "version": {"package": "0.1.0", "git": "0123456789abcdef"},
        "data": {"fingerprint": "9f86d081884c7d65", "train": 4000, "test": 500},
    }
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "resolved.yaml").write_text(
        f"stage:\n  name: {stage}\n  learning_rate: 1.0e-05\nmodel:\n  name: tiny\ndata:\n  name: schematic\n"
        "reward:\n  name: facial_r1\n  weights:\n    au: 1.0\n    accuracy: 1.0\n    format: 0.5\n"
        "generation:\n  api_key: very-secret\nseed: 1\n"
    )


def write_evaluation(folder: Path, records: list[dict[str, Any]], skill: float, seed: int = 0) -> dict[str, Any]:
    """Write samples.jsonl and summary.json; returns the summary."""
    chance = random.Random(seed)
    up = "../" if folder.name[:2].isdigit() else ""
    samples = [make_sample(record, skill, chance, up + record["image"]) for record in records]
    (folder / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    summary = summarise(samples)
    (folder / "summary.json").write_text(json.dumps(summary))
    columns = [*LABELS, "unparsed"]
    given = [(s["labels"][0], (s["parsed"]["labels"] or ["unparsed"])[0]) for s in samples]
    table = [["truth", *columns], *([row, *(str(given.count((row, column))) for column in columns)] for row in LABELS)]
    (folder / "confusion.csv").write_text("\n".join(",".join(row) for row in table) + "\n")
    return summary


def write_training(folder: Path, records: list[dict[str, Any]], steps: int = 120, grpo: bool = True) -> None:
    """Write metrics.jsonl and, for GRPO, rollouts."""
    chance = random.Random(7)
    rows = []
    for step in range(1, steps + 1):
        part = 1 - math.exp(-3 * step / steps)
        noise = lambda size: chance.gauss(0, size)  # noqa: E731
        row: dict[str, Any] = {
            "step": step,
            "time": 1763e6 + step,
            "loss": 0.9 * (1 - part) + 0.05 + noise(0.03),
            "grad_norm": abs(1.2 + noise(0.3)),
            "learning_rate": 1e-5 * (1 - step / steps),
            "seconds/step": 0.9 + abs(noise(0.1)),
        }
        if grpo:
            row |= {
                "reward/mean": 0.45 + 0.45 * part + noise(0.04),
                "reward/std": 0.22 - 0.1 * part,
                "reward/au": 0.4 + 0.45 * part + noise(0.04),
                "reward/accuracy": 0.35 + 0.55 * part + noise(0.06),
                "reward/format": 0.8 + 0.19 * part,
                "groups/zero_variance": 0.1 + 0.4 * part,
                "completions/mean_length": 70 - 18 * part + noise(2),
                "completions/truncated": 0.15 * (1 - part),
                "completions/parse_failures": 0.2 * (1 - part),
                "kl": 0.02 * part + abs(noise(0.001)),
                "entropy": 0.9 - 0.5 * part,
                "tokens_per_second": 3100 + noise(90),
                "clip_ratio": 0.01 + abs(noise(0.002)),
            }
        else:
            row["token_accuracy"] = 0.4 + 0.5 * part + noise(0.01)
        rows.append(row)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if grpo:
        (folder / "rollouts").mkdir(exist_ok=True)
        for step in (10, 60, 120):
            write_rollouts(folder / "rollouts" / f"step_{step:08d}.parquet", records, step, 0.2 + 0.6 * step / 120)


def write_rollouts(file: Path, records: list[dict[str, Any]], step: int, skill: float, groups: int = 4, size: int = 8) -> None:
    """Write one rollout file."""
    chance = random.Random(step)
    rows = []
    for group, record in enumerate(records[:groups]):
        samples = [make_sample(record, skill, chance, "../" + record["image"]) for _ in range(size)]
        rewards = [sum(sample["scores"].values()) for sample in samples]
        mean = sum(rewards) / size
        spread = max(math.sqrt(sum((reward - mean) ** 2 for reward in rewards) / size), 1e-4)
        for sample, reward in zip(samples, rewards, strict=True):
            rows.append(
                {
                    "step": step,
                    "group": group,
                    "record_id": record["id"],
                    "image": sample["image"],
                    "prompt": PROMPT,
                    "completion": sample["completion"],
                    "reward": reward,
                    **sample["scores"],
                    "advantage": (reward - mean) / spread,
                    "length": len(sample["completion"].split()),
                    "truncated": sample["finish_reason"] == "length",
                }
            )
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)


def write_synthesis(folder: Path, records: list[dict[str, Any]]) -> None:
    """Write accepted.jsonl, rejected.jsonl and yield.json."""
    reasons = {
        "label": "the emotion is anger, the answer said fear",
        "action_units": "these action units are present and were not named: AU4",
        "leak": 'the reasoning refers to known labels ("as given"): argue from the face alone',
        "format": "the answer was cut off",
        "near_duplicate": "the same words were used for many faces: say it differently",
    }
    chance = random.Random(3)
    accepted, rejected = [], []
    for number, record in enumerate(records):
        row = {**record, "image": "../" + record["image"]}
        if number % 4:
            accepted.append({**row, "meta_info": {"provenance": {"attempt": 1 + number % 3}}})
        else:
            failed = sorted(chance.sample(sorted(reasons), 1 + number % 2))
            rejected.append({**row, "reasons": [reasons[name] for name in failed], "checks_failed": failed})
    (folder / "accepted.jsonl").write_text("".join(json.dumps(row) + "\n" for row in accepted))
    (folder / "rejected.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rejected))
    totals = {"rows": 1500, "accepted": 1311, "rejected": 189, "yield": 0.874, "by_attempt": {"1": 1002, "2": 214, "3": 95}}
    totals["reasons"] = {"label": 88, "action_units": 61, "near_duplicate": 22, "leak": 19, "format": 9}
    totals["decided_by"] = "strict"
    totals["tests"] = {
        "strict": {"written": 1311, "first": 1002, "yield": 0.874},
        "published": {"written": 1423, "first": 1250, "yield": 0.949},
    }
    (folder / "yield.json").write_text(json.dumps(totals))


def make_pipeline(root: Path, faces: int = 40) -> Path:
    """A finished pipeline: base, SFT, GRPO, synthesis and the training after it."""
    root.mkdir(parents=True, exist_ok=True)
    records = make_faces(root / "faces", faces)
    write_status(root, "pipeline")
    models = {}
    for number, (name, stage, skill) in enumerate(
        (
            ("base", "eval", 0.02),
            ("sft", "sft", 0.55),
            ("grpo", "grpo", 0.86),
            ("synthesis", "synthesis", None),
            ("sft", "sft", 0.9),
        ),
        start=1,
    ):
        folder = root / f"{number:02d}_{name}"
        write_status(folder, stage)
        if stage in ("sft", "grpo"):
            write_training(folder, records, grpo=stage == "grpo")
        if skill is None:
            write_synthesis(folder, records)
        else:
            models["synthesis" if number == 5 else name] = write_evaluation(folder, records, skill, seed=number)
    differences = {
        pair: {
            name: {"difference": d, "low": d - 0.03, "high": d + 0.03, "p": p}
            for name, d, p in (
                ("emotion/accuracy", d, 0.0004),
                ("au/macro_f1", d / 2, 0.012),
                ("reward/mean", d / 3, 0.2),
                ("au/hallucinated", -d / 2, 0.03),
            )
        }
        for pair, d in (("grpo - sft", 0.16), ("synthesis - grpo", 0.01))
    }
    summary = {"stage": "pipeline", "models": models, "differences": differences, "seconds": 291.0}
    (root / "summary.json").write_text(json.dumps(summary))
    return root


def make_grpo(root: Path, faces: int = 40) -> Path:
    """A finished GRPO run with its own evaluation, its lineage and an alert."""
    root.mkdir(parents=True, exist_ok=True)
    records = make_faces(root / "faces", faces)
    write_status(root, "grpo", chain=[{"stage": "sft", "run": "/runs/sft-0a1b2c3d"}])
    write_training(root, [{**record, "image": record["image"]} for record in records])
    for file in (root / "rollouts").glob("*.parquet"):
        rows = pyarrow.parquet.read_table(file).to_pylist()
        for row in rows:
            row["image"] = row["image"].removeprefix("../")
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    write_evaluation(root, records, 0.8)
    (root / "alerts.jsonl").write_text(
        json.dumps({"time": 1.0, "title": "groups without spread", "text": "step 31: look at reward/mean"}) + "\n"
    )
    return root
