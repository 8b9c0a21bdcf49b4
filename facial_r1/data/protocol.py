"""A protocol: what the labels and action units of a dataset mean, and how it is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from facial_r1.affect import ACTION_UNITS, normalise_code, normalise_label
from facial_r1.affect.wheels import SOURCES
from facial_r1.config.suggest import did_you_mean, nearest
from facial_r1.errors import InputError

Empty = Literal["absent", "unknown"]
Extractor = Literal["list", "llm"]
_FOLDER = Path(__file__).parent / "protocols"
_SUFFIXES = (".yaml", ".yml")
_NONE = "none"
"""`labels: none` (in a file also null): no emotion is asked for."""


@dataclass(frozen=True)
class Protocol:
    """The rules that rows of a dataset are read and scored by.

    Attributes:
        name: shown in reports.
        labels: the label space in its own order; empty for an open vocabulary; None where no emotion is asked for (sets that
            are annotated with action units alone).
        aliases: further spellings, beside those of `facial_r1.affect`, to labels of the space.
        action_units: canonical codes that a record may carry and that macro averages run over; empty where
            any FACS code may come (see `vocabulary`).
        presence_threshold: intensity from which on a unit counts as present (and above 0), for AUs with
            intensities.
        empty_action_units: what an empty list of AUs means: "absent" is coded with none active, "unknown" not
            coded.
        cluster: field that intervals are grouped by.
        folds: subjects of each fold, for sets that are scored by cross-validation; `data.fold` picks the test side.
        licence: what the owner allows, in one line.
        counts: how many rows the owner's lists hold, by split ("train", "validation", "test", or "all" where there is none):
            a number, or a mapping from label to number.
        published: figures of others, each a mapping with its source.
        wheels: tables that an open vocabulary is scored by, see `facial_r1.affect.wheels.load`.
        wheel_root: folder of released tables.
        extractor: how the words of an answer to an open vocabulary are found: "list" reads it as the list that it should be, "llm"
            asks the language model of `reward.extractor`, as MER-UniBench does.
    """

    name: str = "generic"
    labels: tuple[str, ...] | None = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    action_units: tuple[str, ...] = ()
    presence_threshold: float = 0.0
    empty_action_units: Empty = "unknown"
    cluster: str = "subject"
    folds: tuple[tuple[str, ...], ...] = ()
    licence: str = ""
    counts: Mapping[str, int | Mapping[str, int]] = field(default_factory=dict)
    published: tuple[Mapping[str, Any], ...] = ()
    wheels: str = "embedded"
    wheel_root: str | None = None
    extractor: Extractor = "list"
    _spellings: dict[str, str] = field(init=False, repr=False, compare=False)
    _codes: dict[str | int, str | None] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.empty_action_units not in ("absent", "unknown"):
            raise InputError(
                f"data.protocol.empty_action_units={self.empty_action_units!r}: "
                "give absent (coded, none active) or unknown (not coded)"
            )
        _one_of("wheels", self.wheels, SOURCES)
        _one_of("extractor", self.extractor, get_args(Extractor))
        codes = [_code(text) for text in self.action_units]
        object.__setattr__(self, "action_units", tuple(codes))
        object.__setattr__(self, "_spellings", self._all_spellings())
        self._check_folds_and_counts()

    def _check_folds_and_counts(self) -> None:
        subjects = [subject for fold in self.folds for subject in fold]
        twice = sorted({subject for subject in subjects if subjects.count(subject) > 1})
        if twice:
            raise InputError(f"data.protocol.folds: subject {twice[0]} is in two folds: name each once")
        for split, count in self.counts.items():
            for label in count if isinstance(count, Mapping) and self.labels else ():
                if label not in (self.labels or ()):
                    where = f"data.protocol.counts.{split}.{label}"
                    raise InputError(f"{where}: not in data.protocol.labels; {did_you_mean(label, self.labels or ())}")

    def _all_spellings(self) -> dict[str, str]:
        spellings: dict[str, str] = {}
        for label in self.labels or ():
            noun = normalise_label(label)
            if noun is not None:  # a space that says "happy" also understands "happiness"
                spellings.setdefault(noun, label)
        for label in self.labels or ():
            spellings[_plain(label)] = label
        for spelling, label in self.aliases.items():
            if self.labels and label not in self.labels:
                raise InputError(
                    f"data.protocol.aliases.{spelling}={label}: not in data.protocol.labels; " + did_you_mean(label, self.labels)
                )
            spellings[_plain(spelling)] = label
        return spellings

    def label(self, text: str) -> str | None:
        """The label of the space that `text` stands for, or None when it stands for none of them.

        Words of an open vocabulary stay the owner's, in lower case: *calm* and *neutral*, or *mad* and *angry*, differ on a wheel.
        """
        found = self._spellings.get(_plain(text))
        if found is not None:
            return found
        if not self.labels:
            return _plain(text) or None
        noun = normalise_label(text)
        return None if noun is None else self._spellings.get(noun)

    @property
    def is_open(self) -> bool:
        """Whether labels are free words, which emotion wheels score."""
        return self.labels == ()

    def label_fix(self, text: str) -> str:
        """What to do about a `text` that `label` does not know."""
        space = self.labels or ()
        close = nearest(_plain(text), [*self._spellings, *space])
        start = f"did you mean {self._spellings.get(close, close)!r}? Otherwise" if close else "map it with "
        if close:
            return f"{start} add it to data.protocol.labels (now {', '.join(space)})"
        return f"{start}data.protocol.aliases, or add it to data.protocol.labels (now {', '.join(space)})"

    def action_unit(self, text: str | int) -> str | None:
        """The canonical code for `text` ("au01", 12, "AU 4"), or None when the protocol has no such unit."""
        if text not in self._codes:
            code = normalise_code(text)
            self._codes[text] = code if code in self.vocabulary else None
        return self._codes[text]

    def action_unit_fix(self, text: str | int) -> str:
        """What to do about a `text` that `action_unit` does not know."""
        code = normalise_code(text)
        if code is not None:
            return f"remove {code} from the row or add it to data.protocol.action_units"
        digits = "".join(character for character in str(text) if character.isdigit())
        close = normalise_code(digits) if digits else None
        if close is None or close not in self.vocabulary:
            close = nearest(str(text).upper().replace(" ", ""), self.vocabulary)
        known = ", ".join(self.vocabulary)
        return f"did you mean {close!r}?" if close else f"the known codes are {known}"

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Codes that a record may carry: `action_units`, or all of FACS when it names none."""
        return self.action_units or tuple(ACTION_UNITS)

    def to_dict(self) -> dict[str, Any]:
        """Plain mapping with the keys of the YAML form."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.init}
        return values | {
            "labels": _NONE if self.labels is None else list(self.labels),
            "aliases": dict(self.aliases),
            "action_units": list(self.action_units),
            "folds": [list(fold) for fold in self.folds],
            "counts": {split: dict(count) if isinstance(count, Mapping) else count for split, count in self.counts.items()},
            "published": [dict(figure) for figure in self.published],
        }


def load_protocol(settings: Any = None) -> Protocol:
    """The protocol that `settings` describe.

    Args:
        settings: nothing (`generic`), a name or a path of a YAML file, a `Protocol`, a mapping, or the typed
            `data.protocol` of a job. A name that is shipped (or the path of a YAML file) gives the values that
            `settings` leave out or leave None; of aliases, both count. `labels: none` asks for no emotion, `labels: []` for
            any.

    Raises:
        InputError: an unknown name, key or value.
    """
    if isinstance(settings, Protocol):
        return settings
    if settings is None:
        return load_protocol("generic")
    if isinstance(settings, str):
        return _build(settings, _read(settings))
    given = asdict(settings) if is_dataclass(settings) and not isinstance(settings, type) else dict(settings)
    _known_keys(given, "data.protocol")
    name = str(given.pop("name", None) or "generic")
    aliases = dict(given.pop("aliases", None) or {})
    values = {key: value for key, value in given.items() if value is not None}
    own = name in shipped_protocols() or name.endswith(_SUFFIXES)
    if not own and not values:
        raise InputError(f"data.protocol.name={name}: no such protocol; {did_you_mean(name, shipped_protocols())}")
    base = _read(name if own else "generic")
    space = values.get("labels", base.get("labels"))
    if isinstance(space, list | tuple) and space and "labels" in values:  # what the name says of other labels means nothing here
        base["aliases"] = {spelling: label for spelling, label in (base.get("aliases") or {}).items() if label in space}
        base["counts"] = {}
    return _build(name, base | values | {"aliases": (base.get("aliases") or {}) | aliases})


def shipped_protocols() -> list[str]:
    """Names of the protocols that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


