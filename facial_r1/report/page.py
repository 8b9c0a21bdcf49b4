"""Builds `report.html`: one file, nothing loaded from anywhere, safe to send to a colleague who may see the faces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facial_r1 import atomic
from facial_r1.report import document, sections, written
from facial_r1.report.gallery import Pictures, Prompts, gallery, rollouts
from facial_r1.report.load import Run, load_run, models_of, sub_runs
from facial_r1.report.preparation import preparation

FILE = "report.html"
MAX_BYTES = 10_000_000
"""A page must open at once, also from a mail: beyond this, fewer samples and smaller faces are shown."""

# Samples, rollout steps, groups a step, side of a thumbnail; the first plan that fits is taken.
_PLANS = ((500, 10, 6, 128), (500, 6, 4, 96), (300, 5, 3, 96), (150, 4, 2, 80), (60, 2, 2, 64), (15, 1, 1, 64))


def build(run_dir: Path | str, max_bytes: int = MAX_BYTES) -> Path:
    """Write `report.html` of a run or a pipeline into its directory; returns its path.

    Whatever the directory has is shown, what cannot be read is said. Building again gives the same bytes.

    Raises:
        InputError: the directory is no run directory.
    """
    run = load_run(run_dir)
    path = run.path / FILE
    atomic.write_text(path, _fitting(run, models_of(run), sections.title(run), max_bytes))
    return path


def build_comparison(run_dirs: Mapping[str, Path | str], path: Path | str, differences: Mapping[str, Any] | None = None) -> Path:
    """Write one page that shows several evaluated runs on the same faces, with filters for the flips between them.

    Args:
        run_dirs: name -> run directory, in the order of the columns; the flips compare the first with the last.
        path: the file to write.
        differences: paired differences as in a pipeline's summary, {"B - A": {metric: {difference, low, high, p}}}.
    """
    runs = {name: load_run(folder) for name, folder in run_dirs.items()}
    target = Path(path)
    whole = Run(target.parent, target.stem, status={"stage": "comparison", "state": "finished"})
    whole.summary = {
        "stage": "comparison",
        "models": {name: run.summary for name, run in runs.items()},
        "differences": dict(differences or {}),
    }
    whole.notes = [f"{name}: {note}" for name, run in runs.items() for note in run.notes]
    atomic.write_text(target, _fitting(whole, runs, " against ".join(runs), MAX_BYTES))
    return target


def _fitting(run: Run, models: Mapping[str, Run], title: str, max_bytes: int) -> str:
    page = ""
    for plan in _PLANS:
        page = _render(run, models, title, *plan)
        if len(page.encode()) <= max_bytes:
            break
    return page


def _render(run: Run, models: Mapping[str, Run], title: str, samples: int, steps: int, groups: int, side: int) -> str:
    pictures, prompts = Pictures(side), Prompts()
    shown = gallery({name: child for name, child in models.items() if child.samples}, pictures, prompts, samples)
    browsers = [
        found
        for child, _, label in sub_runs(run)
        if child.rollouts and (found := rollouts(child, label, pictures, prompts, steps, groups))
    ]
    synthesis = written.synthesis(run, pictures)
    prepared = preparation(run)
    notes = list(dict.fromkeys(run.notes))
    if pictures.missing:
        notes.append(f"{pictures.missing} image(s) could not be read and are shown as empty frames")
    data = {**shown, "faces": pictures.uris, "prompts": prompts.texts, "rollouts": browsers}
    return document.render(
        "report.html.j2",
        data,
        styles=("report.css",),
        scripts=("report.js",),
        title=title,
        gallery=shown,
        rollouts=browsers,
        synthesis=synthesis,
        prepared=prepared,
        prompts=prompts.texts,
        notes=notes,
        **sections.context(run, models),
    )
