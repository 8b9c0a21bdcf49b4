"""The answers of an evaluation as predictions of MER-UniBench: rows by set and clip, and the emotion words that evaluation reads in them.

A run of ``data=mer_clips data.options.set=mer_unibench`` has answered all nine sets; its samples.jsonl names set and clip of each row. The run is one
checkpoint. Nobody has named sentiments, so that they are read off the wheels (`facial_r1.metrics.sentiment`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from facial_r1.config.resolved import load_resolved
from facial_r1.config.suggest import did_you_mean
from facial_r1.data.problems import Problem
from facial_r1.data.protocol import Protocol
from facial_r1.data.rows import read_rows
from facial_r1.data.unibench import SETS, Checkpoint
from facial_r1.errors import InputError
from facial_r1.prompts.open_vocabulary import Output
from facial_r1.runs import RunDirectory
from facial_r1.stages.context import Context
from facial_r1.stages.open_vocabulary import predicted_words
from facial_r1.stages.predictions import text_of
from facial_r1.stages.reward_servers import set_up_extractor

_ROWS = (".jsonl", ".json", ".jsonl.gz", ".json.gz")
_SPELLED = {one: chosen.name for chosen in SETS.values() for one in (*chosen.spelled, chosen.name)}


@dataclass(frozen=True)
class Answered:
    """What a run answered.

    Attributes:
        name: The run's folder, or the file without its ending.
        texts: What was written, by set and clip; sets in the benchmark's order.
        output: The run's `prompt.output`, None where no run is around.
        extractor: How the run itself took words out of answers, likewise.
        notes: What was passed over.
    """

    name: str
    texts: dict[str, dict[str, str]]
    output: str | None
    extractor: str | None
    notes: list[str]


def is_answered(given: str) -> bool:
    """Whether a path is a run, or a file with a row for each answer, and no file or folder of words."""
    path = Path(given).expanduser()
    if path.is_dir():
        run = RunDirectory(path)
        return run.samples.is_file() or run.resolved.is_file() or any(path.glob("answers.rank*.jsonl"))
    return path.is_file() and path.name.endswith(_ROWS)


def read_answered(given: str) -> Answered:
    """The answers of a finished evaluation (its folder or its samples.jsonl), or of a file with ``dataset``, ``id`` and ``completion``.

    The set of a row is its ``dataset``, else what its ``id`` begins with; its clip is ``meta_info.clip``, else the rest of the ``id``.

    Raises:
        InputError: The run has not finished or has scored words itself, a row cannot be read, a clip is answered twice, or no row is of
            a set of the benchmark.
    """
    path = Path(given).expanduser().resolve()
    file = path / "samples.jsonl" if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"stage.predictions={given}: there is no samples.jsonl: this run has not finished; run its command again"
        )
    run = RunDirectory(file.parent)
    if (run.path / "unibench" / "sets.json").is_file():
        raise InputError(
            f"stage.predictions={given}: this run scored words with protocol=mer_unibench and answered nothing; name the run whose "
            "answers it scored (predictions in its status.json)"
        )
    found: dict[str, dict[str, str]] = {}
    strangers: Counter[str] = Counter()
    for entry in read_rows(file):
        if isinstance(entry, Problem):
            raise InputError(f"stage.predictions: {entry}")
        line, row = entry
        name, clip = _place(row, f"{file}:{line}")
        if name not in SETS:
            strangers[name] += 1
            continue
        if clip in found.setdefault(name, {}):
            raise InputError(f"{file}:{line}: a second answer for the clip {clip} of {name}: keep one row a clip")
        found[name][clip] = text_of(row, f"{file}:{line}")
    if not found:
        unknown = next(iter(strangers), "")
        raise InputError(
            f"{file}: none of its {strangers.total()} rows is of a set of MER-UniBench (dataset: {', '.join(strangers) or 'none'}); "
            f"{did_you_mean(unknown, SETS)}"
        )
    notes = [f"{count} rows are of {name!r}, which is no set of MER-UniBench: not scored" for name, count in strangers.items()]
    resolved = load_resolved(run.resolved) if run.resolved.is_file() and file == run.samples else {}
    return Answered(
        run.path.name if file == run.samples else file.name.split(".")[0],
        {name: found[name] for name in SETS if name in found},
        (resolved.get("prompt") or {}).get("output"),
        ((resolved.get("data") or {}).get("protocol") or {}).get("extractor"),
        notes,
    )


def with_words(context: Context, answered: Answered, protocol: Protocol) -> tuple[dict[str, list[Checkpoint]], list[str]]:
    """One checkpoint of each set, with the words of its answers as files of words have them, and notes.

    Answers are read by `prompt.output`; where that is ``auto``, as the run's own says. A dry run asks no language model.

    Raises:
        InputError: `data.protocol.extractor` is llm, and no language model is set up.
    """
    job, notes = context.job, list(answered.notes)
    if job.prompt.output == "auto" and answered.output:
        job = replace(job, prompt=replace(job.prompt, output=cast(Output, answered.output)))
    if answered.extractor == "llm" and protocol.extractor != "llm":
        notes.append(
            "the run took its words out of answers with a language model, here answers are read as lists; for the same words: "
            "+data.protocol.extractor=llm reward=affectgpt_r1 reward.extractor.base_url=... reward.extractor.model=..."
        )
    if job.debug.dry_run:
        protocol = replace(protocol, extractor="list")
    set_up_extractor(context, protocol.extractor == "llm")
    found = {}
    for name, texts in answered.texts.items():
        words = predicted_words(list(texts.values()), job, protocol)
        found[name] = [
            Checkpoint(answered.name, None, items={clip: ", ".join(said) for clip, said in zip(texts, words, strict=True)})
        ]
    return found, notes


def _place(row: Mapping[str, Any], place: str) -> tuple[str, str]:
    """The set (or whatever is in its place) and the clip of a row."""
    key = row.get("id")
    if not isinstance(key, str) or not key:
        raise InputError(f"{place}: the row names no clip: give its id, for example meld/dia0_utt0")
    prefix, slash, rest = key.partition("/")
    given = row.get("dataset") or (prefix if slash else "")
    name = _SPELLED.get(str(given).lower(), str(given))
    facts = row.get("meta_info")
    clip = facts.get("clip") if isinstance(facts, Mapping) else None
    return name, str(clip) if clip else rest if slash and prefix.lower() in _SPELLED else key
