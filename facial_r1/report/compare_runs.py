"""Two runs made comparable: what each answered, the rules that both were scored by, and the samples that both have.

Nothing is compared that is not the same question with the same truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from facial_r1.data.protocol import Empty, load_protocol, shipped_protocols
from facial_r1.data.record import Record
from facial_r1.errors import InputError
from facial_r1.prompts.open_vocabulary import Output
from facial_r1.report.load import Run, load_run
from facial_r1.rewards.annotation import true_labels, true_units

Row = dict[str, Any]
"""One answer as in samples.jsonl: `id, completion, AUs, labels, description, subject, image, scores, ...`."""
Predictions = Callable[[Path, Sequence[Record]], tuple[list[dict[str, Any]], list[str]]]
"""Reads answers from files for given records, as `facial_r1.stages.predictions.read_predictions`."""

_SHOWN = 5


@dataclass(frozen=True)
class Rules:
    """What the figures of a run were computed by.

    Attributes:
        vocabulary: Units scored, in order.
        labels: Label space; empty where no emotion class is scored.
        empty: What an empty list of units means.
        compat: Whether the figures of the released Facial-R1 evaluation were asked for.
        rege: What REGE scored, None without it.
        annotated: By dataset of a mix, the units that it annotates.
        wheels: Tables and their folder, where an open vocabulary was scored and the words are those in the answer; else None.
        output: The answer's form in an open vocabulary.
        ferbench: Whether the run was evaluated on FERBench.
    """

    vocabulary: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    empty: Empty = "unknown"
    compat: bool = False
    rege: Literal["emotion", "action_units"] | None = None
    annotated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    wheels: tuple[str, str | None] | None = None
    output: Output = "think"
    ferbench: bool = False


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        name: In tables.
        path: As given.
        run: The run; None for answers from files.
        rows: By key (id, occurrence), in the order of the file.
    """

    name: str
    path: Path
    run: Run | None
    rows: dict[tuple[str, int], Row] = field(repr=False)

    def image(self, row: Mapping[str, Any]) -> Path | None:
        """Where the picture of a row should be."""
        found = row.get("image", row.get("images"))
        return None if self.run is None else self.run.image_path(found)


@dataclass(frozen=True)
class Pair:
    """Two sides on the samples that both have.

    Attributes:
        a, b: The sides.
        keys: Of the common samples, in the order of A.
        only_a, only_b: How many samples just one of them has.
        rules: What both are scored by.
        records: Truths of the common samples, in the published form, aligned with `keys`.
        left_out: Metrics that do not mean the same in both.
        notes: What the reader should know, one line each.
    """

    a: Side
    b: Side
    keys: tuple[tuple[str, int], ...]
    only_a: int
    only_b: int
    rules: Rules
    records: tuple[dict[str, Any], ...] = field(repr=False)
    left_out: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def rows(self, side: Side) -> list[Row]:
        """The rows of a side, aligned with `keys`."""
        return [side.rows[key] for key in self.keys]


def read_pair(a: Path, b: Path, read_predictions: Predictions, names: Sequence[str] | None = None) -> Pair:
    """Read both sides and lay them over each other.

    Args:
        a, b: Run directories with samples.jsonl; one of the two may be answers in files, whose truth is then the run's.
        read_predictions: For such files.
        names: What to call them; by default the folders' names.

    Raises:
        InputError: A path is neither, both lack the truth, they were scored by different rules, no sample is common, or a common
            sample has another truth in the other.
    """
    runs = [load_run(path) if _is_run(path) else None for path in (a, b)]
    labels = list(names) if names else _names([a, b])
    notes: list[str] = []
    if runs[0] is None and runs[1] is None:
        raise InputError(
            f"neither {a} nor {b} is a run directory with samples.jsonl, so nothing says what is right. Score answers from files with "
            "stage=eval stage.predictions=<file> first (no model is loaded), then compare the runs"
        )
    rows = [{} if run is None else rows_of(run, path) for run, path in zip(runs, (a, b), strict=True)]
    for place, (run, path) in enumerate(zip(runs, (a, b), strict=True)):
        if run is None:
            rows[place] = _predicted(path, rows[1 - place], read_predictions, notes, labels[place])
    sides = [Side(name, path, run, own) for name, path, run, own in zip(labels, (a, b), runs, rows, strict=True)]
    known = [rules_of(side.run) for side in sides if side.run is not None]
    _check_rules(known, sides)
    rules = known[0]
    if rules.ferbench and len(known) < 2:
        raise InputError(
            "answers from files cannot be laid beside a run on FERBench: score them with protocol=ferbench stage=eval "
            "stage.predictions=<folder>, or compare them with facial-r1 leaderboard"
        )
    keys = tuple(key for key in sides[0].rows if key in sides[1].rows)
    if not keys:
        raise InputError(_nothing_common(sides))
    _check_truths(sides, keys, rules)
    datasets = _datasets(sides)
    records = tuple(_record(sides[0].rows[key], sides[1].rows[key], datasets) for key in keys)
    notes += [note for side in sides for note in _notes_on(side)]
    if any(_description(sides[0].rows[key]) != _description(sides[1].rows[key]) for key in keys):
        notes.append("the reference texts of some samples differ between the runs: text figures are left out")
        records = tuple({**record, "description": ""} for record in records)
    left_out = _left_out([side.run for side in sides if side.run is not None], notes)
    return Pair(
        sides[0],
        sides[1],
        keys,
        len(sides[0].rows) - len(keys),
        len(sides[1].rows) - len(keys),
        rules,
        records,
        left_out,
        tuple(dict.fromkeys(notes)),
    )


