"""MER-UniBench from predicted words: the released files of nine sets, or the answers of a run, scored with no model and no picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facial_r1 import atomic
from facial_r1.affect.wheels import Wheels, load
from facial_r1.affect.wheels.parsing import parse
from facial_r1.config.schema import Eval
from facial_r1.data.protocol import Protocol, load_protocol
from facial_r1.data.unibench import (
    NINE,
    SETS,
    Checkpoint,
    Truth,
    checkpoints_of,
    prediction_files,
    read_truths,
    set_in,
    truth_files,
)
from facial_r1.errors import InputError
from facial_r1.metrics.unibench import FIGURES, UnibenchResult, score_unibench
from facial_r1.stages.context import Context
from facial_r1.stages.material import say
from facial_r1.stages.predictions import digest
from facial_r1.stages.reward_servers import server_failures
from facial_r1.stages.unibench_answers import is_answered, read_answered, with_words


def run(context: Context) -> dict[str, Any] | None:
    """Score `stage.predictions` against `stage.truths`.

    Raises:
        InputError: One of the two is not given or cannot be read.
    """
    stage = context.job.stage
    assert isinstance(stage, Eval)
    if not stage.predictions or not stage.truths:
        raise InputError(
            "protocol=mer_unibench scores answers that are there already: stage.predictions=<file, folder or pattern of *-openset.npz, "
            "or a run that answered data.options.set=mer_unibench> and stage.truths=<folder that holds the owners' folders, mer2023-dataset-process/label-6way.npz ...>"
        )
    if not context.main:
        return {}
    protocol = load_protocol(context.job.data.protocol)
    wheels = load(protocol.wheels, protocol.wheel_root)
    truths, checkpoints, notes = _material(context, stage.predictions, stage.truths, protocol)
    for name in [name for name in checkpoints if name not in truths]:
        notes.append(f"{name}: not scored, there is no {SETS[name].files[0]} in stage.truths")
    if context.job.debug.dry_run:
        shown = ", ".join(f"{name} ({len(checkpoints[name])})" for name in checkpoints if name in truths)
        say(context, f"plan: score the words of {shown or 'no set'} as MER-UniBench")
        return None
    scored = score_unibench(truths, checkpoints, wheels, stage.resamples, context.job.seed)
    context.track()
    seen = digest(stage.predictions)
    rows = sum(result.n for result in scored.best.values())
    context.run.update_status(
        predictions={"path": stage.predictions, "digest": seen},
        data={"name": "mer_unibench", "fingerprint": seen, "test": rows},
    )
    for note in [*notes, *scored.notes]:
        say(context, f"note: {note}")
    scored.failures.update(server_failures(context))
    return _finish(context, scored, truths, wheels, protocol.published)


def _material(
    context: Context, predictions: str, given: dict[str, str] | str, protocol: Protocol
) -> tuple[dict[str, dict[str, Truth]], dict[str, list[Checkpoint]], list[str]]:
    """Truths and checkpoints by set, of a run's answers or of files of words, and notes."""
    if is_answered(predictions):
        answered = read_answered(predictions)
        sets = list(answered.texts)
        if isinstance(given, str) and Path(given).expanduser().is_file() and len(sets) > 1:
            sets = [name for name in sets if name == _set_of_truth(given)]
        truths = {name: read_truths(name, file) for name, file in truth_files(given, sets).items()}
        words, notes = with_words(context, answered, protocol)
        return truths, words, notes
    files = prediction_files(predictions)
    truths = {name: read_truths(name, file) for name, file in truth_files(given, _sets(files, given)).items()}
    return truths, *checkpoints_of(files, truths)


def _sets(files: Sequence[Path], truths: dict[str, str] | str) -> list[str]:
    """The sets that the predictions may be of: those that their paths name, or the truth's, else all."""
    named = {set_in(file) for file in files}
    if None in named and isinstance(truths, str) and Path(truths).expanduser().is_file():
        named = {_set_of_truth(truths)}
    return list(SETS) if None in named else [name for name in SETS if name in named]


def _set_of_truth(file: str) -> str:
    """The set that the path of one label file names."""
    name = set_in(Path(file))
    if name is None:
        raise InputError(
            f"stage.truths={file}: which set is this? Name it: 'stage.truths={{meld: {file}}}', one of {', '.join(SETS)}"
        )
    return name


