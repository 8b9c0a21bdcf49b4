"""What a run says about itself, its ancestors, its base model and its data; every reader of a card's facts goes through here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facial_r1.data.protocol import load_protocol
from facial_r1.errors import InputError
from facial_r1.report.load import Run
from facial_r1.runs import RunDirectory
from facial_r1.tracking.redaction import redact

TRAINS = ("sft", "grpo")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_DRAWN = "drawn by facial_r1, no real person is shown (Apache-2.0)"


@dataclass(frozen=True)
class Step:
    """One run of a lineage: its stage, its name, its settings (empty when its folder is gone)."""

    stage: str
    name: str
    resolved: Mapping[str, Any] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The `stage` group."""
        return self.resolved.get("stage") or {}


@dataclass(frozen=True)
class Part:
    """One dataset behind a run: its name, the protocol it is read by, what its owner allows ("" when nobody said)."""

    name: str
    protocol: str
    licence: str
    drawn: bool = False


def ancestors(run: Run) -> list[Step]:
    """The runs that the weights or texts went through, oldest first, without `run`; evaluations change nothing and are left out."""
    found = []
    for entry in run.status.get("chain") or []:
        if entry.get("stage") in (*TRAINS, "synthesis"):
            found.append(_step(Path(str(entry.get("run", ""))), str(entry["stage"])))
    return found


def this_step(run: Run) -> Step:
    """The run itself as a step."""
    return Step(run.stage, run.path.name, run.resolved, run.status)


def base_model(run: Run) -> tuple[str | None, str]:
    """The hub id of the model that training began with (None when it is none), and the same in words."""
    first = next((step for step in (*ancestors(run), this_step(run)) if step.resolved), this_step(run))
    start = str(first.resolved.get("init_from") or "")
    # A folder that is a model and no run is a beginning of its own; a run's weights go back to what its settings name.
    plain = _is_hub_id(start) or (Path(start, "config.json").is_file() and not Path(start, "status.json").is_file())
    source = start if start and plain else str((first.resolved.get("model") or {}).get("source") or "")
    if source.startswith("embedded:"):
        return None, f"the {source.removeprefix('embedded:')} Qwen2.5-VL that comes with facial_r1"
    if _is_hub_id(source):
        return source, f"[{source}](https://huggingface.co/{source})"
    return (
        None,
        f"a local folder named {Path(source).name}; which published model that is, is not known" if source else "not known",
    )


def parts(resolved: Mapping[str, Any]) -> list[Part]:
    """The datasets of a job, each with its owner's licence as the protocol states it."""
    data = resolved.get("data") or {}
    if data.get("kind") == "schematic":
        return [Part(str(data.get("name") or "schematic"), "schematic", _DRAWN, drawn=True)]
    if not data.get("sources"):
        return [_part(str(data.get("source") or data.get("name") or "data"), data.get("protocol"), data.get("source"))]
    return [
        _part(
            str(entry.get("name") or entry.get("source") or _files(entry)),
            entry.get("protocol") or data.get("protocol"),
            entry.get("source"),
        )
        for entry in _entries(data["sources"])
    ]


def is_drawn(resolved: Mapping[str, Any]) -> bool:
    """Whether every face is drawn."""
    return all(part.drawn for part in parts(resolved))


def rows_used(step: Step) -> str:
    """How many rows a step worked on, in words; what was asked for where the run did not note what it used."""
    data, used = step.resolved.get("data") or {}, step.status.get("used") or {}
    known = (step.status.get("data") or {}).get("test" if step.settings.get("split") == "test" else "train")
    if used:
        repeats = f", {used['rows'] - used['distinct']} of them again" if used["rows"] > used["distinct"] else ""
        return f"{used['rows']:,} of {used['of']:,} rows{repeats}"
    amount = data.get("amount")
    asked = "all that could be used" if amount is None else f"data.amount={amount}"
    return f"{asked}, of {known:,} rows" if isinstance(known, int) else asked


def steps_taken(run: Run) -> int | None:
    """Optimizer steps that were taken, from metrics.jsonl; None when nothing was logged."""
    taken = [row["step"] for row in run.metrics if "loss" in row and isinstance(row.get("step"), int)]
    return max(taken, default=None)


def version(run: Run) -> str:
    """The code that ran."""
    code = run.status.get("version") or {}
    return f"facial_r1 {code.get('package') or '(version not noted)'}" + (f", git {code['git']}" if code.get("git") else "")


def _is_hub_id(text: str) -> bool:
    return _HUB_ID.fullmatch(text) is not None and not text.startswith(".") and not Path(text).exists()


def _step(folder: Path, stage: str) -> Step:
    settings = folder / "resolved.yaml"
    if not settings.is_file():
        return Step(stage, folder.name)
    import yaml

    try:
        resolved = redact(yaml.safe_load(settings.read_text(encoding="utf-8")))
        return Step(stage, folder.name, resolved if isinstance(resolved, dict) else {}, RunDirectory(folder).status())
    except (OSError, yaml.YAMLError, InputError):  # an ancestor that cannot be read is named, without its settings
        return Step(stage, folder.name)


def _part(name: str, protocol: Any, source: Any) -> Part:
    named = protocol.get("name") if isinstance(protocol, Mapping) else protocol
    for candidate in (protocol, source):
        if not candidate:
            continue
        try:
            rules = load_protocol(candidate if isinstance(candidate, str) else dict(candidate))
        except (InputError, TypeError):  # of another version of the package; its licence is then not known
            continue
        if rules.licence or candidate == source or not source:
            return Part(name, rules.name, rules.licence)
    return Part(name, str(named or "not known"), "")


def _entries(sources: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(sources, Mapping):
        yield from ({"name": name, **entry} for name, entry in sources.items() if entry)
    else:
        yield from (entry for entry in sources if entry)


def _files(entry: Mapping[str, Any]) -> str:
    files: Sequence[Any] = entry.get("files") or []
    return ", ".join(Path(str(file)).name for file in files) or "files"
