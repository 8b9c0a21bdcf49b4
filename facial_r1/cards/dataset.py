"""The card of a dataset: `README.md` of a synthesis run (what a model wrote) or of a prepare run (what an owner's folder holds)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from facial_r1.cards.facts import ancestors, base_model, is_drawn, parts, this_step, version
from facial_r1.cards.markdown import hide_paths, page, table
from facial_r1.cards.model import UNKNOWN
from facial_r1.cards.recipe import in_a_line
from facial_r1.cards.use import RESPONSIBLE, citations
from facial_r1.errors import InputError
from facial_r1.report.load import Run
from facial_r1.report.wording import failure_label

_FIELDS = {
    "id": "unique in the file",
    "dataset": "the dataset that the face comes from",
    "image": "path of the picture; the pictures themselves are not part of this dataset unless the folder `images/` is there",
    "question": "what is asked; empty where the prompt asks its own question",
    "AUs": "action units that are present; null: nobody coded this face",
    "labels": "emotions, the first one decides; empty: not annotated",
    "description": "`<think>reasoning</think><answer>answer</answer>`; empty: none",
    "subject": "who is shown, as the owner numbers people",
    "split": "the side that the owner put the row on",
    "meta_info": "what the owner added",
    "transcript": "what is said in the clip",
    "candidate_labels": "the classes that the row's question offers",
}
_PROVENANCE = "`meta_info.provenance`: the model and run that wrote the description, the attempt, what each check said, and whether the labels were in the prompt"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))


def dataset_card(run: Run, licence: str | None = None) -> str:
    """The card of what a synthesis or prepare run wrote.

    Args:
        run: As `facial_r1.report.load.load_run` reads it.
        licence: The hub's identifier of the licence; None says that it is not known.

    Raises:
        InputError: The run wrote no rows.
    """
    files = rows_files(run)
    counts = {name: _counts(run.path / name) for name in files}
    rows = sum(count["rows"] for count in counts.values())
    written = run.stage == "synthesis"
    name = str((run.resolved.get("data") or {}).get("name") or run.path.name)
    front = {
        "pretty_name": f"{name}, described by a model" if written else name,
        "license": licence or UNKNOWN,
        "language": ["en"],
        "task_categories": ["image-text-to-text"],
        "size_categories": [next((size for limit, size in _SIZES if rows < limit), "n>10M")],
        "tags": [
            "facial-expression-recognition",
            "facial-action-units",
            "emotion-recognition",
            "facial_r1",
            *(["synthetic"] if written else []),
        ],
        "configs": [{"config_name": "default", "data_files": [{"split": _split(run, name), "path": name} for name in files]}],
    }
    drawn = " All faces are drawn; no real person is shown." if is_drawn(run.resolved) else ""
    sections = [
        f"# {front['pretty_name']}",
        (
            f"{rows:,} faces with a written reasoning from action units to an emotion, kept out of {_yield(run).get('rows', 'an unknown number'):,} that a "
            "model wrote about." if written else f"{rows:,} faces with their annotation, as facial_r1 reads them from the owner's folder."
        ) + drawn,
        "Licence: " + (f"{licence}, as stated by who publishes it." if licence else "not stated. Rows derive from the datasets below, whose owners' terms hold."),
        "## What it is made from",
        table(
            ("dataset", "protocol", "licence of its owner, as the protocol states it"),
            ((part.name, part.protocol, part.licence or "not stated; ask its owner") for part in parts(run.resolved)),
        ),
        "## Counts",
        _count_tables(counts),
        "## Fields",
        _fields(run, files, written),
        "## How it was made",
        *(_synthesis(run) if written else _preparation(run)),
        f"Code: {version(run)}.",
        "## Limits",
        _limits(run, written),
        "## Responsible use",
        RESPONSIBLE,
        "## Papers behind it",
        "\n".join(f"- {paper}" for paper in citations(run.resolved if written else {}, ())) + "\n\nCite the datasets as their owners ask.",
    ]  # fmt: skip
    return page(front, hide_paths("\n\n".join(section for section in sections if section)))


def rows_files(run: Run) -> list[str]:
    """The files of rows that a run is published with, by name.

    Raises:
        InputError: There is none.
    """
    listed = ["accepted.jsonl"] if run.stage == "synthesis" else list(run.summary.get("files") or {})
    found = [name for name in listed if (run.path / name).is_file() and (run.path / name).stat().st_size]
    if not found:
        raise InputError(
            f"{run.path}: no rows were written ({', '.join(listed) or 'no files'}), so there is no dataset to describe"
        )
    return found


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file that a run wrote. Raises InputError with the line of one that is no JSON object."""
    with path.open(encoding="utf-8") as stream:
        for place, line in enumerate(stream, start=1):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise InputError(f"{path}:{place}: no JSON object; the file was changed since the run wrote it")
            yield row