def rules_of(run: Run) -> Rules:
    """The rules of a run, from the names of its figures and its configuration."""
    metrics = run.summary.get("metrics") or {}
    data, stage = run.resolved.get("data") or {}, run.resolved.get("stage") or {}
    protocol = load_protocol((data.get("protocol") if isinstance(data, Mapping) else None) or None)
    scored = any(name.startswith("wheel/") for name in metrics)
    groups = _groups(run)
    rege = stage.get("rege") if isinstance(stage, Mapping) and "text/rege" in metrics else None
    output: Output = (run.resolved.get("prompt") or {}).get("output") or "think"
    return Rules(
        vocabulary=tuple(name.removeprefix("au/f1/") for name in metrics if name.startswith("au/f1/")),
        labels=tuple(name.removeprefix("emotion/recall/") for name in metrics if name.startswith("emotion/recall/")),
        empty=protocol.empty_action_units,
        compat=any(name.startswith("compat/") for name in metrics),
        rege=rege if rege in ("emotion", "action_units") else None,
        annotated={
            name: rules.action_units
            for name in groups
            if name in shipped_protocols() and (rules := load_protocol(name)).action_units
        },
        wheels=(protocol.wheels, protocol.wheel_root) if scored and protocol.extractor == "list" else None,
        output=output,
        ferbench=any(name.startswith("ferbench/") for name in metrics),
    )


# --- reading -----------------------------------------------------------------------------------------------------------


def _is_run(path: Path) -> bool:
    """Whether a path is a run directory, and not just a folder of answers."""
    if not path.exists():
        raise InputError(f"{path}: there is no such run directory or file")
    return path.is_dir() and any((path / name).exists() for name in ("status.json", "summary.json", "samples.jsonl"))


def _names(paths: Sequence[Path]) -> list[str]:
    full = [path.resolve() for path in paths]
    names = [path.name for path in full]
    if names[0] != names[1]:
        return names
    above = [f"{path.parent.name}/{path.name}" for path in full]
    return above if above[0] != above[1] else [f"{name} ({letter})" for name, letter in zip(names, "AB", strict=True)]


def rows_of(run: Run, path: Path) -> dict[tuple[str, int], Row]:
    """The samples of an evaluated run, by id and how often it came before, counted from 1.

    Raises:
        InputError: The run has no samples or no figures, or is a pipeline, whose steps have them.
    """
    if not run.samples:
        steps = [child.path.name for child in run.children if child.samples]
        if steps:
            raise InputError(f"{path} is a pipeline of several models: name the step to compare, one of {', '.join(steps)} in it")
        raise InputError(
            f"{path} has no samples.jsonl: the run has not been evaluated. stage=eval init_from={path} does it, or, for a training "
            "run, the same command with stage.evaluate=true"
        )
    if not run.summary.get("metrics"):
        raise InputError(f"{path} has no figures in summary.json: its evaluation did not end; the same command finishes it")
    found: dict[tuple[str, int], Row] = {}
    times: dict[str, int] = {}
    for number, row in enumerate(run.samples, start=1):
        name = str(row.get("id", ""))
        if not name or not isinstance(row.get("completion"), str):
            raise InputError(
                f"{path / 'samples.jsonl'}: sample {number} has no id or no completion: take the file as the run wrote it"
            )
        times[name] = times.get(name, 0) + 1
        found[name, times[name]] = row
    return found


def _predicted(
    path: Path, truths: Mapping[tuple[str, int], Row], read: Predictions, notes: list[str], name: str
) -> dict[tuple[str, int], Row]:
    """The rows of the other side with the answers of a file in place of its own."""
    records = [
        Record(
            id=str(row["id"]),
            dataset=str(row.get("dataset") or ""),
            images=(str(row["image"]),) if row.get("image") else (),
            question="",
            AUs=None,
            labels=(),
        )
        for (_, time), row in truths.items()
        if time == 1
    ]
    answers, said = read(path, records)
    notes += [f"{name}: {note}" for note in said]
    taken = ("id", "dataset", "image", "prompt", "AUs", "labels", "description", "subject", "meta_info")
    return {
        (answer["id"], 1): {key: value for key, value in truths[answer["id"], 1].items() if key in taken}
        | {"completion": answer["completion"], "finish_reason": answer["finish_reason"]}
        for answer in answers
    }


