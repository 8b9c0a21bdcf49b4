"""Datasets as their owners distribute them: one reader each, from the owner's folders to records."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import TypeAdapter, ValidationError

from facial_r1.config.suggest import did_you_mean
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record
from facial_r1.errors import InputError

Box = tuple[int, int, int, int]


@dataclass
class Reading:
    """What a reader found.

    Attributes:
        records: Rows in the owner's order, `split` and `subject` filled where the owner or the usual protocol names them.
            `images` are absolute paths.
        problems: Rows that break the owner's own layout, with file, line, field, reason and fix.
        excluded: Rows left out on purpose, by reason ("no action unit coded", "expression 8: none").
        notes: What the user should know, each one line.
        crops: Record id to (left, top, right, bottom) in pixels, for faces that are cut from larger pictures (the record's
            only image). A box may stick out of the picture; what lies outside is not there.
        pixels: Record id to (height, width, rows of grey bytes), for sets whose images lie in a table. The record needs no
            image.
        suffix: Of the pictures that are written for `crops` and `pixels`. Their name is what follows the first "/" in the
            record's id: "fer2013/image_7" becomes image_7.png.
        files: Label files that no record names as its `source`, so that a change of them is noticed.
        official: How many rows the owner's lists hold under the options given, where that is not what the protocol's
            `counts` say; an empty mapping where nothing is known.
    """

    records: list[Record] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    excluded: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    crops: dict[str, Box] = field(default_factory=dict)
    pixels: dict[str, tuple[int, int, bytes]] = field(default_factory=dict)
    suffix: Literal["png", "jpg"] = "png"
    files: list[Path] = field(default_factory=list)
    official: Mapping[str, int | Mapping[str, int]] | None = None


Reader = Callable[..., Reading]


@dataclass(frozen=True, slots=True)
class Source:
    """A registered reader.

    Attributes:
        name: What `data.source` calls it; also the name of its protocol.
        read: Takes the root folder, then its options as keyword arguments.
        line: One line for lists.
        layout: The folders and files that the owner distributes, as a small tree, for messages and documentation.
        options: Names of the keyword arguments, with their defaults.
    """

    name: str
    read: Reader
    line: str
    layout: str
    options: Mapping[str, Any]


_REGISTRY: dict[str, Source] = {}


def source(name: str, line: str, layout: str) -> Callable[[Reader], Reader]:
    """Register a reader under `name`. Raises ValueError when the name is taken."""

    def register(function: Reader) -> Reader:
        if name in _REGISTRY:
            raise ValueError(f"source {name!r} is registered twice")
        parameters = list(inspect.signature(function).parameters.values())[1:]
        options = {parameter.name: parameter.default for parameter in parameters}
        _REGISTRY[name] = Source(name, function, line, layout.strip("\n"), options)
        return function

    return register


def names() -> list[str]:
    """All sources, in alphabetical order."""
    return sorted(_REGISTRY)


def find(name: str) -> Source:
    """The source called `name`. Raises InputError with a suggestion when there is none."""
    if name not in _REGISTRY:
        raise InputError(f"data.source={name}: no such source; {did_you_mean(name, names())}")
    return _REGISTRY[name]


def checked_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of the source `name`: those given, in the type that the reader asks for, and the defaults of the rest.

    Raises:
        InputError: unknown source or option, or a value of the wrong type.
    """
    entry = find(name)
    hints = get_type_hints(entry.read)
    given = {}
    for option, value in options.items():
        if option not in entry.options:
            raise InputError(f"data.options.{option}: {name} has no such option; {did_you_mean(option, entry.options)}")
        try:
            given[option] = TypeAdapter(hints[option]).validate_python(value)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            raise InputError(f"data.options.{option}={value}: {reason[0].lower()}{reason[1:]}") from None
    return {**entry.options, **given}


def read_source(name: str, root: Path, **options: Any) -> Reading:
    """Read the owner's folders below `root`.

    Raises:
        InputError: unknown source or option, or `root` does not hold the owner's layout (the message shows it).
    """
    entry = find(name)
    options = checked_options(name, options)
    if not root.is_dir():
        raise InputError(f"data.root={root}: no such folder; {name} needs\n{entry.layout}")
    return entry.read(root, **options)


def layout_error(name: str, root: Path, missing: str) -> InputError:
    """What a reader raises when `root` is not its owner's folder: what is missing, and the layout that is expected."""
    return InputError(f"data.root={root}: {missing}; {name} needs\n{find(name).layout}")
