"""What a stage works on: its records, its starting model, its pictures."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1 import atomic, prompts, rewards
from facial_r1.config.schema import Eval, Synthesis
from facial_r1.data import Data, Record, load_data, write_skipped
from facial_r1.data.mixture import sample
from facial_r1.errors import InputError
from facial_r1.stages.context import Context
from facial_r1.stages.openers import picture_opener

if TYPE_CHECKING:
    from facial_r1.generation.prompt_batch import MediaLoader

_log = logging.getLogger("facial_r1")


@dataclass(frozen=True)
class Loaded:
    """A model with its processor and what opens pictures, clips and sounds for it."""

    model: Any
    processor: Any
    open_image: MediaLoader
    source: str


def load_records(context: Context) -> Data:
    """The records of the job, read once per process; refused when they changed since the run began.

    Rank 0 reads first, so that a drawn or converted dataset is made once. The steps of a pipeline share what it read.

    Raises:
        InputError: the data breaks its contract, or an interrupted run would continue on other data.
    """
    from facial_r1.stages import ranks

    problem = None
    if context.main:  # what is wrong is found once and told to all, so that no rank waits for one that has left
        try:
            data = _read(context)
            _note_data(context, data)
        except InputError as error:
            problem = str(error)
    problem = ranks.share(problem)
    if problem:
        raise InputError(problem)
    return data if context.main else _read(context)


def _read(context: Context) -> Data:
    if "rows" not in context.shared:
        context.shared["rows"] = _load(context)
    return describe_rows(context.shared["rows"], context.job.data.descriptions)


def _load(context: Context) -> Data:
    """All rows of the sides that the stage needs. Amounts are taken later, of the rows that the stage can use."""
    stage = context.job.stage
    evaluates = stage.name == "pipeline" or getattr(stage, "evaluate", False)
    sides = (stage.split,) if isinstance(stage, Eval | Synthesis) else ("train", "test") if evaluates else ("train",)
    return load_data(dataclasses.replace(context.job.data, amount=None), need=sides, stop=context.stop.check)


def _note_data(context: Context, data: Data) -> None:
    """Write to status.json what the run works on; compare with what it worked on before."""
    fingerprint = data.fingerprint
    before = (context.run.status().get("data") or {}).get("fingerprint")
    if before and before != fingerprint:
        raise InputError(
            f"{context.run.path}: the data changed since this run began (fingerprint {before[:12]}, now {fingerprint[:12]}). "
            "Restore it, or start anew with resume=never"
        )
    counts: dict[str, Any] = {"train": len(data.train), "test": len(data.test), "skipped": len(data.problems)}
    if data.train.repeats:
        counts["repeats"] = data.train.repeats
    if data.leaks:
        counts["leaks"] = {"test_images": len({leak.test for leak in data.leaks}), "train_rows_left_out": data.deduplicated}
        pairs = "".join(json.dumps(dataclasses.asdict(leak), ensure_ascii=False) + "\n" for leak in data.leaks)
        atomic.write_text(context.run.path / "leaks.jsonl", pairs)
    context.run.update_status(data={"name": context.job.data.name, "fingerprint": fingerprint, **counts})
    if data.problems:
        write_skipped(context.run.path / "skipped.jsonl", data.problems)
    for line in dataclasses.replace(data, notes=[]).describe().splitlines():  # the notes follow
        _log.info("%s", line)
    said: set[str] = context.shared.setdefault("said", set())  # the steps of a pipeline say it once
    for note in data.notes:
        if note not in said:
            said.add(note)
            say(context, f"note: {note}")
    if not getattr(context.job.stage, "predictions", None):  # answers from files were asked for elsewhere
        warning = hidden_words(context, [*data.train, *data.test])[1]
        if warning and warning not in said:
            said.add(warning)
            say(context, f"warning: {warning}")


def hidden_words(context: Context, records: Sequence[Record]) -> tuple[int, str]:
    """How many rows have a transcript that the job uses and its prompt never shows, and a warning with the fix ("" for none)."""
    modalities, prompt = context.job.data.modalities, context.job.prompt
    if modalities is not None and "text" not in modalities:
        return 0, ""
    hidden = sum(prompts.hides_transcript(prompt, record) for record in records)
    if not hidden:
        return 0, ""
    return hidden, (
        f"{hidden} of {len(records)} rows have a transcript that prompt={prompt.name} does not show: set prompt=clip, or write "
        "{transcript} into prompt.instruction. data.modalities=[video,audio] says that the words are not meant to be read"
    )


def describe_rows(data: Data, files: Sequence[str]) -> Data:
    """Rows with the descriptions that synthesis wrote for them (`data.descriptions`: accepted.jsonl files or run folders).

    Raises:
        InputError: a file is missing, or none of its ids is among the rows.
    """
    if not files:
        return data
    written: dict[str, str] = {}
    for name in files:
        path = Path(name).expanduser()
        path = path / "accepted.jsonl" if path.is_dir() else path
        if not path.is_file():
            raise InputError(f"data.descriptions: {path} does not exist; name the accepted.jsonl of a finished synthesis run")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                row = json.loads(line)
                written[row["id"]] = row["description"]
                about_test = _side_written_about(row) == "test"
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}:{number}: no row with id and description ({error}); name an accepted.jsonl") from None
            if about_test:
                raise InputError(
                    f"{path}:{number}: data.descriptions: this row was written about a test row (stage.split=test). Training on it "
                    "would leak the test set; use the file as data.test_files=[...] instead"
                )
    known = {record.id for record in data.train}
    if written and not known & written.keys():
        raise InputError(f"data.descriptions: none of the {len(written)} ids in {', '.join(files)} is among the rows of the data")
    records = [dataclasses.replace(r, description=written.get(r.id, r.description)) for r in data.train]
    return dataclasses.replace(data, train=dataclasses.replace(data.train, records=records))


def _side_written_about(row: dict[str, Any]) -> str | None:
    """The side that synthesis took a row from, None when the row does not say."""
    provenance = (row.get("meta_info") or {}).get("provenance") or {}
    return provenance.get("split") if isinstance(provenance, dict) else None


def usable(
    context: Context,
    records: Sequence[Record],
    why: str,
    keep: Callable[[Record], bool],
    amount: float | int | None,
    fix: str = "",
    distinct: bool = False,
) -> list[Record]:
    """The records a stage can use, then `amount` of them, balanced as `data.balance` says. What is left out, and what comes
    again, is counted and said; `fix` says what helps. `distinct` takes no row twice.

    Raises:
        InputError: none is left.
    """
    kept = [record for record in records if keep(record)]
    if not kept:
        raise InputError(
            f"stage={context.job.stage.name}: none of the {len(records)} rows of data={context.job.data.name} has {why}{fix}"
        )
    config = context.job.data
    places, notes = sample(kept, amount, config.seed, balance=config.balance, repeats=config.repeats and not distinct)
    places = places[: context.job.debug.limit]
    if context.main:
        used = len(set(places))
        again = f", {len(places) - used} repeats" if used < len(places) else ""
        left = f"{len(records) - len(kept)} without {why}, {len(kept) - used} over the amount{again}"
        for line in (f"{len(places)} rows of {len(records)} ({left})", *(f"note: {note}" for note in notes)):
            say(context, line)
        context.run.update_status(used={"rows": len(places), "distinct": used, "of": len(records)})
    return [kept[place] for place in places]


def load_model(context: Context, *, train: bool, source: str | None = None) -> Loaded:
    """The starting model of the job (or the one at `source`)."""
    from facial_r1 import models
    from facial_r1.stages import ranks
    from facial_r1.training.arguments import training_dtype

    found = source or context.source()[0]
    where = ranks.device(context.job.launch.device)
    # Weights that are trained whole stay in float32 (an update of 1e-6 is below what bfloat16 resolves), unless DeepSpeed
    # keeps its own float32 copies; the forward pass is in mixed precision either way.
    sharded = context.job.launch.distributed in ("zero2", "zero3")
    if train and context.job.model.lora.enabled:
        import torch

        torch.manual_seed(
            context.job.seed
        )  # fresh adapters: the same on every rank (FSDP2 takes each rank's own part), and by the seed
    model, processor = models.load(
        context.job.model,
        found,
        dtype=None if train and not sharded else training_dtype(context.job),
        device=None if train and context.job.launch.distributed in ("zero3", "fsdp2") else where,  # each rank takes its part
        train=train,
    )
    return Loaded(model, processor, picture_opener(context, processor), found)


def chat(context: Context, record: Record, data: Data, **options: Any) -> list[dict[str, Any]]:
    """The chat messages that ask about `record`, the same in training, synthesis and evaluation."""
    rules, prompt = data.protocol_of(record), context.job.prompt
    labels = rules.labels
    if prompt.labels_style == "dict_keys" and options.get("training") and context.job.stage.name == "grpo":
        labels = data.protocol.labels  # the released code lists the emotions of all files together
    return prompts.messages(record, prompt, labels, vocabulary=rules.action_units, **options)


def reward_options(context: Context, data: Data) -> dict[str, dict[str, Any]]:
    """Keyword arguments of each reward: the protocol's and the prompt's, then what `reward.options` says."""
    shared: dict[str, dict[str, Any]] = {
        "au": {
            "vocabulary": data.annotated or list(data.protocol.action_units) or None,
            "empty": data.protocol.empty_action_units,
        }
    }
    general = {"wheels": data.protocol.wheels, "root": data.protocol.wheel_root}
    if context.job.prompt.output != "auto":
        general["output"] = context.job.prompt.output
    taken = {entry.name: entry.options for entry in rewards.describe()}
    names = {*context.job.reward.weights, *context.job.reward.options}
    return {
        name: {
            **shared.get(name, {}),
            **{option: value for option, value in general.items() if option in taken.get(name, ())},
            **context.job.reward.options.get(name, {}),
        }
        for name in names
    }


def say(context: Context, text: str) -> None:
    """One line for the person watching, on standard error, and into the log."""
    import sys

    if context.main:
        _log.info("%s", text)
        print(f"facial_r1: {context.job.stage.name}: {text}", file=sys.stderr, flush=True)