def _groups(run: Run) -> list[str]:
    """The datasets of a mix, as its summary breaks figures down by them."""
    parts = [part for part in run.summary.get("by") or () if isinstance(part, Mapping) and part.get("field") == "dataset"]
    return [str(name) for part in parts for name in part.get("groups") or ()]


def _datasets(sides: Sequence[Side]) -> set[str]:
    return {name for side in sides if side.run is not None for name in _groups(side.run)}


def _dataset(row: Mapping[str, Any], known: set[str]) -> str:
    """The dataset of a row: as it says, else what its id begins with where that is a dataset of the run."""
    if row.get("dataset"):
        return str(row["dataset"])
    first = str(row["id"]).partition("/")[0]
    return first if first in known else ""


def _record(one: Row, two: Row, datasets: set[str]) -> dict[str, Any]:
    return {
        "id": str(one["id"]),
        "dataset": _dataset(one, datasets) or _dataset(two, datasets),
        "AUs": one.get("AUs"),
        "labels": list(one.get("labels") or ()),
        "description": _description(one),
        "subject": one.get("subject") or two.get("subject"),
    }


def _description(row: Mapping[str, Any]) -> str:
    return str(row.get("description") or "")


# --- what must agree ---------------------------------------------------------------------------------------------------


def _check_rules(known: Sequence[Rules], sides: Sequence[Side]) -> None:
    if len(known) < 2:
        return
    one, two = known
    if one.ferbench != two.ferbench:
        names = [side.name for side, rules in zip(sides, known, strict=True) if rules.ferbench]
        raise InputError(f"only {names[0]} was evaluated on FERBench: evaluate both on the same data")
    for what, left, right in (
        ("label space", one.labels, two.labels),
        ("action units", one.vocabulary, two.vocabulary),
        ("meaning of an empty list of action units", (one.empty,), (two.empty,)),
        ("tables of the wheels", (one.wheels,), (two.wheels,)),
    ):
        if left != right:
            shown = [", ".join(map(str, values)) or "none" for values in (left, right)]
            raise InputError(
                f"the runs were scored by different rules, {what}: {sides[0].name}: {shown[0]}; {sides[1].name}: {shown[1]}. Score both "
                "by one protocol: stage=eval protocol=<name> stage.predictions=<run> makes a new run of the answers, without a model"
            )


def _nothing_common(sides: Sequence[Side]) -> str:
    examples = [", ".join(repr(key[0]) for key in list(side.rows)[:2]) for side in sides]
    return (
        f"no sample is in both: {sides[0].name} has {len(sides[0].rows)} (for example {examples[0]}), {sides[1].name} has "
        f"{len(sides[1].rows)} (for example {examples[1]}). Evaluate both on the same test rows"
    )


def _check_truths(sides: Sequence[Side], keys: Sequence[tuple[str, int]], rules: Rules) -> None:
    different = []
    for key in keys:
        one, two = (side.rows[key] for side in sides)
        for what, left, right in (
            ("labels", list(true_labels(one)), list(true_labels(two))),
            ("AUs", _units(one, rules), _units(two, rules)),
            ("subject", one.get("subject"), two.get("subject")),
        ):
            if left != right and not (what == "subject" and None in (left, right)):
                different.append(f"{key[0]} ({what}: {left} and {right})")
                break
    if different:
        more = f", and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
        raise InputError(
            f"{len(different)} of the {len(keys)} common samples have different truths in {sides[0].name} and {sides[1].name}: "
            f"{'; '.join(different[:_SHOWN])}{more}. Evaluate both on the same annotation"
        )


def _units(row: Mapping[str, Any], rules: Rules) -> list[str] | None:
    found = true_units(row, rules.empty)
    return None if found is None else sorted(found)


def _left_out(runs: Sequence[Run], notes: list[str]) -> frozenset[str]:
    """Figures whose definition is part of the configuration, where the configurations differ; says so."""
    if len(runs) < 2:
        return frozenset()
    found = set()
    paid = [{key: value for key, value in (run.resolved.get("reward") or {}).items() if key != "name"} for run in runs]
    scored = all("reward/mean" in (run.summary.get("metrics") or {}) for run in runs)
    if scored and paid[0] != paid[1]:
        found.add("reward/mean")
        notes.append("the runs pay their rewards differently (reward in resolved.yaml): reward/mean is left out")
    judges = [run.summary.get("judge") for run in runs]
    if all(judges) and judges[0] != judges[1]:
        found.add("text/judge")
        notes.append("the runs were graded by different judges: text/judge is left out")
    return frozenset(found)


def _notes_on(side: Side) -> list[str]:
    if side.run is None:
        return []
    notes = [f"{side.name}: {note}" for note in side.run.notes if note.startswith("samples.jsonl")]
    state = side.run.status.get("state")
    if state not in (None, "finished"):
        notes.append(f"{side.name}: the run is {state}, its samples may not be all")
    if failed := (side.run.summary.get("failures") or {}).get("engine"):
        notes.append(f"{side.name}: {failed} samples were not answered (failures.engine) and cannot be compared")
    return notes