def _split(run: Run, name: str) -> str:
    if name == "accepted.jsonl":
        return str((run.resolved.get("stage") or {}).get("split") or "train")
    stem = name.removesuffix(".jsonl")
    return {"validation": "validation", "test": "test", "all": "train"}.get(stem, stem)


def _counts(path: Path) -> dict[str, Any]:
    labels: Counter[str] = Counter()
    units: Counter[str] = Counter()
    subjects, rows, described, words = set(), 0, 0, 0
    for row in read_rows(path):
        rows += 1
        labels.update(row.get("labels") or ())
        units.update(row.get("AUs") or ())
        subjects.update([row["subject"]] if row.get("subject") else [])
        if row.get("description"):
            described += 1
            words += len(str(row["description"]).split())
    return {"rows": rows, "labels": labels, "AUs": units, "subjects": len(subjects), "described": described, "words": words}


def _count_tables(counts: Mapping[str, Mapping[str, Any]]) -> str:
    sides = table(
        ("file", "rows", "people", "with a description", "words in one, mean"),
        (
            (
                name,
                f"{one['rows']:,}",
                one["subjects"] or "not given",
                f"{one['described']:,}",
                round(one["words"] / one["described"]) if one["described"] else "",
            )
            for name, one in counts.items()
        ),
    )
    found = [sides]
    for key, title in (("labels", "emotion"), ("AUs", "action unit")):
        names = sorted(
            {value for one in counts.values() for value in one[key]},
            key=lambda value: (len(value), value) if key == "AUs" else (0, value),
        )
        if names:
            found.append(table((title, *counts), ((value, *(one[key][value] for one in counts.values())) for value in names)))
    return "\n\n".join(found)


def _fields(run: Run, files: list[str], written: bool) -> str:
    first = next(read_rows(run.path / files[0]))
    known = [(f"`{name}`", meaning) for name, meaning in _FIELDS.items() if name in first]
    others = [(f"`{name}`", "as in the files it was made from") for name in first if name not in _FIELDS]
    text = table(("field", "meaning"), [*known, *others])
    return text + (f"\n\n{_PROVENANCE}." if written else "")


def _yield(run: Run) -> Mapping[str, Any]:
    return run.summary.get("yield") or {}


def _synthesis(run: Run) -> list[str]:
    stage, found = run.resolved.get("stage") or {}, _yield(run)
    said, reviewed = base_model(run)[1], bool((stage.get("review") or {}).get("enabled"))
    before = "\n".join(f"{place}. {in_a_line(step)}" for place, step in enumerate(ancestors(run), start=1))
    how = (
        f"A model that goes back to {said} wrote a reasoning for every face whose labels are known, in at most {stage.get('attempts', 'an unknown number of')} attempts; "
        f"{'the labels were in its prompt' if stage.get('condition') == 'labels' else 'it did not see the labels'}"
        f"{', a retry saw what was wrong with the last one' if stage.get('feedback') else ''}. Checks decided what is kept."
        + (
            " Rows were also put up for people to review; what they decided is not part of this run."
            if reviewed
            else " No person read it."
        )
    )
    kept = (
        [f"Kept: {found['accepted']:,} of {found['rows']:,} ({found['yield']:.1%})."]
        if found.get("rows")
        else ["How many were kept was not noted."]
    )
    attempts = table(("attempt", "kept"), (found.get("by_attempt") or {}).items())
    refused = table(
        ("check", "rows refused"), ((failure_label(name), count) for name, count in (found.get("reasons") or {}).items())
    )
    quality = table(("check", "setting"), (stage.get("quality") or {}).items())
    decided = f"The {found['decided_by']} test decided." if found.get("decided_by") else ""
    return [how, before, *kept, attempts, refused, decided, quality]


def _preparation(run: Run) -> list[str]:
    summary = run.summary
    notes = "\n".join(f"- {note}" for note in summary.get("notes") or ())
    excluded = table(("left out on purpose", "rows"), (summary.get("excluded") or {}).items())
    failed = (summary.get("failures") or {}).get("bad_rows")
    return [
        f"`stage=prepare` of the owner's folder of {summary.get('source') or (run.resolved.get('data') or {}).get('name')}; no label was changed but for its spelling.",
        excluded,
        f"{failed} bad rows were left out." if failed else "",
        notes,
    ]


def _limits(run: Run, written: bool) -> str:
    items = []
    if written:
        items.append(
            "Descriptions are a model's text. The checks compare units and labels with the annotation; whether a sentence fits the picture was not checked by people unless a review says so."
        )
        if (this_step(run).settings or {}).get("condition") == "labels":
            items.append("The labels were in the prompt, so the reasoning leads to them whether or not the picture shows it.")
    items.append(
        "Annotations are those of the owner, with their errors. How people of different groups are represented is not known beyond the counts above."
    )
    return "\n".join(f"- {item}" for item in items)