def _finish(
    context: Context, scored: UnibenchResult, truths: dict[str, dict[str, Truth]], wheels: Wheels, published: Any
) -> dict[str, Any]:
    """Write samples and tables, log the figures, return the summary."""
    samples = (sample for name in scored.best for sample in _samples(name, scored, truths[name], wheels))
    atomic.write_text(context.run.samples, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in samples))
    sets = _rows(scored)
    atomic.write_json(context.run.path / "unibench" / "sets.json", sets)
    atomic.write_json(context.run.path / "unibench" / "checkpoints.json", scored.checkpoints)
    if context.trackers is not None:
        shown = {f"eval/{name}": found["value"] for name, found in scored.metrics.items() if found["value"] is not None}
        context.trackers.log(0, shown)
    say(context, "done\n" + _table(scored, sets))
    return {
        "stage": "eval",
        "metrics": scored.metrics,
        "failures": scored.failures,
        "baselines": scored.baselines,
        "rows": sum(result.n for result in scored.best.values()),
        "sets": sets,
        "published": [{**entry, "scored_with": _scored_with(str(entry["metric"]), scored, wheels)} for entry in published],
    }


def _scored_with(metric: str, scored: UnibenchResult, wheels: Wheels) -> str:
    """The tables behind a figure, and that sentiment was read off them, which nothing published compares with."""
    guessed = [name for name, result in scored.best.items() if result.stand_in]
    touched = metric.endswith("/mean") if metric.split("/")[1] not in scored.best else metric.split("/")[1] in guessed
    return f"{wheels.name}, sentiment too" if guessed and touched else wheels.name


def _rows(scored: UnibenchResult) -> list[dict[str, Any]]:
    return [
        {
            "set": name,
            "n": result.n,
            "scored": result.scored,
            "never_scored": result.neutral / result.n,
            "checkpoint": result.checkpoint,
            "checkpoints": len(scored.checkpoints[name]),
            **{figure: scored.metrics[f"unibench/{name}/{figure}"] for figure in FIGURES[SETS[name].kind]},
            **{
                f"strict_{figure}": scored.metrics[key]
                for figure in FIGURES[SETS[name].kind][:1]
                if (key := f"unibench/{name}/strict/{figure}") in scored.metrics
            },
            "constant": scored.baselines["best constant word"][f"unibench/{name}/{SETS[name].primary}"]["value"],
        }
        for name, result in scored.best.items()
    ]


def _samples(name: str, scored: UnibenchResult, truths: dict[str, Truth], wheels: Wheels) -> list[dict[str, Any]]:
    result, kind = scored.best[name], SETS[name].kind
    rows = []
    for clip, truth in truths.items():
        said = result.predictions[clip]
        score: dict[str, float | None]
        if kind == "sentiment":
            right = None if not truth else float((float(truth) > 0) == (said == "positive"))
            score, listed = {"unibench/accuracy": right}, [said]
        else:
            score, listed = {"wheel/clip_f": wheels.f(str(truth), said)}, parse(said)
        rows.append(
            {
                "id": f"{name}/{clip}",
                "dataset": name,
                "prompt": "",
                "completion": said,
                "finish_reason": None,
                "AUs": None,
                "labels": [str(truth)] if kind != "open" else parse(str(truth)),
                "description": "",
                "parsed": {"action_units": [], "labels": listed, "thinking": "", "valid": True},
                "scores": score,
                "meta_info": {},
                "subject": None,
                "spans": [],
            }
        )
    return rows


def _table(scored: UnibenchResult, sets: list[dict[str, Any]]) -> str:
    lines = [["set", "figure", "value", "clips", "scored", "constant", "checkpoint"]]
    for row in sets:
        name = row["set"]
        figure = SETS[name].primary
        counted = row["scored"]
        shown = str(counted[0]) if len(set(counted)) == 1 else f"{min(counted)}-{max(counted)}"
        value = _percent(row[figure])
        others = [f"{other} {_percent(row[other], False)}" for other in FIGURES[SETS[name].kind][1:] if other != "mscore"]
        constant = "-" if row["constant"] is None else f"{100 * row['constant']:.2f}"
        lines.append([name, figure.upper(), ", ".join([value, *others]), str(row["n"]), shown, constant, row["checkpoint"]])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    given = [name for name in NINE if name in scored.best]
    means = [
        f"{key.removeprefix('unibench/')} of {len(given)} sets: {_percent(found)}"
        for key, found in scored.metrics.items()
        if key.endswith("mean")
    ]
    return "\n".join([*table, *means])


def _percent(figure: dict[str, Any], interval: bool = True) -> str:
    if figure["value"] is None:
        return "NaN"
    text = f"{100 * figure['value']:.2f}"
    if not interval or figure["low"] is None:
        return text
    return f"{text} [{100 * figure['low']:.2f}, {100 * figure['high']:.2f}]"