@cache
def _parse(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: the protocol cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: a protocol is a mapping with labels, action_units, ...")
    _known_keys(values, str(path))
    return values


def _read(name: str) -> dict[str, Any]:
    if name.endswith(_SUFFIXES):
        return dict(_parse(Path(name)))
    if name not in shipped_protocols():
        raise InputError(f"data.protocol.name={name}: no such protocol; {did_you_mean(name, shipped_protocols())}")
    return dict(_parse(_FOLDER / f"{name}.yaml"))


def _known_keys(values: Mapping[str, Any], where: str) -> None:
    known = [entry.name for entry in fields(Protocol) if entry.init]
    for key in values:
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}; {did_you_mean(str(key), known)}")


def _build(name: str, values: dict[str, Any]) -> Protocol:
    values = {"name": Path(name).stem if name.endswith(_SUFFIXES) else name} | values
    values = {key: value for key, value in values.items() if value is not None or key == "labels"}
    asked = "labels" not in values or values["labels"] not in (None, _NONE)
    for key in ("labels", "action_units", "published", "folds"):
        value = values.get(key) or ()
        if key == "labels" and not asked:
            continue
        if isinstance(value, str | Mapping):
            raise InputError(f"data.protocol.{key}={value!r}: give a list, [a, b]")
        values[key] = tuple(value)
    if not asked:
        values["labels"] = None
    if any(isinstance(fold, str | Mapping) for fold in values["folds"]):
        raise InputError("data.protocol.folds: give a list of subjects for each fold, [[a, b], [c, d]]")
    values["folds"] = tuple(tuple(str(subject) for subject in fold) for fold in values["folds"])
    for key in ("aliases", "counts"):
        values[key] = values.get(key) or {}
    return Protocol(**values)


def _one_of(key: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"data.protocol.{key}={value}: {did_you_mean(str(value), known)}")


def _code(text: str | int) -> str:
    code = normalise_code(text)
    if code is None:
        raise InputError(f"data.protocol.action_units: {text!r} is no FACS code; {did_you_mean(str(text), ACTION_UNITS)}")
    return code


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
