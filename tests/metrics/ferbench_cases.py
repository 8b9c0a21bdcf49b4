"""Results of FERBench made up on the spot, and the recorded ones."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facial_r1.data.ferbench import LABELS

NAMES = ("affectnet", "rafdb", "ferplus", "sfew_2.0")
PATHS = {
    "affectnet": "/AffectNet/Manually_Annotated/validation/{n}/{n:056x}.jpg",
    "rafdb": "/RAF-DB/aligned/test_{n:04d}_aligned.jpg",
    "ferplus": "/FERPlus/test/{label}/fer{n:07d}.png",
    "sfew": "/SFEW-2.0/Val/Val_Aligned_Faces/{label}/Film_{n:09d}_00000001.png",
}

Row = dict[str, Any]


def question(dataset: str, number: int) -> Row:
    """A question in the form of the files, in our own words."""
    label = LABELS[dataset][number % len(LABELS[dataset])]
    return {
        "image_path": PATHS[dataset].format(n=number + 1, label=label),
        "true_label": label,
        "prompt": f"Which of these does the face show: {', '.join(LABELS[dataset])}?",
        "candidate_labels": list(LABELS[dataset]),
    }


def answer(text: str, thinking: str = "The brow is raised.") -> str:
    return f"<think>{thinking}</think><answer>{text}</answer>"


def result(dataset: str, number: int, response: str | None = None, **more: Any) -> Row:
    """A question with a response; the right one by default."""
    asked = question(dataset, number)
    return {**asked, "model_response": answer(asked["true_label"]) if response is None else response, **more}


def results(dataset: str, count: int, responses: Sequence[str] = ()) -> list[Row]:
    """`count` results, the first with `responses`, the others right."""
    return [result(dataset, n, responses[n] if n < len(responses) else None) for n in range(count)]


def write(folder: Path, name: str, rows: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(rows, indent=2))
    return path


# --- recorded cases ----------------------------------------------------------------------------------------------------


def recorded(reference: Path) -> list[Path]:
    """Folders of the recorded cases."""
    return sorted(path for path in (reference / "ferbench_golden").iterdir() if path.is_dir())


def predictions(case: Path) -> dict[str, list[Row]]:
    """Results of a recorded case by the authors' name of the dataset."""
    found = {}
    for name in NAMES:
        path = case / "predictions" / f"{name}_unifer_7b_results.json"
        packed = path.with_name(f"{path.name}.gz")
        raw = gzip.decompress(packed.read_bytes()) if packed.is_file() else path.read_bytes()
        found[name] = json.loads(raw)
    return found
