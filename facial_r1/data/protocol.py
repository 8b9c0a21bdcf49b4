"""A protocol: what the labels and action units of a dataset mean, and how it is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from facial_r1.affect import ACTION_UNITS, normalise_code, normalise_label
from facial_r1.config.suggest import did_you_mean, nearest
from facial_r1.errors import InputError

Empty = Literal["absent", "unknown"]
_FOLDER = Path(__file__).parent / "protocols"


@dataclass(frozen=True)
class Protocol:
    """The rules that rows of a dataset are read and scored by.

    Attributes:
        name: shown in reports.
        labels: the label space in its own order; empty for an open vocabulary.
        aliases: further spellings, beside those of `facial_r1.affect`, to labels of the space.
        action_units: canonical codes that a record may carry and that macro averages run over; empty where
            any FACS code may come (see `vocabulary`).
        presence_threshold: intensity from which on a unit counts as present (and above 0), for AUs with
            intensities.
        empty_action_units: what an empty list of AUs means: "absent" is coded with none active, "unknown" not
            coded.
        cluster: field that intervals are grouped by.
        published: figures of others, each a mapping with its source.
    """

    name: str = "generic"
    labels: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    action_units: tuple[str, ...] = ()
    presence_threshold: float = 0.0
    empty_action_units: Empty = "unknown"
    cluster: str = "subject"
    published: tuple[Mapping[str, Any], ...] = ()
    _spellings: dict[str, str] = field(init=False, repr=False, compare=False)
    _codes: dict[str | int, str | None] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.empty_action_units not in ("absent", "unknown"):
            raise InputError(
                f"data.protocol.empty_action_units={self.empty_action_units!r}: "
                "give absent (coded, none active) or unknown (not coded)"
            )
        codes = [_code(text) for text in self.action_units]
        object.__setattr__(self, "action_units", tuple(codes))
        object.__setattr__(self, "_spellings", self._all_spellings())

    def _all_spellings(self) -> dict[str, str]:
        spellings: dict[str, str] = {}
        for label in self.labels:
            noun = normalise_label(label)
            if noun is not None:  # a space that says "happy" also understands "happiness"
                spellings.setdefault(noun, label)
        for label in self.labels:
            spellings[_plain(label)] = label
        for spelling, label in self.aliases.items():
            if self.labels and label not in self.labels:
                raise InputError(
                    f"data.protocol.aliases.{spelling}={label}: not in data.protocol.labels; " + did_you_mean(label, self.labels)
                )
            spellings[_plain(spelling)] = label
        return spellings

    def label(self, text: str) -> str | None:
        """The label of the space that `text` stands for, or None when it stands for none of them."""
        found = self._spellings.get(_plain(text))
        if found is not None:
            return found
        noun = normalise_label(text)
        if not self.labels:
            return noun or _plain(text) or None
        return None if noun is None else self._spellings.get(noun)

    def label_fix(self, text: str) -> str:
        """What to do about a `text` that `label` does not know."""
        close = nearest(_plain(text), [*self._spellings, *self.labels])
        start = f"did you mean {self._spellings.get(close, close)!r}? Otherwise" if close else "map it with "
        if close:
            return f"{start} add it to data.protocol.labels (now {', '.join(self.labels)})"
        return f"{start}data.protocol.aliases, or add it to data.protocol.labels (now {', '.join(self.labels)})"

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
        lists = {"labels", "action_units", "published"}
        return {key: list(value) if key in lists else dict(value) if key == "aliases" else value for key, value in values.items()}


def load_protocol(settings: Any = None) -> Protocol:
    """The protocol that `settings` describe.

    Args:
        settings: nothing (`generic`), a name or a path of a YAML file, a `Protocol`, a mapping, or the typed
            `data.protocol` of a job. A name that is shipped gives the values that `settings` leave out or
            leave empty.

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
    name = str(given.get("name") or "generic")
    base = _read(name if name in shipped_protocols() else "generic")
    _known_keys(given, "data.protocol")
    return _build(name, base | {key: value for key, value in given.items() if value not in (None, [], {}, ())})


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
    if name.endswith((".yaml", ".yml")):
        return dict(_parse(Path(name)))
    if name not in shipped_protocols():
        raise InputError(f"data.protocol={name}: no such protocol; {did_you_mean(name, shipped_protocols())}")
    return dict(_parse(_FOLDER / f"{name}.yaml"))


def _known_keys(values: Mapping[str, Any], where: str) -> None:
    known = [entry.name for entry in fields(Protocol) if entry.init]
    for key in values:
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}; {did_you_mean(str(key), known)}")


def _build(name: str, values: dict[str, Any]) -> Protocol:
    values = {"name": Path(name).stem if name.endswith((".yaml", ".yml")) else name} | values
    for key in ("labels", "action_units", "published"):
        value = values.get(key) or ()
        if isinstance(value, str | Mapping):
            raise InputError(f"data.protocol.{key}={value!r}: give a list, [a, b]")
        values[key] = tuple(value)
    return Protocol(**values)


def _code(text: str | int) -> str:
    code = normalise_code(text)
    if code is None:
        raise InputError(f"data.protocol.action_units: {text!r} is no FACS code; {did_you_mean(str(text), ACTION_UNITS)}")
    return code


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
