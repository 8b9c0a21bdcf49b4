"""Small run directories as the stages write them, without training anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

RESOLVED: dict[str, Any] = {
    "stage": {"name": "grpo", "prompts_per_step": 16, "num_generations": 8, "max_completion_length": 128, "max_steps": 60,
              "learning_rate": 1e-6, "schedule": "linear", "loss_type": "dapo", "scale_rewards": "group", "epsilon": 0.2, "beta": 0.0},
    "model": {"name": "qwen2_5_vl_7b", "source": "Qwen/Qwen2.5-VL-7B-Instruct", "architecture": "qwen2_5_vl",
              "image_size": {"mode": "budget", "max_pixels": 262144}, "freeze_vision": True, "lora": {"enabled": False}},
    "data": {"name": "raf_db", "kind": "source", "source": "raf_db", "root": "/home/someone/RAF-DB", "amount": 64,
             "protocol": {"name": "raf_db", "labels": None, "aliases": {}}},
    "prompt": {"name": "facial_r1", "instruction": "Look. {question}", "system": None},
    "reward": {"name": "facial_r1", "weights": {"au": 0.0, "accuracy": 1.0, "format": 0.5}},
    "launch": {"processes": 8, "distributed": "zero3"},
    "seed": 7,
}  # fmt: skip
FIGURE = {"value": 0.921, "low": 0.9, "high": 0.94, "n": 3068, "clusters": 3068}
SUMMARY: dict[str, Any] = {
    "stage": "grpo",
    "metrics": {
        "emotion/accuracy": FIGURE,
        "emotion/recall/fear": {**FIGURE, "value": 0.6},
        "au/macro_f1": {**FIGURE, "value": None},
    },
    "failures": {"unparsed": 31, "truncated": 0, "without_action_units": 3068},
    "baselines": {"majority": {"emotion/accuracy": {"value": 0.386}}},
    "rows": 3068,
    "seconds": 5400.0,
}
BY = [
    {
        "field": "meta_info.sex",
        "groups": {
            "female": {"rows": 1600, "metrics": {"emotion/accuracy": {**FIGURE, "value": 0.95}}},
            "male": {"rows": 1468, "metrics": {"emotion/accuracy": {**FIGURE, "value": 0.89}}},
        },
        "worst": {"emotion/accuracy": {**FIGURE, "group": "male", "value": 0.89, "gap": 0.06}},
    }
]
ROW = {"id": "r1", "dataset": "raf_db", "image": "/home/someone/RAF-DB/1.jpg", "question": "", "AUs": ["AU6", "AU12"],
       "labels": ["happiness"], "description": "<think>The lip corners rise (AU12).</think><answer>happiness</answer>",
       "subject": "s1", "meta_info": {"provenance": {"model": "/home/someone/outputs/grpo-1/model", "run": "/home/someone/outputs/synthesis-1"}}}  # fmt: skip


def write(
    folder: Path, stage: str, *, resolved: dict[str, Any] | None = None, summary: dict[str, Any] | None = None, **status: Any
) -> Path:
    """A finished run of `stage` in `folder`."""
    folder.mkdir(parents=True)
    tree = resolved if resolved is not None else {**RESOLVED, "stage": {**RESOLVED["stage"], "name": stage}}
    (folder / "resolved.yaml").write_text(yaml.safe_dump(tree))
    state = {"state": "finished", "stage": stage, "name": folder.name, "chain": [], "version": {"package": "0.1.0", "git": "abc123"},
             "data": {"name": "raf_db", "train": 12271, "test": 3068, "skipped": 2, "fingerprint": "f" * 64}, **status}  # fmt: skip
    (folder / "status.json").write_text(json.dumps(state))
    (folder / "summary.json").write_text(json.dumps({**SUMMARY, "stage": stage} if summary is None else summary))
    return folder


def trained(root: Path, **options: Any) -> Path:
    """An SFT run and the GRPO run after it; returns the latter."""
    sft = write(
        root / "sft-1",
        "sft",
        resolved={**RESOLVED, "stage": {"name": "sft", "epochs": 2.0, "learning_rate": 1e-5}, "init_from": None},
    )
    run = write(root / "grpo-1", "grpo", resolved={**RESOLVED, "init_from": str(sft)}, parent=str(sft), chain=[{"stage": "sft", "run": str(sft)}],
                used={"rows": 64, "distinct": 64, "of": 12271}, **options)  # fmt: skip
    for one in (sft, run):
        model = one / "model"
        model.mkdir()
        (model / "model.safetensors").write_bytes(b"\0" * 64)
        (model / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
        (model / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}}))
        (model / "chat_template.jinja").write_text("{{ messages }}")
    (run / "samples.jsonl").write_text(json.dumps({"id": "r1", "prompt": "Which emotion?", "completion": ""}) + "\n")
    (run / "metrics.jsonl").write_text("".join(json.dumps({"step": step, "loss": 0.1}) + "\n" for step in (1, 2, 57)))
    return run


def written(root: Path, rows: list[dict[str, Any]] | None = None) -> Path:
    """A synthesis run."""
    kept = [ROW] if rows is None else rows
    found = {"rows": 4, "accepted": len(kept), "rejected": 3, "yield": len(kept) / 4, "by_attempt": {"1": 1}, "reasons": {"label": 2, "format": 1},
             "decided_by": "strict"}  # fmt: skip
    stage = {
        "name": "synthesis",
        "split": "train",
        "attempts": 4,
        "condition": "labels",
        "feedback": True,
        "quality": {"labels": True},
    }
    run = write(
        root / "synthesis-1",
        "synthesis",
        resolved={**RESOLVED, "stage": stage},
        summary={"stage": "synthesis", "metrics": {}, "yield": found},
    )
    (run / "accepted.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    (run / "rejected.jsonl").write_text(json.dumps(ROW) + "\n")
    (run / "yield.json").write_text(json.dumps(found))
    return run


def prepared(root: Path) -> Path:
    """A prepare run."""
    files = {"train.jsonl": {"rows": 1}, "test.jsonl": {"rows": 1}}
    summary = {"stage": "prepare", "metrics": {}, "files": files, "source": "raf_db", "licence": "on request", "excluded": {"no face": 3},
               "notes": ["2 pictures lie in /home/someone/cache/images"], "rows": 2}  # fmt: skip
    run = write(root / "prepare-1", "prepare", summary=summary)
    for name in files:
        (run / name).write_text(json.dumps({**ROW, "meta_info": {}}) + "\n")
    (run / "contact_sheet.png").write_bytes(b"\x89PNG")
    return run
